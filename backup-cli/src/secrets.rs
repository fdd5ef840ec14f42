//! Secrets from the machine: variables, files, programs, the keyring.

mod command;
mod file;

use std::path::Path;

use backup_core::{Secret, SecretError, SecretErrorKind, SecretRef, SecretResolver};

use zeroize::Zeroizing;

use crate::environment::Environment;

/// More bytes than any password or key has; what is longer is not one.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Resolves references to secrets on this machine.
///
/// A file must be readable by its owner alone. A program gets the terminal to ask on, and has five minutes. Secrets
/// written into the configuration itself are refused, unless [allowed](Self::allowing_inline).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemSecretResolver {
    environment: Environment,
    allow_inline: bool,
}

impl SystemSecretResolver {
    /// The resolver.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, giving secrets that stand in the configuration itself, or not.
    #[must_use]
    pub fn allowing_inline(mut self, allow: bool) -> Self {
        self.allow_inline = allow;
        self
    }
}

impl SecretResolver for SystemSecretResolver {
    fn resolve(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        let failed = |kind| SecretError::new(reference, kind);
        let secret = match reference {
            SecretRef::Env(name) => {
                let value = self.environment.variable(name).ok_or_else(|| failed(SecretErrorKind::NotFound))?;
                Secret::new(value.into_encoded_bytes())
            }
            SecretRef::File(path) => {
                file::read(path.as_ref()).map_err(|(kind, detail)| explained(failed(kind), detail))?
            }
            SecretRef::Command(words) => {
                command::output(words).map_err(|detail| failed(SecretErrorKind::CommandFailed).with_detail(detail))?
            }
            SecretRef::Keyring { service, user } => {
                from_keyring(service, user).map_err(|(kind, detail)| explained(failed(kind), detail))?
            }
            SecretRef::Inline(secret) if self.allow_inline => secret.clone(),
            SecretRef::Inline(_) => return Err(failed(SecretErrorKind::InlineRefused)),
            _ => return Err(failed(SecretErrorKind::Unsupported)),
        };
        if secret.is_empty() { Err(failed(SecretErrorKind::Empty)) } else { Ok(secret) }
    }
}

/// The bytes of a key file, exactly; the error says in words why not.
pub(crate) fn file_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    file::bytes(path).map_err(in_words)
}

/// A new key: the text of 256 random bits, as the content of a key file.
pub(crate) fn new_key() -> Result<Zeroizing<Vec<u8>>, String> {
    use base64::Engine;
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *random).map_err(|error| error.to_string())?;
    let mut text = Zeroizing::new(vec![0; 44]);
    let written = base64::engine::general_purpose::STANDARD.encode_slice(*random, &mut text);
    debug_assert_eq!(written, Ok(44), "32 bytes are 44 letters");
    Ok(text)
}

/// The bytes of a file that others may read, as a recovery kit on a stick may be.
pub(crate) fn any_file_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    file::any_bytes(path).map_err(in_words)
}

fn in_words((kind, detail): (SecretErrorKind, Option<String>)) -> String {
    match detail {
        Some(detail) => format!("{kind} ({detail})"),
        None => kind.to_string(),
    }
}

fn explained(error: SecretError, detail: Option<String>) -> SecretError {
    match detail {
        Some(detail) => error.with_detail(detail),
        None => error,
    }
}

/// The secret in bytes that end with at most one line end, which does not belong to it.
fn without_line_end(mut bytes: Vec<u8>) -> Secret {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Secret::new(bytes)
}

#[cfg(feature = "keyring")]
fn from_keyring(service: &str, user: &str) -> Result<Secret, (SecretErrorKind, Option<String>)> {
    use keyring::v1::{Entry, Error};
    let secret = Entry::new(service, user).and_then(|entry| entry.get_secret());
    secret.map(Secret::new).map_err(|error| match error {
        Error::NoEntry => (SecretErrorKind::NotFound, None),
        // Other errors may hold what was read.
        Error::NoStorageAccess(_) | Error::PlatformFailure(_) => {
            (SecretErrorKind::Unreadable, Some("the keyring can't be reached".to_owned()))
        }
        _ => (SecretErrorKind::Unreadable, None),
    })
}

#[cfg(not(feature = "keyring"))]
fn from_keyring(_: &str, _: &str) -> Result<Secret, (SecretErrorKind, Option<String>)> {
    Err((SecretErrorKind::Unsupported, Some("built without the feature `keyring`".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(reference: &str) -> SecretErrorKind {
        let reference = SecretRef::parse(reference).unwrap();
        SystemSecretResolver::new().resolve(&reference).unwrap_err().kind
    }

    #[test]
    fn one_line_end_is_taken_away_and_no_more() {
        for (bytes, secret) in
            [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a ", "a "), ("\n", ""), ("a\r", "a\r")]
        {
            assert_eq!(without_line_end(bytes.into()).expose(), secret.as_bytes(), "{bytes:?}");
        }
    }

    #[test]
    fn missing_empty_and_inline_secrets_are_refused_by_kind() {
        assert_eq!(kind("env:BACKUP_TEST_NO_SUCH_VARIABLE"), SecretErrorKind::NotFound);
        assert_eq!(kind("file:/no/such/file"), SecretErrorKind::NotFound);
        assert_eq!(kind("inline:abc"), SecretErrorKind::InlineRefused);
        let allowing = SystemSecretResolver::new().allowing_inline(true);
        let resolve = |text: &str| allowing.resolve(&SecretRef::parse(text).unwrap()).map_err(|error| error.kind);
        assert_eq!(resolve("inline:abc").unwrap().expose(), b"abc");
        assert_eq!(resolve("inline:").unwrap_err(), SecretErrorKind::Empty);
        assert_eq!(kind("cmd:/no/such/program"), SecretErrorKind::CommandFailed);
    }

    #[cfg(unix)]
    #[test]
    fn program_gives_what_it_prints_unless_it_fails() {
        let reference = SecretRef::parse("cmd:sh -c 'echo secret'").unwrap();
        assert_eq!(SystemSecretResolver::new().resolve(&reference).unwrap().expose(), b"secret");
        assert_eq!(kind("cmd:sh -c 'echo secret; exit 3'"), SecretErrorKind::CommandFailed);
        assert_eq!(kind("cmd:true"), SecretErrorKind::Empty);
    }

    #[cfg(unix)]
    #[test]
    fn file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "abc\n").unwrap();
        let reference = SecretRef::File(path.display().to_string());
        for (mode, refused) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o660, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let resolved = SystemSecretResolver::new().resolve(&reference);
            assert_eq!(resolved.is_err_and(|error| error.kind == SecretErrorKind::Exposed), refused, "{mode:o}");
        }
    }
}
