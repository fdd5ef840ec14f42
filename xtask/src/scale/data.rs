//! What there is much of.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::bench::tree::Numbers;

/// Where the numbers that content is made of begin.
const SEED: u64 = 2026;

/// Levels between two files of the deep tree.
pub(super) const FILE_EVERY_LEVELS: u64 = 10;

/// Stretches in the sparse file.
const STRETCHES: u64 = 32;

/// Files in the source of which many snapshots are made.
const FEW_FILES: u64 = 50;

/// A data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Set {
    /// Small files, a thousand in each directory.
    Files,
    /// Small files, all in one directory.
    Directory,
    /// One long file with little in it.
    Sparse,
    /// Directories in directories.
    Deep,
    /// Many snapshots of a small source, each with one change.
    Snapshots,
}

pub(super) const ALL: [Set; 5] = [Set::Files, Set::Directory, Set::Sparse, Set::Deep, Set::Snapshots];

/// How much of everything.
#[derive(Debug)]
pub(super) struct Amounts {
    files: u64,
    directories: u64,
    names: u64,
    sparse_bytes: u64,
    /// Data in the sparse file stands in stretches of this length.
    stretch_bytes: u64,
    levels: u64,
    pub(super) snapshots: u64,
}

pub(super) const FULL: Amounts = Amounts {
    files: 1_000_000,
    directories: 1_000,
    names: 100_000,
    sparse_bytes: 20 << 30,
    stretch_bytes: 1 << 20,
    levels: 3_000,
    snapshots: 1_000,
};

pub(super) const CI: Amounts = Amounts {
    files: 20_000,
    directories: 20,
    names: 10_000,
    sparse_bytes: 2 << 30,
    stretch_bytes: 1 << 20,
    levels: 1_000,
    snapshots: 100,
};

/// What a data set holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// Entries below the source's folder.
    pub(super) entries: u64,
    /// Names that [`PATTERN`] matches.
    pub(super) matches: u64,
}

/// What is searched for: one file in ten of the sets that have many.
pub(super) const PATTERN: &str = "*7.txt";

impl Set {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Directory => "directory",
            Self::Sparse => "sparse",
            Self::Deep => "deep",
            Self::Snapshots => "snapshots",
        }
    }

    pub(super) fn title(self, amounts: &Amounts) -> String {
        match self {
            Self::Files => format!("{} small files in {} directories", amounts.files, amounts.directories),
            Self::Directory => format!("{} small files in one directory", amounts.names),
            Self::Sparse => format!(
                "one sparse file of {} GiB with {} MiB of data",
                amounts.sparse_bytes >> 30,
                (STRETCHES * amounts.stretch_bytes) >> 20
            ),
            Self::Deep => {
                format!("directories of {} levels, a file every {FILE_EVERY_LEVELS}", amounts.levels)
            }
            Self::Snapshots => format!("{} snapshots of {FEW_FILES} files, each with one change", amounts.snapshots),
        }
    }
}

/// Makes a data set in a folder that isn't there yet.
pub(super) fn make(set: Set, amounts: &Amounts, folder: &Path) -> Result<Made> {
    std::fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut numbers = Numbers::new(SEED);
    let made = match set {
        Set::Files => files(folder, amounts.files, amounts.directories, &mut numbers),
        Set::Directory => files(folder, amounts.names, 1, &mut numbers),
        Set::Snapshots => files(folder, FEW_FILES, 1, &mut numbers),
        Set::Sparse => sparse(folder, amounts.sparse_bytes, amounts.stretch_bytes, &mut numbers),
        Set::Deep => chain::make(folder, amounts.levels, &mut numbers),
    };
    made.with_context(|| format!("cannot make the data set in {}", folder.display()))
}

