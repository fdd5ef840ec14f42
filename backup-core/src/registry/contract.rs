//! What a plug-in's configuration has to be able to do, one trait for each family.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::conflict::ConflictResolver;
use crate::retention::{RetentionPolicy, ZoneName};
use crate::secret::{Secret, SecretRef, SecretResolver};
use crate::snapshotter::{Snapshotter, SourceError};
use crate::storage::StorageBackend;
use crate::storage::error::{StorageError, StorageErrorKind, StorageOperation, StorageResult};

/// The configuration of a storage backend.
///
/// Plain data, read from a configuration or built by a program. Secrets are [`SecretRef`]s in it, so that it can be shown
/// and stored.
#[async_trait]
#[typetag::serde(tag = "type")]
pub trait BackendConfig: fmt::Debug + Send + Sync + 'static {
    /// Looks whether the values make sense, without touching anything outside.
    ///
    /// # Errors
    /// [`InvalidConfig`] names the option; its message must not hold the value of an option that may be secret.
    fn validate(&self) -> Result<(), InvalidConfig>;

    /// Where the store is, as a URL or path without secrets; the same store gives the same text.
    fn location(&self) -> String;

    /// Opens the store.
    ///
    /// Creates nothing that wasn't there: a place that is not there yet is made by the first put.
    ///
    /// # Errors
    /// `Config` when a secret can't be had, `Unauthenticated`, `HostKeyMismatch`, `PermissionDenied`, `Unavailable`,
    /// `Timeout`.
    async fn connect(&self, context: &ConnectContext) -> StorageResult<Arc<dyn StorageBackend>>;

    /// Lets a server show who it is, where it is one that is recognised by its key. Nothing is believed, nobody is logged
    /// in and nothing is changed; a person compares, and whoever calls this writes down what is to be remembered.
    ///
    /// # Errors
    /// `Config`, `Unavailable`, `Timeout`.
    async fn introduce(&self, _context: &ConnectContext) -> StorageResult<Option<Introduction>> {
        Ok(None)
    }

    /// Begins to ask a person for consent, where the store's service wants that; `browser_port` is where a browser on this
    /// machine is to bring the answer, and without it the service shows a code to copy. Nothing is changed before the
    /// answer is there.
    ///
    /// # Errors
    /// `Config`.
    async fn login(
        &self,
        _context: &ConnectContext,
        _browser_port: Option<u16>,
    ) -> StorageResult<Option<Box<dyn Login>>> {
        Ok(None)
    }
}

/// A person who is asked for consent.
#[async_trait]
pub trait Login: fmt::Debug + Send {
    /// The address that the person has to follow.
    fn url(&self) -> &str;

    /// The file that the answer is kept in.
    fn file(&self) -> &Path;

    /// Takes the code that the person has copied.
    ///
    /// # Errors
    /// `Unauthenticated` when the service doesn't take it, `Config`, `RateLimited`, `Unavailable`, `Timeout`.
    async fn with_code(self: Box<Self>, code: &Secret) -> StorageResult<()>;

    /// Waits for the browser, which has to come within that time.
    ///
    /// # Errors
    /// `PermissionDenied` when the person says no, `Timeout` when nobody comes, and those of [`Login::with_code`].
    async fn from_browser(self: Box<Self>, limit: Duration) -> StorageResult<()>;
}

/// What a server shows of itself before anything is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// The server as it is known by: `nas.example.org`, or `[nas.example.org]:2222`.
    pub server: String,
    /// The kind of its key.
    pub algorithm: String,
    /// The key's fingerprint, `SHA256:` and what follows.
    pub fingerprint: String,
    /// What is known of it.
    pub standing: Standing,
    /// Where it is to be remembered.
    pub file: PathBuf,
    /// What is to be written there, a line without its end.
    pub line: String,
}

/// What is known of a server that shows its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has this key.
    Known,
    /// Nothing.
    Unknown,
    /// Something that speaks against it, in words.
    Refused(String),
}

