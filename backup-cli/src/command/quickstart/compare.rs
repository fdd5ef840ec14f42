//! Comparing a restored file with what it was made from.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use backup_core::{EntryPath, Timestamp};
use sha2::{Digest, Sha256};

use super::sample::Candidate;

/// How a file was shown to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Byte by byte against the source.
    BySource,
    /// Against the SHA-256 that was taken while it was stored: the source has changed since.
    ByDigest,
}

/// Read at once from each of two files.
const PIECE_BYTES: usize = 256 * 1024;

/// Holds the restored file against the source.
///
/// # Errors
/// What is different, in words.
pub(super) fn compare(candidate: &Candidate, target: &Path) -> Result<Shown, String> {
    let restored = below(target, &candidate.path);
    let source = below(Path::new("/"), &candidate.path);
    let opened = File::open(&restored).map_err(|error| format!("it was not restored: {error}"))?;
    match File::open(&source) {
        Ok(file) if is_as_captured(&file, candidate) => match equal(opened, file) {
            Ok(true) => Ok(Shown::BySource),
            Ok(false) => Err("the restored bytes are not those of the source".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        _ => by_digest(opened, candidate),
    }
}

/// A path below a folder.
pub(super) fn below(folder: &Path, path: &EntryPath) -> PathBuf {
    #[cfg(unix)]
    let relative: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(path.as_bytes());
    #[cfg(not(unix))]
    let relative = String::from_utf8_lossy(path.as_bytes()).into_owned();
    folder.join(relative)
}

fn is_as_captured(file: &File, candidate: &Candidate) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    let modified = metadata.modified().map(Timestamp::from);
    metadata.len() == candidate.size_bytes && modified.is_ok_and(|modified| modified == candidate.modified)
}

fn equal(mut a: impl Read, mut b: impl Read) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    loop {
        let (m, n) = (fill(&mut a, &mut left)?, fill(&mut b, &mut right)?);
        if left[..m] != right[..n] {
            return Ok(false);
        }
        if m == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or there is no more.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn by_digest(mut restored: File, candidate: &Candidate) -> Result<Shown, String> {
    // The digest of a sparse file is of its data alone.
    let Some(digest) = candidate.digest.filter(|_| !candidate.is_sparse) else {
        return Err("the source has changed since, so there is nothing to compare it with".to_owned());
    };
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match fill(&mut restored, &mut piece).map_err(|error| error.to_string())? {
            0 => break,
            read => hasher.update(&piece[..read]),
        }
    }
    match hasher.finalize().as_slice() == digest {
        true => Ok(Shown::ByDigest),
        false => Err("the restored bytes are not those that were stored".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_equal_only_with_the_same_bytes_and_length() {
        let same = |a: &[u8], b: &[u8]| equal(a, b).unwrap();
        let long = vec![7; PIECE_BYTES + 1];
        let mut other = long.clone();
        other[PIECE_BYTES] = 8;
        assert!(same(b"", b"") && same(b"a", b"a") && same(&long, &long));
        assert!(!same(b"a", b"b") && !same(b"a", b"ab") && !same(b"ab", b"a") && !same(&long, &other));
    }

    #[test]
    fn changed_source_is_replaced_by_the_digest_and_wrong_bytes_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        std::fs::write(&source, "new state").unwrap();
        let bytes = source.to_str().unwrap().trim_start_matches('/').as_bytes().to_vec();
        let path = EntryPath::new(bytes).unwrap();
        let restored = below(&folder.path().join("target"), &path);
        std::fs::create_dir_all(restored.parent().unwrap()).unwrap();
        std::fs::write(&restored, "old state").unwrap();
        let modified = Timestamp::from(std::fs::metadata(&source).unwrap().modified().unwrap());
        let digest = Some(Sha256::digest("old state").into());
        let mut candidate = Candidate { path, size_bytes: 9, modified, digest, is_sparse: false };
        let target = folder.path().join("target");
        assert!(compare(&candidate, &target).unwrap_err().contains("not those of the source"));
        candidate.modified = Timestamp::EPOCH;
        assert_eq!(compare(&candidate, &target), Ok(Shown::ByDigest));
        std::fs::write(&restored, "bad state").unwrap();
        assert!(compare(&candidate, &target).unwrap_err().contains("not those that were stored"));
        std::fs::remove_file(&restored).unwrap();
        assert!(compare(&candidate, &target).unwrap_err().contains("not restored"));
    }
}
