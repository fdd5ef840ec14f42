//! Tokens as a program holds them.

use backup_core::{Secret, Timestamp};

/// What a person's consent has become.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// What new access tokens are got with.
    pub refresh: Secret,
    /// What requests carry, where there is one yet.
    pub access: Option<Access>,
}

/// An access token and its end.
#[derive(Debug, Clone)]
pub struct Access {
    /// The token.
    pub token: Secret,
    /// When it ends, by the clock of this program.
    pub expires: Timestamp,
}

impl Tokens {
    /// A refresh token alone.
    pub fn of_refresh(refresh: Secret) -> Self {
        Self { refresh, access: None }
    }
}
