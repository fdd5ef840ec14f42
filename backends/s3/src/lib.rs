//! S3, and what speaks its protocol, as backup storage.
//!
//! Requests, listings and multipart uploads are OpenDAL's; they pass through a transport of ours that signs them with the
//! SHA-256 of what is sent, so that a server stores what was meant or nothing, and that tells failures apart by the
//! service's own codes. What OpenDAL lacks (unfinished uploads) goes the same way.
//!
//! An object is one object in the bucket, its key below the prefix. Larger ones are sent in parts; nothing of them is
//! visible before the last request. A create-only put is a conditional request (`If-None-Match: *`): AWS, SeaweedFS, R2
//! and others honour it, some accept and ignore it.
//!
//! This crate knows nothing of the repository's format.

mod address;
mod backend;
mod config;
mod credentials;
mod error;
mod transport;
mod uploads;

pub use backend::S3Backend;
pub use config::S3Config;
