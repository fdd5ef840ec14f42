//! A file that is being restored.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backup_core::{Entry, EntryError, EntryWriter};
use rustix::fs::{AtFlags, OFlags, fstat, ftruncate, openat, renameat, unlinkat};
use rustix::io::{Errno, pwrite, retry_on_intr};

use super::metadata::{self, Current, Place, Policy};
use super::refused;
use super::temp::{self, TempNames};
use super::unnamed::{self, Naming};
use crate::unix::dir_cache::{Dir, Heritage, split};
use crate::unix::stat;
use crate::unix::system;
use crate::unix::xattrs::Bearer;

/// Larger files begin their way to the disk when they are whole, so that little is left to wait for when everything is flushed in the
/// end. Smaller ones are left to the system, which writes neighbours together.
const WRITE_OUT_FROM_BYTES: u64 = 1 << 20;

/// Content that goes away with this unless it is committed.
#[derive(Debug)]
pub(super) struct FileWriter {
    file: OwnedFd,
    dir: Arc<Dir>,
    name: Name,
    /// A name for when another is needed.
    temp: Vec<u8>,
    policy: Policy,
    current: Current,
    /// Where the furthest write ended.
    end: AtomicU64,
}

/// Under which name the content stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// Under none, and this is how it gets one.
    None(Naming),
    /// Under the temporary one.
    Temp,
    /// Under its own.
    Own,
}

impl FileWriter {
    pub(super) fn begin(
        dir: &Arc<Dir>,
        entry: &Entry,
        naming: Option<Naming>,
        temps: &TempNames,
        policy: Policy,
    ) -> io::Result<Self> {
        let asked = policy.mode_while_writing(entry);
        let unnamed = naming.and_then(|naming| {
            // What can't be done without a name can perhaps be done with one: other file systems have other abilities.
            let file = unnamed::create(dir.as_fd(), stat::mode_of(asked)).ok()?;
            Some((file, Name::None(naming), temps.fresh()))
        });
        let (file, name, temp) = match unnamed {
            Some(made) => made,
            None => Self::create_named(dir, asked, temps)?,
        };
        let heritage = dir.heritage(|| look(&file, asked, policy));
        let mode = policy.mask.filter(|_| heritage.modes_hold).map(|mask| asked & !mask);
        let current = Current { owner: heritage.owner, mode, modified: None, xattrs: heritage.xattrs };
        let (dir, end) = (Arc::clone(dir), AtomicU64::new(0));
        Ok(Self { file, dir, name, temp, policy, current, end })
    }

