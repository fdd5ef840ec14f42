//! A directory on a local or mounted file system as backup storage.
//!
//! Each object is one file, its key the path below the directory. A put writes a temporary file, flushes it, publishes
//! it by a hard link (create-only) or a rename (overwrite) and flushes the directory; so an object is there whole or not
//! at all, and an acknowledged one survives a power loss. Files whose names aren't keys are left alone and never listed,
//! the temporary ones of killed processes among them; [`UploadMaintenance`](backup_core::storage::UploadMaintenance)
//! removes those.
//!
//! Symbolic links below the directory are never followed: one that stands in the way is an error that says so. The
//! directory itself may be reached through links.
//!
//! This crate knows nothing of the repository's format.

mod backend;
mod config;
mod error;
mod platform;
mod put;
mod store;
mod walk;

pub use backend::LocalBackend;
pub use config::LocalConfig;
