//! Setting owner, permissions, attributes and times.
//!
//! The order matters. Plain attributes come first, while the file is still surely writable; then the owner, which takes
//! away capabilities and set-user-id; then capabilities and access control lists; then the permission bits, which those
//! lists change; and the times last, because all of this may move them.

use std::io;
use std::os::fd::BorrowedFd;

use backup_core::{Entry, EntryError, EntryKind, Timestamp, Xattr};
use rustix::fs::{AtFlags, Gid, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown, futimens, utimensat};
use rustix::io::Errno;

use crate::unix::privilege::Privilege;
use crate::unix::xattrs::Bearer;
use crate::unix::{stat, system};

pub(super) const ACTION: &str = "cannot restore all metadata of";

const CAPABILITY: &[u8] = b"security.capability";
const ACCESS_LIST: &[u8] = b"system.posix_acl_access";
const DEFAULT_LIST: &[u8] = b"system.posix_acl_default";

const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;

/// What is restored, and what this process can do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) owners: bool,
    pub(super) privileged_bits: bool,
    pub(super) privilege: Privilege,
    /// The permission bits new files don't get, where that is known.
    pub(super) mask: Option<u32>,
}

impl Policy {
    /// The permission bits of a file while it is being written.
    ///
    /// Never more than its own, and while it still belongs to somebody else, nothing to group or others that both of
    /// them don't get in the end. The owner can read it, or a sweep could not ask for its lock.
    pub(super) fn mode_while_writing(self, entry: &Entry) -> u32 {
        let bits = entry.mode & 0o777;
        let stays = !self.owners || (entry.uid, entry.gid) == (self.privilege.uid, self.privilege.gid);
        let bits = if stays {
            bits
        } else {
            let shared = (bits >> 3) & bits & 0o7;
            bits & 0o700 | shared << 3 | shared
        };
        let needed = if entry.xattrs.is_empty() || self.privilege.passes_permissions { 0o400 } else { 0o600 };
        bits | needed
    }
}

/// What something has by now; `None` is not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current {
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: Option<u32>,
    pub(super) modified: Option<Timestamp>,
    /// Whether it may have extended attributes.
    pub(super) xattrs: bool,
}

impl Current {
    pub(super) fn from_stat(stat: &Stat) -> Self {
        Self {
            owner: Some(stat::owner(stat)),
            mode: Some(stat::mode(stat)),
            modified: Some(stat::modified(stat)),
            xattrs: true,
        }
    }
}

/// What metadata is set on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// A name in an open directory, never followed.
    Named(BorrowedFd<'a>, &'a [u8]),
}

impl<'a> Place<'a> {
    fn bearer(self) -> Result<Bearer<'a>, Errno> {
        match self {
            Self::Open(file) => Ok(Bearer::Open(file)),
            Self::Named(directory, name) => system::path_of(directory, Some(name)).map(Bearer::At),
        }
    }

    fn set_owner(self, (uid, gid): (u32, u32)) -> Result<(), Errno> {
        // The highest number means "leave as it is" to the system and is nobody's.
        if uid == u32::MAX || gid == u32::MAX {
            return Err(Errno::INVAL);
        }
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        match self {
            Self::Open(file) => fchown(file, uid, gid),
            Self::Named(directory, name) => chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    fn set_mode(self, mode: u32) -> Result<(), Errno> {
        match self {
            Self::Open(file) => fchmod(file, stat::mode_of(mode)),
            Self::Named(directory, name) => system::set_mode(directory, name, stat::mode_of(mode)),
        }
    }

    fn set_times(self, modified: Timestamp) -> Result<(), Errno> {
        let time = Timespec { tv_sec: modified.secs(), tv_nsec: modified.nanos().into() };
        let times = Timestamps { last_access: time, last_modification: time };
        match self {
            Self::Open(file) => futimens(file, &times),
            Self::Named(directory, name) => utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW),
        }
    }
}

/// Sets everything that differs; goes on after a failure and names all of them in one error.
pub(super) fn apply(place: &Place<'_>, entry: &Entry, current: &Current, policy: &Policy) -> Result<(), EntryError> {
    let mut problems = Problems::default();
    let wanted: Vec<&Xattr> =
        entry.xattrs.iter().filter(|xattr| policy.privileged_bits || xattr.name != CAPABILITY).collect();
    let (early, late): (Vec<&Xattr>, Vec<&Xattr>) = wanted.iter().partition(|xattr| !is_late(&xattr.name));
    let mut lists_changed = false;
    let bearer = if wanted.is_empty() && !current.xattrs { None } else { problems.ok("attributes", place.bearer()) };
    if let Some(bearer) = &bearer {
        let present = if current.xattrs { problems.ok("attributes", bearer.names()) } else { None }.unwrap_or_default();
        for name in present.iter().filter(|name| is_ours_to_remove(name)) {
            if !wanted.iter().any(|xattr| xattr.name == *name) {
                lists_changed |= is_late(name);
                problems.attribute("remove", name, bearer.remove(name));
            }
        }
        for xattr in early {
            set(bearer, xattr, &present, &mut problems);
        }
    }

    let asked = (entry.uid, entry.gid);
    let mut owner = current.owner;
    let mut owner_changed = false;
    if policy.owners && owner != Some(asked) && problems.ok("owner", place.set_owner(asked)).is_some() {
        owner = Some(asked);
        owner_changed = true;
    }

    if let Some(bearer) = &bearer {
        for xattr in late {
            // The owner's change has taken what was there.
            let present = if current.xattrs && !owner_changed { vec![xattr.name.clone()] } else { Vec::new() };
            lists_changed |= set(bearer, xattr, &present, &mut problems);
        }
    }

    let mode = restored_mode(entry, owner, policy);
    let bits_lost = owner_changed && mode & (SET_USER_ID | SET_GROUP_ID) != 0;
    if entry.kind != EntryKind::Symlink && (current.mode != Some(mode) || lists_changed || bits_lost) {
        problems.ok("permissions", place.set_mode(mode));
    }
    if current.modified != Some(entry.modified) {
        problems.ok("times", place.set_times(entry.modified));
    }
    problems.into_result(entry)
}

