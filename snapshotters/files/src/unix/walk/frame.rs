//! One directory of a walk.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use backup_core::{Entry, EntryPath};
use rustix::fs::{OFlags, fstat};
use rustix::io::{read, retry_on_intr};

use crate::rules::{PatternSet, Verdict};
use crate::unix::beneath::open_child;
use crate::unix::listing::{Hint, Names};
use crate::unix::stat;

/// The file that says that a directory is a cache.
pub(super) const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";

/// What that file has to begin with; the specification of cache directory tagging fixes it.
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// The largest ignore file that is read: a million bytes of patterns are no list a person wrote.
const MAX_IGNORE_FILE_BYTES: usize = 1 << 20;

/// A directory whose names are being worked through.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) children: Names,
    pub(super) next: usize,
    /// What the rules said about each name, where they were asked when the directory was listed.
    pub(super) decided: Vec<Option<Verdict>>,
    /// The roots below this directory.
    pub(super) roots: Range<usize>,
    /// `None` when the directory only leads to roots.
    pub(super) scope: Option<Scope>,
    pub(super) verdict: Verdict,
    /// Where names in this directory begin in a path.
    pub(super) below: usize,
    /// Patterns from its ignore files, the strongest last.
    pub(super) ignores: Vec<PatternSet>,
    /// Its entry, until something below it is included.
    pub(super) withheld: Option<Entry>,
}

/// What the nearest root fixes for everything below it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    /// Where the path below the root begins.
    pub(super) below: usize,
    /// The selection whose patterns hold.
    pub(super) selection: usize,
    /// The device the root is on.
    pub(super) device: u64,
    /// The root's frame; ignore files above it don't count.
    pub(super) frame: usize,
}

/// Adds the names that lead to roots, so that none is passed over because it is missing or was left out.
pub(super) fn leading_names(children: Names, roots: &[EntryPath], below: usize) -> Names {
    let mut extra: Vec<&[u8]> = roots
        .iter()
        .filter_map(|root| root.as_bytes().get(below..)?.split(|&byte| byte == b'/').next())
        .filter(|name| !children.contains(name))
        .collect();
    extra.dedup();
    if extra.is_empty() {
        return children;
    }
    let mut all: Vec<(&[u8], Hint)> =
        children.iter().chain(extra.into_iter().map(|name| (name, Hint::Unknown))).collect();
    all.sort_unstable_by_key(|&(name, _)| name);
    let mut names = Names::default();
    for (name, kind) in all {
        names.push(name, kind);
    }
    names
}

/// Whether a directory is tagged as a cache.
pub(super) fn is_cache(directory: BorrowedFd<'_>, names: &Names) -> bool {
    names.contains(CACHE_TAG)
        && read_start(directory, CACHE_TAG, CACHE_SIGNATURE.len()).is_ok_and(|start| start == CACHE_SIGNATURE)
}

/// Reads an ignore file, and says what could not be used of it.
pub(super) fn read_ignore_file(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<(PatternSet, Vec<String>)> {
    let content = read_start(directory, name, MAX_IGNORE_FILE_BYTES + 1)?;
    if content.len() > MAX_IGNORE_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(PatternSet::from_file(&content))
}

/// Reads at most so many bytes of a regular file.
fn read_start(directory: BorrowedFd<'_>, name: &[u8], limit: usize) -> io::Result<Vec<u8>> {
    let file = open_child(directory, name, OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let stat = fstat(&file)?;
    if stat::kind(&stat) != Some(backup_core::EntryKind::File) {
        return Err(io::Error::other("it is no regular file"));
    }
    let room = usize::try_from(stat::size_bytes(&stat)).unwrap_or(limit).min(limit);
    let mut content = vec![0; room];
    let mut filled = 0;
    while let Some(rest) = content.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match retry_on_intr(|| read(&file, &mut *rest))? {
            0 => break,
            count => filled += count,
        }
    }
    content.truncate(filled);
    Ok(content)
}
