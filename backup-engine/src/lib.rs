//! The repository engine: everything between a source and the objects that a store holds.

mod background;
pub mod check;
pub mod chunker;
pub mod compress;
pub mod create;
pub mod crypto;
pub mod error;
pub mod format;
pub mod id;
pub mod index;
pub mod layout;
pub mod pack;
pub mod query;
pub mod rebuild;
pub mod repository;
pub mod restore;
pub mod snapshots;
pub mod store;
pub mod tree;
pub mod verification;
