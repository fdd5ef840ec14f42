//! Secrets, and the references by which a configuration names them.
//!
//! A configuration never holds a secret, only a [`SecretRef`]: `env:NAME`, `file:/path`, `cmd:program args` or
//! `keyring:service/user`. A [`SecretResolver`] that the composition root hands in turns it into a [`Secret`] at the
//! moment it is needed. Nothing in this crate reads the environment, a file or a keyring for it.

mod resolver;

use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

pub use resolver::{MapResolver, SecretError, SecretErrorKind, SecretResolver};

/// Bytes that must not be seen: wiped when dropped, and with no way to be printed, compared or serialised.
///
/// ```
/// use backup_core::Secret;
///
/// let secret = Secret::from("correct horse".to_owned());
/// assert_eq!(secret.expose(), b"correct horse");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes bytes over; they are wiped when the secret is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves; copies made of them are not wiped.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text.
    ///
    /// # Errors
    /// [`SecretErrorKind::NotText`] when they are not UTF-8; the error doesn't hold them.
    pub fn expose_text(&self) -> Result<&str, SecretErrorKind> {
        std::str::from_utf8(&self.0).map_err(|_| SecretErrorKind::NotText)
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where a secret is to be taken from.
///
/// Written as one text in a configuration. A text without one of the known prefixes is refused, so a password that was
/// typed where a reference belongs is never taken, stored or shown. `inline:text` holds the secret itself; whether it is
/// accepted is the resolver's decision, and it is shown as `inline:(hidden)`.
///
/// ```
/// use backup_core::SecretRef;
///
/// let reference = SecretRef::parse("env:BACKUP_PASSWORD")?;
/// assert_eq!(reference, SecretRef::Env("BACKUP_PASSWORD".to_owned()));
/// assert_eq!(reference.to_string(), "env:BACKUP_PASSWORD");
/// assert!(!SecretRef::parse("hunter2").unwrap_err().to_string().contains("hunter2"));
/// # Ok::<(), backup_core::InvalidSecretRef>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SecretRef {
    /// A variable of the environment.
    Env(String),
    /// The content of a file, without one line end at its end.
    File(String),
    /// What a program prints, without one line end at its end; the program and its arguments, never through a shell.
    Command(Vec<String>),
    /// An entry of the operating system's keyring.
    Keyring {
        /// The service it is stored under.
        service: String,
        /// The user it is stored for.
        user: String,
    },
    /// The secret itself.
    Inline(Secret),
}

/// A text that is no reference to a secret; it does not hold the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {EXPECTED_REFERENCE}: {reason}")]
pub struct InvalidSecretRef {
    reason: &'static str,
}

/// What a reference looks like, for messages.
pub(crate) const EXPECTED_REFERENCE: &str =
    "a reference to a secret: `env:NAME`, `file:/path`, `cmd:program args` or `keyring:service/user`";

/// How an inline secret begins.
pub(crate) const INLINE_PREFIX: &str = "inline:";

impl SecretRef {
    /// Reads a reference.
    ///
    /// # Errors
    /// [`InvalidSecretRef`] when the text has no known prefix, or nothing after it.
    pub fn parse(text: &str) -> Result<Self, InvalidSecretRef> {
        let invalid = |reason| Err(InvalidSecretRef { reason });
        let Some((prefix, rest)) = text.split_once(':') else {
            return invalid("the text has no prefix");
        };
        match prefix {
            "env" if rest.is_empty() || rest.contains(['=', '\0']) => invalid("no valid name after `env:`"),
            "env" => Ok(Self::Env(rest.to_owned())),
            "file" if rest.is_empty() || rest.contains('\0') => invalid("no path after `file:`"),
            "file" => Ok(Self::File(rest.to_owned())),
            "cmd" => match split_words(rest) {
                None => invalid("a quote after `cmd:` is not closed"),
                Some(words) if words.first().is_none_or(String::is_empty) => invalid("no program after `cmd:`"),
                Some(words) => Ok(Self::Command(words)),
            },
            "keyring" => match rest.rsplit_once('/') {
                Some((service, user)) if !service.is_empty() && !user.is_empty() => {
                    Ok(Self::Keyring { service: service.to_owned(), user: user.to_owned() })
                }
                _ => invalid("no `service/user` after `keyring:`"),
            },
            "inline" => Ok(Self::Inline(Secret::from(rest.to_owned()))),
            _ => invalid("the prefix is not known"),
        }
    }
}

