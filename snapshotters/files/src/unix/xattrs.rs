//! Extended attributes; access control lists and capabilities are among them.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use backup_core::Xattr;
use rustix::fs::{
    XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, lgetxattr, llistxattr, lremovexattr, lsetxattr,
};
use rustix::io::Errno;

/// Enough for the names on nearly every file, on the stack.
const FEW_BYTES: usize = 1024;

/// What Linux allows for all names of a file together, and for one value.
const MAX_BYTES: usize = 64 * 1024;

/// What has extended attributes.
#[derive(Debug)]
pub(super) enum Bearer<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// What stands at a path, which is not followed if it is a link.
    At(Vec<u8>),
}

impl Bearer<'_> {
    /// All attributes in name order; none where the file system has none.
    pub(super) fn all(&self) -> io::Result<Vec<Xattr>> {
        let mut xattrs = Vec::new();
        for name in self.names()? {
            if let Some(value) = self.value(&name)? {
                xattrs.push(Xattr { name, value });
            }
        }
        Ok(xattrs)
    }

    /// The names, sorted.
    pub(super) fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let list = match grown(|buffer| self.list(buffer)) {
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            other => other?,
        };
        let mut names: Vec<Vec<u8>> =
            list.split(|&byte| byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
        names.sort();
        Ok(names)
    }

    /// A value, `None` when there is no such attribute.
    pub(super) fn value(&self, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match grown(|buffer| self.get(name, buffer)) {
            Err(NO_ATTRIBUTE | Errno::OPNOTSUPP) => Ok(None),
            other => Ok(Some(other?)),
        }
    }

    pub(super) fn set(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(file) => fsetxattr(file, name, value, XattrFlags::empty()),
            Self::At(path) => lsetxattr(path.as_slice(), name, value, XattrFlags::empty()),
        }
    }

    /// Removes an attribute; one that isn't there is fine.
    pub(super) fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        let removed = match self {
            Self::Open(file) => fremovexattr(file, name),
            Self::At(path) => lremovexattr(path.as_slice(), name),
        };
        match removed {
            Err(NO_ATTRIBUTE) => Ok(()),
            other => other,
        }
    }

    fn list(&self, buffer: &mut [MaybeUninit<u8>]) -> Result<Vec<u8>, Errno> {
        let (filled, _) = match self {
            Self::Open(file) => flistxattr(file, buffer),
            Self::At(path) => llistxattr(path.as_slice(), buffer),
        }?;
        Ok(filled.to_vec())
    }

    fn get(&self, name: &[u8], buffer: &mut [MaybeUninit<u8>]) -> Result<Vec<u8>, Errno> {
        let (filled, _) = match self {
            Self::Open(file) => fgetxattr(file, name, buffer),
            Self::At(path) => lgetxattr(path.as_slice(), name, buffer),
        }?;
        Ok(filled.to_vec())
    }
}

#[cfg(target_os = "linux")]
const NO_ATTRIBUTE: Errno = Errno::NODATA;
#[cfg(not(target_os = "linux"))]
const NO_ATTRIBUTE: Errno = Errno::NOATTR;

/// Reads with little room first and with all that can be needed when that was not enough.
fn grown(read: impl Fn(&mut [MaybeUninit<u8>]) -> Result<Vec<u8>, Errno>) -> Result<Vec<u8>, Errno> {
    match read(&mut [MaybeUninit::uninit(); FEW_BYTES]) {
        Err(Errno::RANGE) => read(&mut vec![MaybeUninit::uninit(); MAX_BYTES]),
        other => other,
    }
}
