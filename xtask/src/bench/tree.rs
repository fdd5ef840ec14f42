//! Folders: counted, copied, changed a little, compared.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use ignore::WalkBuilder;

use crate::process;

/// Piece of a file that is read or compared at a time; small, because our own memory counts in the children's peak.
const PIECE_BYTES: usize = 256 << 10;

/// One file in so many is changed.
const CHANGED_ONE_IN: usize = 100;

/// A file past this is like a database or an image of a disk: pages in it change here and there.
const PAGED_FROM_BYTES: u64 = 64 << 20;
const CHANGED_PAGES: u32 = 200;
const PAGE_BYTES: u64 = 4096;

/// Everything below a folder in sorted order, nothing left out, links not followed.
pub(crate) fn walk(folder: &Path) -> impl Iterator<Item = Result<ignore::DirEntry>> + use<> {
    let shown = folder.display().to_string();
    WalkBuilder::new(folder)
        .standard_filters(false)
        .sort_by_file_name(Ord::cmp)
        .build()
        .map(move |entry| entry.with_context(|| format!("cannot walk {shown}")))
}

/// Whether an entry is a regular file itself, not a link to one.
pub(crate) fn is_file(entry: &ignore::DirEntry) -> bool {
    entry.file_type().is_some_and(|kind| kind.is_file())
}

/// Number and total length of the files below a folder.
pub(crate) fn count(folder: &Path) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in walk(folder) {
        let entry = entry?;
        if is_file(&entry) {
            files += 1;
            bytes += entry.metadata().context("cannot stat a file")?.len();
        }
    }
    Ok((files, bytes))
}

/// Removes a folder and all in it, if it is there.
pub(super) fn clear(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.with_context(|| format!("cannot remove {}", folder.display())),
    }
}

/// Copies a folder with times, owners and links.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    process::run(Command::new("cp").arg("-a").arg(from).arg(to))
}

/// Reads every file once, so that the first tool finds them in memory as the later ones do.
pub(super) fn warm(folder: &Path) -> Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    for entry in walk(folder) {
        let entry = entry?;
        if is_file(&entry) {
            let mut file =
                File::open(entry.path()).with_context(|| format!("cannot open {}", entry.path().display()))?;
            while file.read(&mut piece).context("cannot read a file")? > 0 {}
        }
    }
    Ok(())
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, 0 if there is none.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    pub(crate) fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(usize::try_from(len).unwrap_or(0)).collect()
    }
}

/// Rewrites a slice inside one file in a hundred (three at least), and pages here and there inside large ones. The same seed
/// changes the same files in the same way. Returns how many.
pub(super) fn mutate(folder: &Path, seed: u64) -> Result<usize> {
    let mut files = Vec::new();
    for entry in walk(folder) {
        let entry = entry?;
        if is_file(&entry) {
            files.push(entry.into_path());
        }
    }
    let wanted = (files.len() / CHANGED_ONE_IN).max(3).min(files.len());
    let mut numbers = Numbers::new(seed);
    for picked in 0..wanted {
        let left = u64::try_from(files.len() - picked).context("too many files")?;
        let other = picked + usize::try_from(numbers.below(left)).context("too many files")?;
        files.swap(picked, other);
        rewrite(&files[picked], &mut numbers).with_context(|| format!("cannot change {}", files[picked].display()))?;
    }
    Ok(wanted)
}

fn rewrite(path: &Path, numbers: &mut Numbers) -> Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(numbers.below(len)))?;
    let slice = numbers.bytes((len / 50).clamp(1, PAGE_BYTES));
    file.write_all(&slice)?;
    if len > PAGED_FROM_BYTES {
        for _ in 0..CHANGED_PAGES {
            file.seek(SeekFrom::Start(numbers.below(len / PAGE_BYTES) * PAGE_BYTES))?;
            let page = numbers.bytes(PAGE_BYTES);
            file.write_all(&page)?;
        }
    }
    Ok(())
}

/// Where below a restore's target the source's content begins: tools differ in how much of the path they keep.
pub(super) fn locate(target: &Path, source: &Path) -> PathBuf {
    let whole = target.join(source.strip_prefix("/").unwrap_or(source));
    let last = source.file_name().map_or_else(|| target.to_path_buf(), |name| target.join(name));
    [whole, last].into_iter().find(|candidate| candidate.is_dir()).unwrap_or_else(|| target.to_path_buf())
}

/// How many entries of `left` are missing in `right` or differ there in kind, bytes or link target, and how many `right` has
/// that `left` has not.
pub(crate) fn differing(left: &Path, right: &Path) -> Result<usize> {
    let mut bad = 0;
    for entry in walk(left) {
        let entry = entry?;
        let below = entry.path().strip_prefix(left).context("a walked entry outside of its root")?;
        if !same(entry.path(), &right.join(below))? {
            bad += 1;
        }
    }
    if right.is_dir() {
        for entry in walk(right) {
            let entry = entry?;
            let below = entry.path().strip_prefix(right).context("a walked entry outside of its root")?;
            if left.join(below).symlink_metadata().is_err() {
                bad += 1;
            }
        }
    }
    Ok(bad)
}

