//! Writing and reading the trees of snapshots.

pub mod walk;
pub mod writer;

pub use walk::TreeWalk;
pub use writer::TreeWriter;
