//! OAuth 2 for programs that are installed: a person's consent, and the tokens that follow from it.
//!
//! A program shows the address of a [`Consent`]; the person who follows it gives back a code, by hand or through a
//! [`Loopback`]; the code becomes [`Tokens`], which a [`TokenFile`] keeps. A [`TokenSource`] gives out access tokens and
//! gets new ones before they end, for all who ask at once with a single request.
//!
//! Nothing here knows a particular service: where it is and what it wants to be told stands in an [`OAuthProvider`]. No
//! secret is in any `Debug` or error.

mod authorization;
mod consent;
mod failure;
mod file;
mod loopback;
mod source;
mod tokens;

pub use authorization::{Authorization, OAuthClient, OAuthProvider};
pub use consent::Consent;
pub use failure::OAuthError;
pub use file::TokenFile;
pub use loopback::Loopback;
pub use source::{AccessToken, TokenSource};
pub use tokens::{Access, Tokens};
