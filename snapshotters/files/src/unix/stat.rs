//! What the system says about a file, as it stands in an entry.

use std::io;

use backup_core::{Entry, EntryKind, EntryPath, Timestamp};
use rustix::fs::{FileType, Mode, RawMode, Stat};

use super::accounts::Accounts;
use crate::racy::Recency;

/// All permission bits an entry keeps.
const MODE_BITS: u32 = 0o7777;

/// The size of the blocks that `st_blocks` counts.
const STAT_BLOCK_BYTES: u64 = 512;

/// Widths and signs of stat fields differ between systems; all their values fit.
fn number<T, U: TryFrom<T> + Default>(value: T) -> U {
    U::try_from(value).unwrap_or_default()
}

/// The part of a file's state by which a change shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified: Timestamp,
    changed: Timestamp,
}

pub(super) fn identity(stat: &Stat) -> Identity {
    Identity {
        device: device(stat),
        inode: inode(stat),
        size_bytes: size_bytes(stat),
        modified: modified(stat),
        changed: changed(stat),
    }
}

pub(super) fn device(stat: &Stat) -> u64 {
    number(stat.st_dev)
}

pub(super) fn inode(stat: &Stat) -> u64 {
    number(stat.st_ino)
}

pub(super) fn size_bytes(stat: &Stat) -> u64 {
    number(stat.st_size)
}

pub(super) fn owner(stat: &Stat) -> (u32, u32) {
    (stat.st_uid, stat.st_gid)
}

pub(super) fn mode(stat: &Stat) -> u32 {
    number::<_, u32>(stat.st_mode) & MODE_BITS
}

/// Permission bits as system calls take them.
pub(super) fn mode_of(bits: u32) -> Mode {
    Mode::from_raw_mode(number::<_, RawMode>(bits & MODE_BITS))
}

pub(super) fn modified(stat: &Stat) -> Timestamp {
    time(number(stat.st_mtime), number(stat.st_mtime_nsec))
}

fn changed(stat: &Stat) -> Timestamp {
    time(number(stat.st_ctime), number(stat.st_ctime_nsec))
}

fn time(secs: i64, nanos: u32) -> Timestamp {
    // A file system that gives a second or more as a fraction is broken; the seconds still hold.
    Timestamp::new(secs, nanos).unwrap_or(Timestamp::from_secs(secs))
}

/// Whether fewer blocks are in use than the size needs, so that there may be holes.
pub(super) fn may_have_holes(stat: &Stat) -> bool {
    number::<_, u64>(stat.st_blocks).saturating_mul(STAT_BLOCK_BYTES) < size_bytes(stat)
}

pub(super) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// What kind of entry it is, `None` for what no entry can be.
pub(super) fn kind(stat: &Stat) -> Option<EntryKind> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Some(EntryKind::File),
        FileType::Directory => Some(EntryKind::Directory),
        FileType::Symlink => Some(EntryKind::Symlink),
        FileType::Fifo => Some(EntryKind::Fifo),
        FileType::Socket => Some(EntryKind::Socket),
        FileType::CharacterDevice => Some(EntryKind::CharDevice),
        FileType::BlockDevice => Some(EntryKind::BlockDevice),
        FileType::Unknown => None,
    }
}

/// An entry with everything that listing gives.
pub(super) fn entry(path: EntryPath, stat: &Stat, accounts: &Accounts, recency: Option<Recency>) -> io::Result<Entry> {
    let mut entry = Entry::new(path, EntryKind::File);
    fill(&mut entry, stat, accounts, recency)?;
    Ok(entry)
}

/// Overwrites everything that listing gives.
pub(super) fn fill(entry: &mut Entry, stat: &Stat, accounts: &Accounts, recency: Option<Recency>) -> io::Result<()> {
    let kind = kind(stat).ok_or_else(|| io::Error::other("neither file, directory, link, pipe, socket nor device"))?;
    entry.kind = kind;
    entry.size_bytes = if kind == EntryKind::File { size_bytes(stat) } else { 0 };
    entry.mode = mode(stat);
    (entry.uid, entry.gid) = owner(stat);
    entry.user = accounts.user(entry.uid);
    entry.group = accounts.group(entry.gid);
    entry.modified = modified(stat);
    entry.changed = changed(stat);
    entry.inode = inode(stat);
    entry.device = device(stat);
    entry.links = number(stat.st_nlink);
    entry.device_number = match kind {
        EntryKind::CharDevice | EntryKind::BlockDevice => {
            (number(rustix::fs::major(stat.st_rdev)), number(rustix::fs::minor(stat.st_rdev)))
        }
        EntryKind::File | EntryKind::Directory | EntryKind::Symlink | EntryKind::Fifo | EntryKind::Socket => (0, 0),
    };
    entry.racy = recency.is_some_and(|recency| recency.is_racy(entry.modified, entry.changed));
    Ok(())
}
