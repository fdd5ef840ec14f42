//! The `config` object (§3).

use serde::{Deserialize, Serialize};

use super::{FORMAT_VERSION, FormatError, malformed};
use crate::chunker::ChunkerParameters;
use crate::crypto::{Keyring, kdf};
use crate::id::{RepositoryId, hex, parse_hex};

/// The text in the `format` field.
const FORMAT_NAME: &str = "backup-repository";

/// The longest `config` a reader takes.
pub const MAX_CONFIG_BYTES: usize = 64 * 1024;

/// What a repository is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryConfig {
    /// Always the format's name.
    pub format: String,
    /// The format's version.
    pub version: u64,
    /// The repository's id.
    pub id: RepositoryId,
    /// When it was made, RFC 3339.
    pub created: String,
    /// How content is cut.
    pub chunker: ChunkerParameters,
}

/// A `config` whose authenticity has not been checked, because that takes the keys it leads to.
#[derive(Debug, Clone)]
pub struct UncheckedConfig {
    config: RepositoryConfig,
    line: Vec<u8>,
    mac: [u8; 32],
}

/// Only what must be looked at before all else.
#[derive(Deserialize)]
struct VersionProbe {
    format: String,
    version: u64,
}

impl RepositoryConfig {
    /// A configuration of this program's format version.
    pub fn new(id: RepositoryId, created: String, chunker: ChunkerParameters) -> Self {
        Self { format: FORMAT_NAME.to_owned(), version: u64::from(FORMAT_VERSION), id, created, chunker }
    }

    /// The object: the JSON line and its authentication line.
    pub fn encode(&self, keyring: &Keyring) -> Vec<u8> {
        let mut out = serde_json::to_vec(self).expect("a configuration is plain data");
        let mac = keyring.config_mac(&out);
        out.push(b'\n');
        out.extend_from_slice(hex(&mac).as_bytes());
        out.push(b'\n');
        out
    }
}

impl UncheckedConfig {
    /// Decodes the object.
    ///
    /// # Errors
    /// `NewerVersion` before anything else is looked at; `Malformed` when it is no `config` of ours.
    pub fn decode(object: &[u8]) -> Result<Self, FormatError> {
        const WHAT: &str = "config";
        if object.len() > MAX_CONFIG_BYTES {
            return Err(malformed(WHAT, "too long"));
        }
        let mut lines = object.split(|&b| b == b'\n');
        let line = lines.next().unwrap_or_default();
        let probe: VersionProbe = serde_json::from_slice(line)
            .map_err(|_| malformed(WHAT, "its first line is no description of a repository"))?;
        if probe.format != FORMAT_NAME {
            return Err(malformed(WHAT, "of another format"));
        }
        if probe.version != u64::from(FORMAT_VERSION) {
            return Err(FormatError::NewerVersion { found: probe.version });
        }
        let config: RepositoryConfig =
            serde_json::from_slice(line).map_err(|_| malformed(WHAT, "a field is missing or has a wrong value"))?;
        let mac = lines
            .next()
            .and_then(|mac| std::str::from_utf8(mac).ok())
            .and_then(parse_hex)
            .ok_or_else(|| malformed(WHAT, "no authentication line"))?;
        if lines.next() != Some(b"") || lines.next().is_some() {
            return Err(malformed(WHAT, "not exactly two lines"));
        }
        Ok(Self { config, line: line.to_vec(), mac })
    }

    /// Whether bytes that don't decode are a `config` that was cut off while it was stored, on a store whose put is not atomic.
    pub fn is_torn(object: &[u8]) -> bool {
        /// How every `config` of version 1 begins (format §3).
        const BEGINNING: &[u8] = br#"{"format":"backup-repository","version":1,"#;
        let len = object.len().min(BEGINNING.len());
        let lines = object.iter().filter(|&&byte| byte == b'\n').count();
        // Some file systems leave zeros where a crash kept the length of a file and not its bytes.
        let is_empty = object.iter().all(|&byte| byte == 0);
        object.len() <= MAX_CONFIG_BYTES && (is_empty || (object[..len] == BEGINNING[..len] && lines < 2))
    }

    /// The repository's id, to find its key slots by; not yet authentic.
    pub fn repository(&self) -> RepositoryId {
        self.config.id
    }

    /// The configuration, once the keys say that it is authentic.
    pub fn check(self, keyring: &Keyring) -> Result<RepositoryConfig, FormatError> {
        if !kdf::equal(&keyring.config_mac(&self.line), &self.mac) {
            return Err(FormatError::Authentication("config"));
        }
        // An unknown chunker is no error here: nobody needs it to read.
        Ok(self.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SecretKey;

    #[test]
    fn config_comes_back_and_no_byte_may_change() {
        let id = RepositoryId::from_bytes([1; 32]);
        let keyring = Keyring::new(id, SecretKey::from_bytes(&[2; 32]));
        let config = RepositoryConfig::new(id, "2026-11-21T00:00:00Z".into(), ChunkerParameters::default());
        let object = config.encode(&keyring);
        assert_eq!(UncheckedConfig::decode(&object).unwrap().check(&keyring), Ok(config));
        for at in 0..object.len() {
            let mut damaged = object.clone();
            damaged[at] ^= 1;
            let checked = UncheckedConfig::decode(&damaged).and_then(|config| config.check(&keyring));
            assert!(checked.is_err(), "byte {at}");
        }
    }

    #[test]
    fn every_beginning_is_torn_and_nothing_else_is() {
        let id = RepositoryId::from_bytes([1; 32]);
        let keyring = Keyring::new(id, SecretKey::from_bytes(&[2; 32]));
        let object = RepositoryConfig::new(id, "now".into(), ChunkerParameters::default()).encode(&keyring);
        for len in 0..object.len() {
            assert!(UncheckedConfig::is_torn(&object[..len]), "first {len} bytes");
            assert!(UncheckedConfig::decode(&object[..len]).is_err());
        }
        assert!(UncheckedConfig::is_torn(&[0; 300]));
        let with_zeros = [&object[..100], &[0; 200]].concat();
        assert!(UncheckedConfig::is_torn(&with_zeros));
        let newer = br#"{"format":"backup-repository","version":2,"#;
        for other in [&object[..], b"[core]\n\tbare = false\n", b"{}", b"x", newer, &[0; MAX_CONFIG_BYTES + 1]] {
            assert!(!UncheckedConfig::is_torn(other), "{}", other.escape_ascii());
        }
    }

    #[test]
    fn newer_version_is_named_whatever_else_it_holds() {
        let object = b"{\"format\":\"backup-repository\",\"version\":9,\"new\":{}}\nxyz";
        assert_eq!(UncheckedConfig::decode(object).unwrap_err(), FormatError::NewerVersion { found: 9 });
        assert!(matches!(UncheckedConfig::decode(b"hello").unwrap_err(), FormatError::Malformed { .. }));
    }
}