/// Cuts a command into words at blanks; single and double quotes keep blanks together, a backslash outside single quotes
/// takes the next character as it is. `None` when a quote is not closed.
fn split_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().push(characters.next()?),
            (None, ' ' | '\t') => words.extend(word.take()),
            (_, _) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

impl PartialEq for SecretRef {
    /// Two inline secrets are never equal: comparing them would tell about them.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Env(a), Self::Env(b)) | (Self::File(a), Self::File(b)) => a == b,
            (Self::Command(a), Self::Command(b)) => a == b,
            (Self::Keyring { service: a, user: x }, Self::Keyring { service: b, user: y }) => a == b && x == y,
            (
                Self::Env(_) | Self::File(_) | Self::Command(_) | Self::Keyring { .. } | Self::Inline(_),
                Self::Env(_) | Self::File(_) | Self::Command(_) | Self::Keyring { .. } | Self::Inline(_),
            ) => false,
        }
    }
}

impl fmt::Display for SecretRef {
    /// The text it was read from, an inline secret hidden.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Command(words) => {
                f.write_str("cmd:")?;
                for (i, word) in words.iter().enumerate() {
                    write!(f, "{}{}", if i == 0 { "" } else { " " }, quoted(word))?;
                }
                Ok(())
            }
            Self::Keyring { service, user } => write!(f, "keyring:{service}/{user}"),
            Self::Inline(_) => write!(f, "{INLINE_PREFIX}(hidden)"),
        }
    }
}

impl Serialize for SecretRef {
    /// The same text as `Display`; an inline secret can't be read back.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = SecretRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED_REFERENCE)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SecretRef, E> {
                // `Other`, not `Str`: the text may be a secret and other deserialisers print it.
                SecretRef::parse(text).map_err(|_| E::invalid_value(Unexpected::Other("a text"), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "canary-5f3a";

    #[test]
    fn references_are_read_and_written_as_the_same_text() {
        for text in [
            "env:NAME",
            "file:/run/secrets/a b",
            "file:C:\\secret",
            "cmd:pass show s3",
            "cmd:pass \"show it\" \"a\\\"b\" \"\"",
            "keyring:my/service/user",
        ] {
            let reference = SecretRef::parse(text).unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(SecretRef::parse(&reference.to_string()).unwrap(), reference);
            let json = serde_json::to_string(&reference).unwrap();
            assert_eq!(serde_json::from_str::<SecretRef>(&json).unwrap(), reference);
        }
        assert_eq!(
            SecretRef::parse("cmd:pass 'show \\it' a\\ b").unwrap(),
            SecretRef::Command(vec!["pass".into(), "show \\it".into(), "a b".into()])
        );
    }

    #[test]
    fn text_without_a_known_prefix_is_refused_and_never_repeated() {
        for text in [
            CANARY.to_owned(),
            format!("{CANARY}:x"),
            format!("cmd:'{CANARY}"),
            format!("env:{CANARY}=1"),
            format!("keyring:{CANARY}"),
            "env:".into(),
            "file:".into(),
            "cmd: ".into(),
            "keyring:/".into(),
        ] {
            let error = SecretRef::parse(&text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
            let error = serde_json::from_value::<SecretRef>(serde_json::Value::String(text)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
        }
    }

    #[test]
    fn secret_shows_its_content_nowhere() {
        let secret = Secret::from(CANARY.to_owned());
        let reference = SecretRef::parse(&format!("inline:{CANARY}")).unwrap();
        let resolver = MapResolver::new().with("env:A", CANARY);
        let error = resolver.resolve(&reference).unwrap_err();
        let shown = format!(
            "{secret:?} {secret:#?} {reference} {reference:?} {resolver:?} {error} {error:?} {}",
            serde_json::to_string(&reference).unwrap()
        );
        assert!(!shown.contains(CANARY), "{shown}");
        assert_eq!(error.kind, SecretErrorKind::InlineRefused);
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error_without_them() {
        assert_eq!(Secret::new(vec![0xff, 0xfe]).expose_text(), Err(SecretErrorKind::NotText));
        assert_eq!(Secret::from("é".to_owned()).expose_text(), Ok("é"));
    }
}
