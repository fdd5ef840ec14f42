//! Writing and reading packs.

pub mod reader;
pub mod seal;
pub mod table;
pub mod upload;
pub mod writer;
