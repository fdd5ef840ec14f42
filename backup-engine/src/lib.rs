//! The repository engine: everything between a source and the objects that a store holds.

pub mod chunker;
pub mod compress;
pub mod crypto;
pub mod format;
pub mod id;