    fn create_named(dir: &Dir, asked: u32, temps: &TempNames) -> io::Result<(OwnedFd, Name, Vec<u8>)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..temp::ATTEMPTS {
            let temp = temps.fresh();
            let file = match openat(dir, temp.as_slice(), flags, stat::mode_of(asked)) {
                Err(Errno::EXIST) => continue,
                other => other?,
            };
            if temp::claim(&file) {
                return Ok((file, Name::Temp, temp));
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free temporary name was found"))
    }

    fn place(&mut self, entry: &Entry) -> io::Result<()> {
        let own = split(entry.path.as_bytes()).1;
        if let Name::None(naming) = self.name {
            match system::name_file(naming, self.file.as_fd(), self.dir.as_fd(), own) {
                Ok(()) => {
                    self.name = Name::Own;
                    return Ok(());
                }
                // Something stands there, and only a rename replaces it.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            // Nobody has seen it yet, so no sweep can have been faster.
            temp::claim(&self.file);
            system::name_file(naming, self.file.as_fd(), self.dir.as_fd(), &self.temp)?;
            self.name = Name::Temp;
        }
        match renameat(&self.dir, self.temp.as_slice(), &self.dir, own) {
            Ok(()) => {
                self.name = Name::Own;
                Ok(())
            }
            // Some file systems say it that way.
            Err(Errno::EXIST | Errno::NOTEMPTY) => Err(io::ErrorKind::IsADirectory.into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What the first file in a directory got from it; the next ones will get the same.
fn look(file: &OwnedFd, asked: u32, policy: Policy) -> Heritage {
    let Ok(stat) = fstat(file) else { return Heritage::default() };
    let names = Bearer::Open(file.as_fd()).names();
    Heritage {
        owner: Some(stat::owner(&stat)),
        modes_hold: policy.mask.is_some_and(|mask| stat::mode(&stat) == asked & !mask),
        xattrs: names.map_or(true, |names| names.iter().any(|name| metadata::is_ours_to_remove(name))),
    }
}

impl EntryWriter for FileWriter {
    fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut rest, mut at) = (bytes, offset_bytes);
        while !rest.is_empty() {
            let count = retry_on_intr(|| pwrite(&self.file, rest, at))?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(count..).unwrap_or_default();
            at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        self.end.fetch_max(at, Ordering::Relaxed);
        Ok(())
    }

    fn commit(mut self: Box<Self>, entry: &Entry) -> Result<(), EntryError> {
        if *self.end.get_mut() != entry.size_bytes {
            ftruncate(&self.file, entry.size_bytes)
                .map_err(|errno| refused(&entry.path, "cannot set the size of", &errno.into()))?;
        }
        let whole = metadata::apply(&Place::Open(self.file.as_fd()), entry, &self.current, &self.policy);
        self.place(entry).map_err(|error| refused(&entry.path, "cannot put in place", &error))?;
        if entry.size_bytes >= WRITE_OUT_FROM_BYTES {
            system::begin_write_out(self.file.as_fd());
        }
        whole
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if self.name == Name::Temp {
            // What can't be removed now is swept by the next restore into the directory.
            let _ = unlinkat(&self.dir, self.temp.as_slice(), AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backup_core::{EntryKind, EntryPath};
    use rustix::fs::{CWD, Mode};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use crate::unix::beneath::Beneath;
    use crate::unix::dir_cache::{DirCache, READABLE};
    use crate::unix::privilege::Privilege;

    /// Every way in which a file can come to its name on this machine.
    fn ways(dir: &Path) -> Vec<Option<Naming>> {
        let opened = openat(CWD, dir, READABLE, Mode::empty()).unwrap();
        let works = |naming| {
            let Ok(file) = unnamed::create(opened.as_fd(), Mode::RUSR | Mode::WUSR) else { return false };
            let named = system::name_file(naming, file.as_fd(), opened.as_fd(), b"probe").is_ok();
            named && std::fs::remove_file(dir.join("probe")).is_ok()
        };
        let ways: Vec<_> = [Naming::Descriptor, Naming::Path].into_iter().filter(|&naming| works(naming)).collect();
        if cfg!(target_os = "linux") {
            assert!(ways.contains(&Naming::Path), "{ways:?}: temporary folders of Linux have files without names");
        }
        std::iter::once(None).chain(ways.into_iter().map(Some)).collect()
    }

    fn begin(dir: &Path, naming: Option<Naming>) -> Box<FileWriter> {
        let opened = openat(CWD, dir, READABLE, Mode::empty()).unwrap();
        let cache = DirCache::new(Beneath::new(opened), READABLE);
        let policy =
            Policy { owners: false, privileged_bits: false, privilege: Privilege::of_this_process(), mask: None };
        let writer = FileWriter::begin(&cache.get(b"").unwrap(), &entry(), naming, &TempNames::new(), policy).unwrap();
        writer.write_at(0, b"new").unwrap();
        Box::new(writer)
    }

    fn entry() -> Entry {
        let path = EntryPath::new(b"f".as_slice()).unwrap();
        Entry { size_bytes: 3, mode: 0o600, ..Entry::new(path, EntryKind::File) }
    }

    fn names(dir: &Path) -> Vec<String> {
        let names = std::fs::read_dir(dir).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn file_appears_whole_in_place_of_nothing_a_file_or_a_link_by_every_way() {
        type Before = fn(&Path);
        let befores: [(&str, Before); 3] = [
            ("nothing", |_| {}),
            ("a file", |at| std::fs::write(at, "old content").unwrap()),
            ("a link", |at| symlink("elsewhere", at).unwrap()),
        ];
        for (what, before) in befores {
            let probed = tempfile::tempdir().unwrap();
            for naming in ways(probed.path()) {
                let dir = tempfile::tempdir().unwrap();
                let at = dir.path().join("f");
                before(&at);
                let was = std::fs::symlink_metadata(&at).map(|meta| meta.file_type()).ok();
                let writer = begin(dir.path(), naming);
                assert_eq!(std::fs::symlink_metadata(&at).map(|meta| meta.file_type()).ok(), was, "{what} {naming:?}");
                writer.commit(&entry()).unwrap();
                assert_eq!(names(dir.path()), ["f"], "{what} {naming:?}");
                assert!(std::fs::symlink_metadata(&at).unwrap().is_file());
                assert_eq!(std::fs::read(&at).unwrap(), b"new");
            }
        }
    }

    #[test]
    fn directory_in_its_place_is_refused_and_nothing_is_left_by_every_way() {
        let dir = tempfile::tempdir().unwrap();
        for naming in ways(dir.path()) {
            std::fs::create_dir_all(dir.path().join("f/inner")).unwrap();
            let error = begin(dir.path(), naming).commit(&entry()).unwrap_err();
            assert!(error.to_string().contains("a directory stands in its place"), "{naming:?}: {error}");
            assert_eq!(names(dir.path()), ["f"], "{naming:?}");
            assert!(dir.path().join("f/inner").is_dir());
        }
    }

    #[test]
    fn file_that_is_given_up_leaves_nothing_by_any_way() {
        let dir = tempfile::tempdir().unwrap();
        for naming in ways(dir.path()) {
            let writer = begin(dir.path(), naming);
            assert_eq!(names(dir.path()).len(), usize::from(naming.is_none()), "{naming:?}");
            drop(writer);
            assert_eq!(names(dir.path()), Vec::<String>::new(), "{naming:?}");
        }
    }
}
