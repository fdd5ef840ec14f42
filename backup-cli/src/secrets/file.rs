//! A secret in a file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use backup_core::{Secret, SecretErrorKind};
use zeroize::Zeroizing;

use super::{MAX_SECRET_BYTES, without_line_end};

type Failure = (SecretErrorKind, Option<String>);

/// The text in a file, without one line end at its end.
pub(super) fn read(path: &Path) -> Result<Secret, Failure> {
    Ok(without_line_end(std::mem::take(&mut *bytes(path)?)))
}

/// The bytes of a file that nobody but its owner can read.
///
/// Only regular files are looked at for permissions: a pipe (`<(…)`) belongs to whoever made it.
pub(super) fn bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    read_file(path, is_exposed)
}

/// The bytes of a file, whoever can read it.
pub(super) fn any_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    read_file(path, |_| false)
}

fn read_file(path: &Path, refuse: impl Fn(&std::fs::Metadata) -> bool) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => (SecretErrorKind::NotFound, None),
        _ => (SecretErrorKind::Unreadable, Some(error.to_string())),
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() && refuse(&metadata) {
        return Err((SecretErrorKind::Exposed, None));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_SECRET_BYTES {
        return Err((SecretErrorKind::Unreadable, Some("it is too long for a secret".to_owned())));
    }
    Ok(bytes)
}

#[cfg(unix)]
fn is_exposed(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

/// Windows decides by access lists that folders hand down; the user's own folders are closed to others.
#[cfg(not(unix))]
fn is_exposed(_: &std::fs::Metadata) -> bool {
    false
}
