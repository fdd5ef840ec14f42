//! Which keys a server may show: `known_hosts` files as sshd(8) describes them, or one pinned key.

use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::known_hosts::{HostPatterns, KnownHosts as Lines, Marker};
use russh::keys::{Algorithm, HashAlg, PublicKey};
use sha1::Sha1;

/// The port that is not written beside a name.
const USUAL_PORT: u16 = 22;

/// What is known of a server.
#[derive(Debug, Clone)]
pub(crate) struct KnownKeys {
    /// How the server is written in files.
    name: String,
    trusted: Vec<(PublicKey, Place)>,
    revoked: Vec<(PublicKey, Place)>,
    /// A `SHA256:…` or a key, from the configuration; then no file is asked.
    pinned: Option<Pin>,
}

/// Where a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    file: PathBuf,
    line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} line {}", self.file.display(), self.line)
    }
}

/// A key that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pin {
    /// Its fingerprint, `SHA256:` and what follows.
    Fingerprint(String),
    /// The key itself.
    Key(Box<PublicKey>),
}

impl Pin {
    /// Reads a fingerprint as `ssh-keygen -l` shows it, or a key as it stands in a `known_hosts` file.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with("SHA256:") {
            let hash: russh::keys::ssh_key::Fingerprint = text.parse().ok()?;
            return Some(Self::Fingerprint(hash.to_string()));
        }
        text.parse().ok().map(|key| Self::Key(Box::new(key)))
    }
}

/// Why a server's key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Untrusted {
    #[error("the server shows the {algorithm} key {fingerprint}, and no key of {name} is known")]
    Unknown { name: String, algorithm: String, fingerprint: String },
    #[error(
        "the server shows the {algorithm} key {fingerprint}, and another one is known for {name} ({place}): it was set up anew, or somebody is in between"
    )]
    Changed { name: String, algorithm: String, fingerprint: String, place: String },
    #[error("the server shows the {algorithm} key {fingerprint}, which is marked as revoked ({place})")]
    Revoked { algorithm: String, fingerprint: String, place: String },
    #[error("the server shows the {algorithm} key {fingerprint}, and `host_key` names another one")]
    NotPinned { algorithm: String, fingerprint: String },
}

impl KnownKeys {
    /// Nothing is known of the server of a name, as [`host_name`] writes it.
    pub(crate) fn of(name: impl Into<String>) -> Self {
        Self { name: name.into().to_ascii_lowercase(), trusted: Vec::new(), revoked: Vec::new(), pinned: None }
    }

    /// Only one key is right, whatever files say.
    pub(crate) fn pin(&mut self, pin: Pin) {
        self.pinned = Some(pin);
    }

    /// Takes over what a file says about the server. Lines that nobody can read are passed over, as ssh does, but for those that
    /// revoke a key: the message names the line.
    pub(crate) fn add_file(&mut self, file: &Path, content: &str) -> Result<(), String> {
        for (number, line) in content.lines().enumerate() {
            // One space between words, as the parser wants it.
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            // A comment begins a line; within one `#` may be part of a key's comment.
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = Place { file: file.to_owned(), line: number + 1 };
            let Some(Ok(entry)) = Lines::new(&line).next() else {
                if line.starts_with("@revoked") {
                    return Err(format!("{place} revokes a key that can't be read"));
                }
                continue;
            };
            if !matches(entry.host_patterns(), &self.name) {
                continue;
            }
            let mut key = entry.public_key().clone();
            key.set_comment("");
            match entry.marker() {
                None => self.trusted.push((key, place)),
                Some(Marker::Revoked) => self.revoked.push((key, place)),
                // Certificates of servers are not asked for, so none is shown.
                Some(Marker::CertAuthority) => {}
            }
        }
        Ok(())
    }

    /// The types of key to ask the server for: the known ones first, or else a server that has several shows another.
    pub(crate) fn preferred(&self, all: &[Algorithm]) -> Vec<Algorithm> {
        let is_known = |algorithm: &&Algorithm| {
            let same = |key: &PublicKey| match (key.algorithm(), algorithm) {
                (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
                (known, wanted) => known == **wanted,
            };
            let pinned = matches!(&self.pinned, Some(Pin::Key(key)) if same(key));
            pinned || self.trusted.iter().any(|(key, _)| same(key))
        };
        let (known, unknown): (Vec<_>, Vec<_>) = all.iter().partition(is_known);
        known.into_iter().chain(unknown).cloned().collect()
    }

    /// Whether a server that shows this key is the right one.
    pub(crate) fn check(&self, key: &PublicKey) -> Result<(), Untrusted> {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let algorithm = key.algorithm().as_str().to_owned();
        let same = |known: &PublicKey| known.key_data() == key.key_data();
        if let Some((_, place)) = self.revoked.iter().find(|(known, _)| same(known)) {
            return Err(Untrusted::Revoked { algorithm, fingerprint, place: place.to_string() });
        }
        match &self.pinned {
            Some(Pin::Fingerprint(pinned)) if *pinned == fingerprint => return Ok(()),
            Some(Pin::Key(pinned)) if same(pinned) => return Ok(()),
            Some(_) => return Err(Untrusted::NotPinned { algorithm, fingerprint }),
            None => {}
        }
        if self.trusted.iter().any(|(known, _)| same(known)) {
            return Ok(());
        }
        let name = self.name.clone();
        match self.trusted.first() {
            Some((_, place)) => Err(Untrusted::Changed { name, algorithm, fingerprint, place: place.to_string() }),
            None => Err(Untrusted::Unknown { name, algorithm, fingerprint }),
        }
    }
}

/// How a server is written in a `known_hosts` file.
pub(crate) fn host_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == USUAL_PORT { host } else { format!("[{host}]:{port}") }
}

fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            // HMAC takes keys of every length.
            Hmac::<Sha1>::new_from_slice(salt)
                .is_ok_and(|mac| mac.chain_update(name).verify_slice(hash.as_slice()).is_ok())
        }
        HostPatterns::Patterns(patterns) => {
            let mut found = false;
            for pattern in patterns {
                let pattern = pattern.to_ascii_lowercase();
                match pattern.strip_prefix('!') {
                    Some(not) if fits(not, name) => return false,
                    Some(_) => {}
                    None => found |= fits(&pattern, name),
                }
            }
            found
        }
    }
}

/// Whether a name fits a pattern with `*` and `?`.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Where the last `*` stood, and what it has swallowed so far.
    let mut star: Option<(usize, usize)> = None;
    let (mut p, mut n) = (0, 0);
    while n < name.len() {
        match (pattern.get(p), star) {
            (Some('*'), _) => {
                star = Some((p, n));
                p += 1;
            }
            (Some(c), _) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            (_, Some((at, swallowed))) => {
                star = Some((at, swallowed + 1));
                p = at + 1;
                n = swallowed + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with `ssh-keygen`, for nothing but these tests.
    const FIRST: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEhg1LSFT6cnmVzn6V9CCGnY0RzOM8JYy0Ki9QmDTUIb";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn key(text: &str) -> PublicKey {
        text.parse().unwrap()
    }

    fn known(content: &str, host: &str, port: u16) -> KnownKeys {
        let mut known = KnownKeys::of(host_name(host, port));
        known.add_file(Path::new("hosts"), content).unwrap();
        known
    }

    fn accepts(content: &str, host: &str, port: u16) -> bool {
        known(content, host, port).check(&key(FIRST)).is_ok()
    }

    #[test]
    fn names_ports_and_patterns_are_matched_as_ssh_does() {
        for (hosts, host, port, right) in [
            ("example.org", "example.org", 22, true),
            ("example.org", "EXAMPLE.org", 22, true),
            ("example.org", "example.org", 2222, false),
            ("[example.org]:2222", "example.org", 2222, true),
            ("[example.org]:2222", "example.org", 22, false),
            ("a,example.org,b", "example.org", 22, true),
            ("*.example.org", "nas.example.org", 22, true),
            ("*.example.org", "example.org", 22, false),
            ("*.example.org,!nas.example.org", "nas.example.org", 22, false),
            ("10.0.0.?", "10.0.0.7", 22, true),
            ("10.0.0.?", "10.0.0.77", 22, false),
            ("[*]:2222", "anything", 2222, true),
        ] {
            assert_eq!(accepts(&format!("{hosts} {FIRST}\n"), host, port), right, "{hosts} {host} {port}");
        }
    }

    #[test]
    fn lines_that_are_none_and_comments_hide_nothing() {
        let content = format!("# {OTHER}\n\ngarbage\nexample.org ssh-none xyz\nexample.org\t{FIRST} me@home # here\n");
        assert!(accepts(&content, "example.org", 22));
    }

    #[test]
    fn other_key_revoked_key_and_unknown_host_are_told_apart() {
        let other = format!("example.org {OTHER}\n");
        let verdict = |content: &str| known(content, "example.org", 22).check(&key(FIRST));
        let changed = verdict(&other).unwrap_err();
        assert!(matches!(&changed, Untrusted::Changed { place, .. } if place == "hosts line 1"), "{changed}");
        assert!(matches!(verdict(""), Err(Untrusted::Unknown { .. })));
        // Two keys of one type: either will do.
        assert_eq!(verdict(&format!("{other}example.org {FIRST}\n")), Ok(()));
        // A revoked key is refused whatever else is known.
        let revoked = format!("@revoked * {FIRST}\nexample.org {FIRST}\n");
        assert!(matches!(verdict(&revoked), Err(Untrusted::Revoked { .. })));
        // However much space there is between its words.
        let revoked = format!("@revoked  *\t {FIRST}\nexample.org {FIRST}\n");
        assert!(matches!(verdict(&revoked), Err(Untrusted::Revoked { .. })));
        let error =
            KnownKeys::of("example.org").add_file(Path::new("hosts"), "\n@revoked * ssh-none xyz\n").unwrap_err();
        assert!(error.contains("hosts line 2"), "{error}");
        let authority = format!("@cert-authority * {FIRST}\n");
        assert!(matches!(verdict(&authority), Err(Untrusted::Unknown { .. })));
    }

    #[test]
    fn pinned_key_is_the_only_one() {
        let fingerprint = key(FIRST).fingerprint(HashAlg::Sha256).to_string();
        for pin in [fingerprint.as_str(), FIRST] {
            let mut known = KnownKeys::of("h");
            known.pin(Pin::parse(pin).unwrap());
            assert_eq!(known.check(&key(FIRST)), Ok(()));
            assert!(matches!(known.check(&key(OTHER)), Err(Untrusted::NotPinned { .. })));
        }
        for bad in ["", "MD5:aa:bb", "SHA256:short", "ssh-ed25519 AAAA"] {
            assert_eq!(Pin::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn known_types_of_key_are_asked_for_first() {
        let all = [Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, Algorithm::Ed25519];
        let known = known(&format!("example.org {FIRST}\n"), "example.org", 22);
        assert_eq!(known.preferred(&all), [Algorithm::Ed25519, Algorithm::Rsa { hash: Some(HashAlg::Sha512) }]);
        assert_eq!(KnownKeys::of("h").preferred(&all), all);
    }
}
