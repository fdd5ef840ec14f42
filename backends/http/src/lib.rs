//! What the storage backends that speak HTTP share: a client, bodies that can be sent again, and what a failure means.
//!
//! A request is made once. Whoever wants it made again looks at the advice in the error, which honours `Retry-After`.
//! Nothing here knows a particular service: that one's error codes are told apart in its own crate.

mod body;
mod client;
mod failure;

pub use body::Pieces;
pub use client::{HttpClient, HttpOptions, HttpResponse};
pub use failure::{Failure, Reach};