fn same(left: &Path, right: &Path) -> Result<bool> {
    let meta = left.symlink_metadata().with_context(|| format!("cannot stat {}", left.display()))?;
    let Ok(other) = right.symlink_metadata() else { return Ok(false) };
    if meta.file_type() != other.file_type() {
        return Ok(false);
    }
    if meta.is_symlink() {
        return Ok(std::fs::read_link(left).ok() == std::fs::read_link(right).ok());
    }
    if !meta.is_file() {
        return Ok(true);
    }
    if meta.len() != other.len() {
        return Ok(false);
    }
    let open = |path: &Path| File::open(path).with_context(|| format!("cannot open {}", path.display()));
    let (mut left, mut right) = (open(left)?, open(right)?);
    let (mut a, mut b) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let mut to_go = meta.len();
    while to_go > 0 {
        let len = usize::try_from(to_go).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        left.read_exact(&mut a[..len]).context("cannot read a file")?;
        right.read_exact(&mut b[..len]).context("cannot read a file")?;
        if a[..len] != b[..len] {
            return Ok(false);
        }
        to_go -= u64::try_from(len).context("a length")?;
    }
    Ok(true)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("a/.hidden/deep")).unwrap();
        std::fs::write(root.join("a/.hidden/deep/x"), vec![1; PIECE_BYTES * 2 + 5]).unwrap();
        std::fs::write(root.join("a/empty"), "").unwrap();
        std::os::unix::fs::symlink("a/empty", root.join("link")).unwrap();
        for n in 0..5 {
            std::fs::write(root.join(format!("f{n}")), format!("file {n}")).unwrap();
        }
        folder
    }

    fn twin(of: &Path) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        copy(of, &folder.path().join("t")).unwrap();
        folder
    }

    #[test]
    fn a_copy_does_not_differ_and_is_counted_alike() {
        let left = sample();
        let right = twin(left.path());
        let right = right.path().join("t");
        assert_eq!(differing(left.path(), &right).unwrap(), 0);
        assert_eq!(count(left.path()).unwrap(), count(&right).unwrap());
        assert_eq!(count(left.path()).unwrap().0, 7);
        warm(left.path()).unwrap();
    }

    #[test]
    fn every_kind_of_difference_is_seen() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 7] = [
            ("last byte", |t| {
                std::fs::write(t.join("a/.hidden/deep/x"), [vec![1; PIECE_BYTES * 2 + 4], vec![2]].concat()).unwrap();
            }),
            ("shorter", |t| std::fs::write(t.join("f1"), "file").unwrap()),
            ("missing", |t| std::fs::remove_file(t.join("a/empty")).unwrap()),
            ("extra", |t| std::fs::write(t.join("a/more"), "").unwrap()),
            ("kind", |t| {
                std::fs::remove_file(t.join("f2")).unwrap();
                std::fs::create_dir(t.join("f2")).unwrap();
            }),
            ("link", |t| {
                std::fs::remove_file(t.join("link")).unwrap();
                std::os::unix::fs::symlink("a", t.join("link")).unwrap();
            }),
            ("followed link", |t| {
                std::fs::remove_file(t.join("link")).unwrap();
                std::fs::write(t.join("link"), "").unwrap();
            }),
        ];
        for (name, change) in changes {
            let left = sample();
            let right = twin(left.path());
            let right = right.path().join("t");
            change(&right);
            assert_eq!(differing(left.path(), &right).unwrap(), 1, "{name}");
        }
        assert!(differing(sample().path(), Path::new("/no/such/folder")).unwrap() > 7);
    }

    #[test]
    fn mutate_changes_three_files_at_least_and_the_same_for_the_same_seed() {
        let original = sample();
        let (one, two) = (twin(original.path()), twin(original.path()));
        let (one, two) = (one.path().join("t"), two.path().join("t"));
        assert_eq!(mutate(&one, 11).unwrap(), 3);
        assert_eq!(mutate(&two, 11).unwrap(), 3);
        assert_eq!(differing(&one, &two).unwrap(), 0);
        assert_eq!(differing(original.path(), &one).unwrap(), 3);
    }

    #[test]
    fn locate_finds_the_whole_path_the_last_part_or_the_target_itself() {
        let target = tempfile::tempdir().unwrap();
        let source = Path::new("/some/where/src");
        assert_eq!(locate(target.path(), source), target.path());
        std::fs::create_dir_all(target.path().join("src")).unwrap();
        assert_eq!(locate(target.path(), source), target.path().join("src"));
        std::fs::create_dir_all(target.path().join("some/where/src")).unwrap();
        assert_eq!(locate(target.path(), source), target.path().join("some/where/src"));
    }
}