/// The bits to set: those that lend an owner's rights only with that owner.
fn restored_mode(entry: &Entry, owner: Option<(u32, u32)>, policy: &Policy) -> u32 {
    let lends = |same: bool, bit: u32| if policy.privileged_bits && same { 0 } else { bit };
    let without = lends(owner.is_some_and(|(uid, _)| uid == entry.uid), SET_USER_ID)
        | lends(owner.is_some_and(|(_, gid)| gid == entry.gid), SET_GROUP_ID);
    entry.mode & !without & 0o7777
}

/// Sets an attribute unless it has the value; says whether it did.
fn set(bearer: &Bearer<'_>, xattr: &Xattr, present: &[Vec<u8>], problems: &mut Problems) -> bool {
    if present.contains(&xattr.name)
        && bearer.value(&xattr.name).is_ok_and(|value| value.as_ref() == Some(&xattr.value))
    {
        return false;
    }
    problems.attribute("set", &xattr.name, bearer.set(&xattr.name, &xattr.value));
    true
}

/// Attributes that the owner's change takes away, or that change permission bits.
fn is_late(name: &[u8]) -> bool {
    [CAPABILITY, ACCESS_LIST, DEFAULT_LIST].contains(&name)
}

/// Attributes that stand there only because somebody put them there. Labels of security modules and what file systems
/// make up by themselves come back anyway, or must not go.
pub(super) fn is_ours_to_remove(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"trusted.") || is_late(name)
}

#[derive(Default)]
struct Problems {
    words: Vec<String>,
    kind: Option<io::ErrorKind>,
}

impl Problems {
    fn ok<T, E: Into<io::Error>>(&mut self, what: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let error = error.into();
                self.words.push(format!("{what}: {error}"));
                self.kind.get_or_insert(error.kind());
                None
            }
        }
    }

    fn attribute(&mut self, action: &str, name: &[u8], result: Result<(), Errno>) {
        self.ok(&format!("{action} attribute `{}`", name.escape_ascii()), result);
    }

    fn into_result(self, entry: &Entry) -> Result<(), EntryError> {
        match self.kind {
            None => Ok(()),
            Some(kind) => {
                Err(EntryError { path: entry.path.clone(), action: ACTION, kind, cause: self.words.join("; ") })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backup_core::EntryPath;

    fn policy(owners: bool, privileged_bits: bool) -> Policy {
        let privilege = Privilege { uid: 0, gid: 0, may_change_owner: true, owns_all: true, passes_permissions: true };
        Policy { owners, privileged_bits, privilege, mask: Some(0o022) }
    }

    fn entry(mode: u32, uid: u32, gid: u32) -> Entry {
        let path = EntryPath::new(b"a".as_slice()).unwrap();
        Entry { mode, uid, gid, ..Entry::new(path, EntryKind::File) }
    }

    #[test]
    fn file_of_another_owner_shows_nothing_early() {
        let writing = |mode, uid| policy(true, true).mode_while_writing(&entry(mode, uid, uid));
        assert_eq!(writing(0o644, 1000), 0o644);
        assert_eq!(writing(0o640, 1000), 0o600);
        assert_eq!(writing(0o604, 1000), 0o600);
        assert_eq!(writing(0o640, 0), 0o640);
        assert_eq!(writing(0o4755, 0), 0o755);
        assert_eq!(writing(0o000, 0), 0o400);
    }

    #[test]
    fn bits_that_lend_rights_need_their_owner_and_consent() {
        let mode = |owner, allowed| restored_mode(&entry(0o6755, 7, 8), Some(owner), &policy(true, allowed));
        assert_eq!(mode((7, 8), true), 0o6755);
        assert_eq!(mode((0, 8), true), 0o2755);
        assert_eq!(mode((7, 0), true), 0o4755);
        assert_eq!(mode((7, 8), false), 0o755);
        assert_eq!(restored_mode(&entry(0o1777, 7, 8), None, &policy(false, false)), 0o1777);
    }
}
