//! A directory on an SSH server as backup storage.
//!
//! SSH is [russh]'s; SFTP itself is spoken here, because a store needs what ready clients hide: bytes sent without
//! copies, many requests under way at once, names and handles as bytes, and the extensions for flushing, second names and
//! replacing at once, which are probed and not believed.
//!
//! An object is a file below the directory, under its key. It is written under a temporary name, flushed, and given its own
//! name at once; a create-only put is a second name, which servers refuse where it is taken. The files are the same as
//! those of the local backend, so that a repository can be used from both sides.
//!
//! A server is recognised by its key, strictly: from `known_hosts` files or from the configuration. This crate knows nothing
//! of the repository's format.

mod authenticate;
mod backend;
mod client;
mod config;
mod connection;
mod destination;
mod failure;
mod file;
mod introduction;
mod known_hosts;
mod pool;
mod put;
mod read;
mod room;
mod walk;
mod wire;

pub use backend::SftpBackend;
pub use config::SftpConfig;
