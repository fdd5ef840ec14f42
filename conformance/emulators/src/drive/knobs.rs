//! What the emulator does otherwise than usual, for as long as it is set so.

use std::time::Duration;

/// Settings that change how the emulator behaves from now on.
#[derive(Debug, Clone, Default)]
pub struct Knobs {
    /// How long queries by name don't find what got its name just now; parents and ids find it at once.
    pub name_index_lag: Duration,
    /// Queries that ask for one of several parents find nothing.
    pub or_parents_find_nothing: bool,
    /// Pages of listings hold no more than this, whatever was asked for.
    pub page_at_most: Option<usize>,
    /// The first page of every listing is empty and tells of another one.
    pub first_page_is_empty: bool,
    /// Listings of files say that they are not complete.
    pub incomplete_search: bool,
    /// Checksums by MD5 are told wrong.
    pub wrong_md5: bool,
    /// Each refresh gives a new refresh token and ends the one that was used.
    pub rotates_refresh_tokens: bool,
    /// Whoever is asked for consent says no.
    pub denies_consent: bool,
    /// Upload sessions that are gone are answered with 410 and not with 404.
    pub lost_sessions_are_410: bool,
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveFault {
    /// No more than this of an upload's chunk is kept, in whole multiples of 256 KiB. With 0 the reply has no `Range`.
    KeepOnly {
        /// Bytes of the chunk.
        bytes: usize,
    },
    /// The upload's session is forgotten first.
    LoseSession,
    /// The access token that the request was made with is no longer good, before the request is looked at.
    ExpireToken,
}