/// So many files spread evenly over directories, each with some ten lines of text.
fn files(folder: &Path, files: u64, directories: u64, numbers: &mut Numbers) -> Result<Made> {
    for directory in 0..directories {
        let folder = folder.join(format!("directory-{directory:04}"));
        std::fs::create_dir(&folder)?;
        for number in 0..files / directories {
            File::create(folder.join(format!("file-{number:06}.txt")))?.write_all(&text(numbers))?;
        }
    }
    let each = files / directories;
    Ok(Made { entries: directories * (1 + each), matches: directories * ((each + 2) / 10) })
}

/// A few lines that no other file has.
fn text(numbers: &mut Numbers) -> Vec<u8> {
    let lines = 1 + numbers.below(20);
    let mut text = Vec::new();
    for line in 0..lines {
        let value = numbers.next();
        text.extend_from_slice(format!("line {line} has the value {value:016x}\n").as_bytes());
    }
    text
}

/// A file that is a hole but for stretches at even distances.
fn sparse(folder: &Path, bytes: u64, stretch_bytes: u64, numbers: &mut Numbers) -> Result<Made> {
    let mut file = File::create(folder.join("sparse.img"))?;
    file.set_len(bytes)?;
    for stretch in 0..STRETCHES {
        file.seek(SeekFrom::Start(stretch * (bytes / STRETCHES)))?;
        file.write_all(&numbers.bytes(stretch_bytes))?;
    }
    Ok(Made { entries: 1, matches: 0 })
}

/// Changes one file a little; another one every time.
pub(super) fn change_one(folder: &Path, turn: u64) -> Result<()> {
    let path = folder.join(format!("directory-0000/file-{:06}.txt", turn % FEW_FILES));
    let mut file = OpenOptions::new().append(true).open(&path).context("cannot open a file of the source")?;
    file.write_all(format!("changed for the turn {turn}\n").as_bytes()).context("cannot change a file of the source")
}

/// A data set's last word before the operations that come after a change: one more file.
pub(super) fn add_one(folder: &Path) -> Result<()> {
    std::fs::write(folder.join("one-more"), "came later\n").context("cannot add a file")
}

/// Whether a restored sparse file takes about as much room as its source: holes came back as holes.
#[cfg(unix)]
pub(super) fn has_holes(source: &Path, restored: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let blocks = |folder: &Path| std::fs::metadata(folder.join("sparse.img")).map(|meta| meta.blocks());
    let (had, has) = (blocks(source)?, blocks(restored)?);
    ensure!(has <= had + had / 8, "the restored sparse file takes {has} blocks instead of {had}");
    Ok(())
}

#[cfg(unix)]
pub(super) mod chain {
    //! A chain of directories that is longer than any path may be: everything is reached from the directory above.

    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use anyhow::{Context, Result, ensure};
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

    use super::{FILE_EVERY_LEVELS, Made, text};
    use crate::bench::tree::Numbers;

    const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

    /// Makes the chain.
    pub(in crate::scale) fn make(folder: &Path, levels: u64, numbers: &mut Numbers) -> Result<Made> {
        let mut entries = 0;
        let mut at: OwnedFd = openat(CWD, folder, DIRECTORY, Mode::empty())?;
        for level in 1..=levels {
            if level % FILE_EVERY_LEVELS == 0 {
                let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
                let file = openat(&at, "file", flags, Mode::RUSR | Mode::WUSR)?;
                std::fs::File::from(file).write_all(&text(numbers))?;
                entries += 1;
            }
            mkdirat(&at, "down", Mode::RWXU)?;
            at = openat(&at, "down", DIRECTORY, Mode::empty())?;
            entries += 1;
        }
        Ok(Made { entries, matches: 0 })
    }

