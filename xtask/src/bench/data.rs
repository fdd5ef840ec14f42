//! Two data sets made from public files that are on every development machine: many small source files, and large files.
//!
//! They are copies, made once and then kept, so that runs on one machine compare. Two machines have different ones: compare
//! tools on one machine, not figures between machines.

use std::fs::File;
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::tree;
use crate::process;

/// How much of a file is looked at to tell text from the rest.
const LOOKED_AT_BYTES: usize = 4096;

/// A data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Set {
    /// Sources, headers and documentation: text files of at most 1 MiB.
    Source,
    /// Libraries, programs, archives, build artefacts: files from 64 KiB to 256 MiB.
    Large,
}

struct Limits {
    files: u64,
    bytes: u64,
    size: RangeInclusive<u64>,
    text: bool,
}

impl Set {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Source => "Source files",
            Self::Large => "Large files",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Large => "large",
        }
    }

    fn limits(self) -> Limits {
        match self {
            Self::Source => Limits { files: 75_000, bytes: 1 << 30, size: 0..=1 << 20, text: true },
            Self::Large => Limits { files: 4_000, bytes: 3_200 << 20, size: 64 << 10..=256 << 20, text: false },
        }
    }

    /// Where its files come from, in this order, until a limit is reached. The toolchain's own come early: they are the same on
    /// every machine that has the toolchain.
    fn origins(self) -> Result<Vec<PathBuf>> {
        let sysroot =
            PathBuf::from(process::output(Command::new("rustc").args(["--print", "sysroot"]))?.trim().to_owned());
        let home = std::env::home_dir().context("there is no home directory")?;
        let cargo = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
        let usr = |name: &str| Path::new("/usr").join(name);
        Ok(match self {
            Self::Source => vec![
                cargo.join("registry/src"),
                usr("include"),
                usr("lib/python3"),
                usr("lib/node_modules"),
                usr("share"),
                sysroot.join("lib/rustlib/src"),
                sysroot.join("share/doc"),
                usr("lib"),
                usr("local"),
            ],
            Self::Large => vec![
                sysroot,
                cargo.join("registry/cache"),
                usr("bin"),
                usr("share"),
                usr("local"),
                PathBuf::from("/var/cache/apt/archives"),
                usr("lib"),
                process::root().join("target"),
            ],
        })
    }
}

/// Makes a data set below a directory unless it is there already, and returns its folder.
pub(super) fn make(set: Set, directory: &Path) -> Result<PathBuf> {
    let folder = directory.join(set.name());
    if folder.is_dir() {
        // The set may be kept elsewhere, behind a link; a copy of the link would be no copy of the set.
        return folder.canonicalize().with_context(|| format!("cannot follow {}", folder.display()));
    }
    println!("making the data set `{}` in {}", set.name(), folder.display());
    // Under another name until it is whole.
    let part = directory.join(format!("{}.part", set.name()));
    tree::clear(&part)?;
    let (files, bytes) = gather(&set.limits(), &set.origins()?, directory, &part)?;
    if files == 0 {
        bail!("no file was found for the data set `{}`", set.name());
    }
    std::fs::rename(&part, &folder).with_context(|| format!("cannot name {}", folder.display()))?;
    println!("{files} files, {} MiB", bytes >> 20);
    Ok(folder)
}

/// Copies files that fit from the origins, each origin into a folder of its own, until a limit is reached. Nothing below
/// `former` is taken: data sets are no data.
fn gather(limits: &Limits, origins: &[PathBuf], former: &Path, to: &Path) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for (number, origin) in origins.iter().enumerate() {
        let before = files;
        for entry in tree::walk(origin) {
            // What may not be read, or goes away while we look, is not part of the set.
            let Ok(entry) = entry else { continue };
            let path = entry.path();
            let taken = origins[..number].iter().any(|earlier| path.starts_with(earlier));
            if !tree::is_file(&entry) || taken || path.starts_with(former) {
                continue;
            }
            let Ok(meta) = entry.metadata() else { continue };
            if !limits.size.contains(&meta.len()) || (limits.text && !is_text(path)) {
                continue;
            }
            if files >= limits.files || bytes + meta.len() > limits.bytes {
                break;
            }
            let name = origin.file_name().unwrap_or_default().to_string_lossy();
            let below = path.strip_prefix(origin).context("a walked entry outside of its root")?;
            let copy = to.join(format!("{number}-{name}")).join(below);
            let parent = copy.parent().context("a copy without a directory")?;
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
            std::fs::copy(path, &copy).with_context(|| format!("cannot copy {}", path.display()))?;
            files += 1;
            bytes += meta.len();
        }
        println!("  {} files from {}", files - before, origin.display());
    }
    Ok((files, bytes))
}

/// Whether a file can be read and begins without a zero byte.
fn is_text(path: &Path) -> bool {
    let mut start = Vec::new();
    let limit = u64::try_from(LOOKED_AT_BYTES).unwrap_or(u64::MAX);
    File::open(path).is_ok_and(|file| file.take(limit).read_to_end(&mut start).is_ok()) && !start.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        tree::walk(folder)
            .map(|entry| entry.unwrap())
            .filter(tree::is_file)
            .map(|entry| entry.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn gather_takes_what_fits_once_and_stops_at_the_limits() {
        let machine = tempfile::tempdir().unwrap();
        let root = machine.path();
        for (name, bytes) in [
            ("usr/inner/a.c", &b"int a;"[..]),
            ("usr/b.h", b"int b;"),
            ("usr/binary", b"\0ELF"),
            ("usr/large", &[b'x'; 200]),
            ("bench/source/old", b"old"),
            ("usr/z.h", b"int z;"),
        ] {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), bytes).unwrap();
        }
        let origins = [root.join("usr/inner"), root.join("usr"), root.join("none"), root.to_path_buf()];
        let limits = |files, bytes, text| Limits { files, bytes, size: 0..=100, text };
        let to = root.join("bench/source.part");
        let former = root.join("bench");

        assert_eq!(gather(&limits(9, 999, true), &origins, &former, &to).unwrap(), (3, 18));
        assert_eq!(names(&to), ["0-inner/a.c", "1-usr/b.h", "1-usr/z.h"]);
        tree::clear(&to).unwrap();
        assert_eq!(gather(&limits(9, 999, false), &origins, &former, &to).unwrap().0, 4);
        tree::clear(&to).unwrap();
        assert_eq!(gather(&limits(2, 999, true), &origins, &former, &to).unwrap(), (2, 12));
        tree::clear(&to).unwrap();
        assert_eq!(gather(&limits(9, 13, true), &origins, &former, &to).unwrap(), (2, 12));
    }
}
