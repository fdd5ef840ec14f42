//! What this process may do.

use super::system;

/// Rights that decide which calls are worth making.
#[derive(Debug, Clone, Copy)]
pub(super) struct Privilege {
    /// The number new files belong to.
    pub(super) uid: u32,
    /// The group new files belong to, where the directory has no say.
    pub(super) gid: u32,
    /// Whether owners may be changed.
    pub(super) may_change_owner: bool,
    /// Whether it is treated as the owner of every file.
    pub(super) owns_all: bool,
    /// Whether permission bits don't bind it.
    pub(super) passes_permissions: bool,
}

impl Privilege {
    pub(super) fn of_this_process() -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let [may_change_owner, owns_all, passes_permissions] = system::rights();
        Self { uid, gid, may_change_owner, owns_all, passes_permissions }
    }

    /// Whether it may read a file without leaving an access time; only an owner may.
    pub(super) fn may_skip_access_time(self, owner: u32) -> bool {
        self.owns_all || owner == self.uid
    }
}