    /// Compares two chains of the same length.
    pub(in crate::scale) fn compare(left: &Path, right: &Path) -> Result<()> {
        let open = |folder: &Path| openat(CWD, folder, DIRECTORY, Mode::empty());
        let (mut left, mut right) = (open(left)?, open(right).context("the restored chain does not begin")?);
        for level in 1.. {
            if level % FILE_EVERY_LEVELS == 0 {
                let read = |at: &OwnedFd| -> Result<Vec<u8>> {
                    let mut content = Vec::new();
                    let file = openat(at, "file", OFlags::CLOEXEC, Mode::empty())?;
                    std::fs::File::from(file).read_to_end(&mut content)?;
                    Ok(content)
                };
                match read(&left) {
                    Err(_) => return Ok(()),
                    Ok(content) => ensure!(read(&right)? == content, "level {level} has another file"),
                }
            }
            match openat(&left, "down", DIRECTORY, Mode::empty()) {
                Err(rustix::io::Errno::NOENT) => return Ok(()),
                below => left = below?,
            }
            right = openat(&right, "down", DIRECTORY, Mode::empty())
                .with_context(|| format!("level {level} is not there"))?;
        }
        Ok(())
    }
}

#[cfg(not(unix))]
pub(super) mod chain {
    //! Only Unix opens below an open directory.

    use std::path::Path;

    use anyhow::{Result, bail};

    use super::Made;
    use crate::bench::tree::Numbers;

    pub(in crate::scale) fn make(_: &Path, _: u64, _: &mut Numbers) -> Result<Made> {
        bail!("the deep tree can only be made on Unix")
    }

    pub(in crate::scale) fn compare(_: &Path, _: &Path) -> Result<()> {
        bail!("the deep tree can only be compared on Unix")
    }
}

#[cfg(not(unix))]
pub(super) fn has_holes(_: &Path, _: &Path) -> Result<()> {
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tree;

    const TINY: Amounts = Amounts {
        files: 40,
        directories: 4,
        names: 30,
        sparse_bytes: 1 << 30,
        stretch_bytes: 64 << 10,
        levels: 45,
        snapshots: 3,
    };

    #[test]
    fn sets_hold_what_they_say_and_are_the_same_every_time() {
        let folder = tempfile::tempdir().unwrap();
        for set in [Set::Files, Set::Directory, Set::Sparse, Set::Snapshots] {
            let [one, two] = ["one", "two"].map(|name| folder.path().join(name).join(set.name()));
            for folder in [&one, &two] {
                std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
                let made = make(set, &TINY, folder).unwrap();
                let names = || tree::walk(folder).map(|entry| entry.unwrap().file_name().to_owned());
                let matches = names().filter(|name| name.to_string_lossy().ends_with("7.txt")).count();
                assert_eq!((names().count() as u64 - 1, matches as u64), (made.entries, made.matches), "{set:?}");
            }
            if set != Set::Sparse {
                assert_eq!(tree::differing(&one, &two).unwrap(), 0, "{set:?}");
            }
        }
    }

    #[test]
    fn sparse_file_that_came_back_full_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let [holes, full] = ["holes", "full"].map(|name| folder.path().join(name));
        make(Set::Sparse, &TINY, &holes).unwrap();
        std::fs::create_dir(&full).unwrap();
        std::fs::write(full.join("sparse.img"), vec![1; 3 << 20]).unwrap();
        has_holes(&holes, &holes).unwrap();
        has_holes(&holes, &full).unwrap_err();
    }

    #[test]
    fn a_chain_that_is_cut_or_differs_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let entries = make(Set::Deep, &TINY, &at("left")).unwrap().entries;
        assert_eq!(tree::walk(&at("left")).count() as u64 - 1, entries);
        tree::copy(&at("left"), &at("right")).unwrap();
        chain::compare(&at("left"), &at("right")).unwrap();
        let down = |levels: usize| at("right").join(vec!["down"; levels].join("/"));
        std::fs::write(down(29).join("file"), "other").unwrap();
        chain::compare(&at("left"), &at("right")).unwrap_err();
        std::fs::remove_dir_all(down(20)).unwrap();
        chain::compare(&at("left"), &at("right")).unwrap_err();
    }
}
