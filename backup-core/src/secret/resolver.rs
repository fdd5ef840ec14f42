//! Turning references into secrets, and why that can fail.

use std::collections::BTreeMap;
use std::fmt;

use super::{Secret, SecretRef};

/// Why a secret can't be had, in terms that callers act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SecretErrorKind {
    /// There is nothing where the reference points.
    #[error("not found")]
    NotFound,
    /// Others than the owner can read the file.
    #[error("the file can be read by others; take their permission away (chmod 600)")]
    Exposed,
    /// The system refused.
    #[error("not readable")]
    Unreadable,
    /// The program failed or gave no answer in time.
    #[error("the command failed")]
    CommandFailed,
    /// The secret has no bytes.
    #[error("it is empty")]
    Empty,
    /// The secret is no text and text is needed.
    #[error("it is not UTF-8 text")]
    NotText,
    /// The reference holds the secret itself, and that was not allowed.
    #[error("a secret written into the configuration is not allowed; refer to it by env:, file:, cmd: or keyring:")]
    InlineRefused,
    /// This resolver has no such place.
    #[error("not supported by this program")]
    Unsupported,
}

/// A secret that can't be had: which reference, and why. Never holds the secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot get the secret `{reference}`: {kind}{}", detail.as_deref().map(|d| format!(" ({d})")).unwrap_or_default())]
pub struct SecretError {
    /// Which reference, as it is shown.
    pub reference: String,
    /// Why.
    pub kind: SecretErrorKind,
    /// More words that hold no secret: what the system said.
    pub detail: Option<String>,
}

impl SecretError {
    /// An error about a reference.
    pub fn new(reference: &SecretRef, kind: SecretErrorKind) -> Self {
        Self { reference: reference.to_string(), kind, detail: None }
    }

    /// The same error with more words that hold no secret.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// Turns references into secrets; the composition root hands it in.
///
/// An implementation gives the bytes as they are, without one line end (`\n` or `\r\n`) at the end of a file or of what a
/// program prints; refuses an empty secret, and a file that others can read; takes [`SecretRef::Inline`] only when it was
/// told to; and bounds the time a program may take. It may block for that long.
pub trait SecretResolver: fmt::Debug + Send + Sync {
    /// The secret a reference stands for.
    ///
    /// # Errors
    /// A [`SecretError`] by kind; it never holds a part of the secret.
    fn resolve(&self, reference: &SecretRef) -> Result<Secret, SecretError>;
}

/// A resolver that knows what it was given, for tests and for programs that hold their secrets themselves.
///
/// ```
/// use backup_core::{MapResolver, SecretRef, SecretResolver};
///
/// let resolver = MapResolver::new().with("keyring:my app/repository", "correct horse");
/// let secret = resolver.resolve(&SecretRef::parse("keyring:my app/repository")?)?;
/// assert_eq!(secret.expose(), b"correct horse");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MapResolver {
    secrets: BTreeMap<String, Secret>,
    allow_inline: bool,
}

impl MapResolver {
    /// A resolver that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more secret, under the reference's text.
    #[must_use]
    pub fn with(mut self, reference: &str, secret: &str) -> Self {
        self.secrets.insert(reference.to_owned(), Secret::from(secret.to_owned()));
        self
    }

    /// The same, giving inline secrets too.
    #[must_use]
    pub fn allowing_inline(mut self) -> Self {
        self.allow_inline = true;
        self
    }
}

impl SecretResolver for MapResolver {
    fn resolve(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        let secret = match reference {
            SecretRef::Inline(secret) if self.allow_inline => Some(secret),
            SecretRef::Inline(_) => return Err(SecretError::new(reference, SecretErrorKind::InlineRefused)),
            SecretRef::Env(_) | SecretRef::File(_) | SecretRef::Command(_) | SecretRef::Keyring { .. } => {
                self.secrets.get(&reference.to_string())
            }
        };
        match secret {
            None => Err(SecretError::new(reference, SecretErrorKind::NotFound)),
            Some(secret) if secret.is_empty() => Err(SecretError::new(reference, SecretErrorKind::Empty)),
            Some(secret) => Ok(secret.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolver_gives_inline_secrets_only_when_allowed_and_refuses_empty_ones() {
        let resolver = MapResolver::new().with("env:EMPTY", "").allowing_inline();
        let kind = |text: &str| resolver.resolve(&SecretRef::parse(text).unwrap()).map_err(|error| error.kind);
        assert_eq!(kind("inline:abc").unwrap().expose(), b"abc");
        assert_eq!(kind("env:EMPTY").unwrap_err(), SecretErrorKind::Empty);
        assert_eq!(kind("inline:").unwrap_err(), SecretErrorKind::Empty);
        assert_eq!(kind("env:OTHER").unwrap_err(), SecretErrorKind::NotFound);
    }
}
