//! Writing and reading packs.

pub mod reader;
pub mod upload;
pub mod writer;