/// The configuration of a source.
#[typetag::serde(tag = "type")]
pub trait SourceConfig: fmt::Debug + Send + Sync + 'static {
    /// Looks whether the values make sense, without touching anything outside.
    ///
    /// # Errors
    /// [`InvalidConfig`] names the option; its message must not hold the value of an option that may be secret.
    fn validate(&self) -> Result<(), InvalidConfig>;

    /// Makes the snapshotter; the source itself is first touched by [`Snapshotter::begin`].
    ///
    /// # Errors
    /// [`SourceError::Config`] when the values can't be used together.
    fn open(&self, context: &OpenContext) -> Result<Box<dyn Snapshotter>, SourceError>;
}

/// The configuration of a retention policy; it is the policy.
#[typetag::serde(tag = "type")]
pub trait RetentionConfig: RetentionPolicy + 'static {
    /// Looks whether the values make sense: a policy that could never keep anything by its own rule is refused.
    ///
    /// # Errors
    /// [`InvalidConfig`] names the option.
    fn validate(&self) -> Result<(), InvalidConfig>;

    /// Takes a time zone over where none was given; policies that know no calendar ignore it.
    fn adopt_time_zone(&mut self, _zone: &ZoneName) {}
}

/// The configuration of a conflict resolver.
#[typetag::serde(tag = "type")]
pub trait ConflictConfig: fmt::Debug + Send + Sync + 'static {
    /// Looks whether the values make sense.
    ///
    /// # Errors
    /// [`InvalidConfig`] names the option.
    fn validate(&self) -> Result<(), InvalidConfig>;

    /// Makes the resolver; `asker` puts questions to a person, where there is one to ask.
    ///
    /// # Errors
    /// [`InvalidConfig`] when it has to ask and there is nobody.
    fn resolver(&self, asker: Option<Arc<dyn ConflictResolver>>) -> Result<Box<dyn ConflictResolver>, InvalidConfig>;
}

/// A configuration whose values don't make sense: which option and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", option.as_deref().map(|name| format!("`{name}` ")).unwrap_or_default())]
pub struct InvalidConfig {
    /// The option, where it is one.
    pub option: Option<String>,
    /// What is wrong, a lower-case fragment: `is empty`.
    pub message: String,
}

impl InvalidConfig {
    /// An error about one option.
    pub fn at(option: impl Into<String>, message: impl Into<String>) -> Self {
        Self { option: Some(option.into()), message: message.into() }
    }

    /// An error about how options go together.
    pub fn whole(message: impl Into<String>) -> Self {
        Self { option: None, message: message.into() }
    }
}

/// What a backend may use while it is opened, and keep for later.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectContext {
    /// Where secrets come from; [`ConnectContext::secret`] asks it without blocking the task.
    pub secrets: Arc<dyn SecretResolver>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl ConnectContext {
    /// A context of these parts.
    pub fn new(secrets: Arc<dyn SecretResolver>, clock: Arc<dyn Clock>) -> Self {
        Self { secrets, clock }
    }

    /// The secret behind a reference, resolved on a thread for blocking work.
    ///
    /// # Errors
    /// `Config`, with the [`SecretError`](crate::SecretError) as its source.
    pub async fn secret(&self, reference: &SecretRef) -> StorageResult<Secret> {
        let (secrets, reference) = (Arc::clone(&self.secrets), reference.clone());
        let failed = || StorageError::new(StorageErrorKind::Config, StorageOperation::Connect);
        match tokio::task::spawn_blocking(move || secrets.resolve(&reference)).await {
            Ok(Ok(secret)) => Ok(secret),
            Ok(Err(error)) => Err(failed().with_source(error)),
            Err(stopped) => Err(failed().with_source(stopped)),
        }
    }
}

/// What a source may use while it is made, and keep for later.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenContext {
    /// The name it has in the configuration, if it has one.
    pub name: Option<String>,
    /// Where secrets come from; asking may block.
    pub secrets: Arc<dyn SecretResolver>,
}

impl OpenContext {
    /// A context of these parts.
    pub fn new(name: Option<String>, secrets: Arc<dyn SecretResolver>) -> Self {
        Self { name, secrets }
    }
}
