//! Files that have no name until they are whole.
//!
//! Where the system has them, a file appears under its name by one call that changes its directory once, where a temporary name
//! and a rename change it twice; and a process that is killed leaves nothing behind.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{AtFlags, Mode, unlinkat};
use rustix::io::Errno;

use super::metadata::Policy;
use super::temp::TempNames;
use crate::unix::system;

/// How a file without a name gets one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::unix) enum Naming {
    /// By its descriptor, which takes a right that not everybody has.
    Descriptor,
    /// By the path of its descriptor, which takes a mounted `/proc`.
    Path,
}

/// Whether and how a target uses such files; found out with the first.
#[derive(Debug, Default)]
pub(super) struct Unnamed {
    naming: OnceLock<Option<Naming>>,
}

impl Unnamed {
    /// How files in a directory get their names; `None` where they need one from the beginning.
    pub(super) fn naming(&self, directory: BorrowedFd<'_>, temps: &TempNames, policy: &Policy) -> Option<Naming> {
        // The system may refuse a new name to a file that was given away meanwhile.
        let stays_ours = !policy.owners || policy.privilege.owns_all;
        if !stays_ours {
            return None;
        }
        *self.naming.get_or_init(|| probe(directory, temps))
    }
}

/// Makes a file, names it and removes it again: nobody finds out after the content was written that it can't have a name.
fn probe(directory: BorrowedFd<'_>, temps: &TempNames) -> Option<Naming> {
    let file = create(directory, Mode::RUSR | Mode::WUSR).ok()?;
    let name = temps.fresh();
    let found = [Naming::Descriptor, Naming::Path]
        .into_iter()
        .find(|&naming| system::name_file(naming, file.as_fd(), directory, &name).is_ok())?;
    // What can't be removed now is swept by the next restore into the directory.
    let _ = unlinkat(directory, name.as_slice(), AtFlags::empty());
    Some(found)
}

/// Makes a file without a name in a directory.
pub(super) fn create(directory: BorrowedFd<'_>, mode: Mode) -> Result<OwnedFd, Errno> {
    system::create_unnamed(directory, mode)
}
