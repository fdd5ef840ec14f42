//! A folder in Dropbox as backup storage.
//!
//! API v2 is spoken directly. An object is one file below the folder, its key the path; Dropbox takes `A` for `a`, and
//! keys know small letters only. What is sent carries Dropbox's own checksum, which the server compares on arrival and
//! repeats in its answer. Larger objects go through upload sessions, of which nothing is visible before the last request;
//! one that was cut goes on where it stopped, in the same put or in the next one of the same bytes. A create-only put is
//! the mode `add` without another name and with strict conflicts.
//!
//! This crate knows nothing of the repository's format.

mod api;
mod backend;
mod config;
mod content_hash;
mod error;
mod list;
mod login;
mod path;
mod put;
mod read;
mod session;

pub use backend::DropboxBackend;
pub use config::DropboxConfig;
