//! People, the programs that they trust, and what they have granted to them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::refusal::Refusal;
use super::state::State;

/// How long an access token is good for.
pub(super) const ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// Index of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UserId(pub(super) usize);

/// A person with a Drive of their own.
#[derive(Debug)]
pub(super) struct User {
    pub(super) email: String,
    pub(super) root: String,
    /// Bytes that may be stored; `None` for as many as wanted.
    pub(super) quota_bytes: Option<u64>,
}

/// How much of a Drive a program may see and do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Drive,
    /// Only what the same program made.
    DriveFile,
    /// Everything, and nothing can be changed.
    DriveReadonly,
}

impl Scope {
    /// The scope's name, a URL.
    pub fn url(self) -> &'static str {
        match self {
            Self::Drive => "https://www.googleapis.com/auth/drive",
            Self::DriveFile => "https://www.googleapis.com/auth/drive.file",
            Self::DriveReadonly => "https://www.googleapis.com/auth/drive.readonly",
        }
    }

    pub(super) fn named(url: &str) -> Option<Self> {
        [Self::Drive, Self::DriveFile, Self::DriveReadonly].into_iter().find(|scope| scope.url() == url)
    }
}

/// A program that people may trust, as it is registered.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) secret: String,
}

/// What a person has granted to a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) user: UserId,
    pub(super) client: String,
    pub(super) scope: Scope,
}

/// A permission that was asked for and not yet fetched.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) grant: Grant,
    pub(super) redirect_uri: String,
    /// What `code_verifier` has to hash to.
    pub(super) challenge: Option<String>,
    pub(super) is_offline: bool,
    pub(super) expires_ms: u64,
}

/// Every token and code there is.
#[derive(Debug, Default)]
pub(super) struct Grants {
    pub(super) clients: BTreeMap<String, Client>,
    pub(super) refresh_tokens: BTreeMap<String, Grant>,
    /// With the time when it expires.
    pub(super) access_tokens: BTreeMap<String, (Grant, u64)>,
    pub(super) codes: BTreeMap<String, Code>,
}

impl Grants {
    /// Ends all that a person has granted, or all that rests on one refresh token.
    pub(super) fn revoke(&mut self, is_ended: impl Fn(&Grant) -> bool) {
        self.refresh_tokens.retain(|_, grant| !is_ended(grant));
        self.access_tokens.retain(|_, (grant, _)| !is_ended(grant));
        self.codes.retain(|_, code| !is_ended(&code.grant));
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) user: UserId,
    pub(super) client: String,
    pub(super) scope: Scope,
}

impl State {
    /// Whoever an access token stands for.
    pub(super) fn caller(&self, authorization: Option<&str>) -> Result<Caller, Refusal> {
        let token =
            authorization.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(Refusal::unauthenticated)?;
        let (grant, expires_ms) = self.grants.access_tokens.get(token).ok_or_else(Refusal::unauthenticated)?;
        if self.clock.now_ms() >= *expires_ms {
            return Err(Refusal::unauthenticated());
        }
        Ok(Caller { user: grant.user, client: grant.client.clone(), scope: grant.scope })
    }

    /// A new access token.
    pub(super) fn issue_access_token(&mut self, grant: &Grant) -> String {
        let token = format!("ya29.{}", self.opaque("access token"));
        let life_ms = u64::try_from(ACCESS_TOKEN_LIFE.as_millis()).expect("an hour");
        let expires_ms = self.clock.now_ms() + life_ms;
        self.grants.access_tokens.insert(token.clone(), (grant.clone(), expires_ms));
        token
    }

    /// A new refresh token.
    pub(super) fn issue_refresh_token(&mut self, grant: &Grant) -> String {
        let token = format!("1//{}", self.opaque("refresh token"));
        self.grants.refresh_tokens.insert(token.clone(), grant.clone());
        token
    }

    pub(super) fn user(&self, id: UserId) -> &User {
        &self.users[id.0]
    }
}
