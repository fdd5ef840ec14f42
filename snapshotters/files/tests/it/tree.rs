//! Trees that have everything in them that ever went wrong.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, lsetxattr, makedev,
    mkdirat, mknodat, openat, utimensat,
};
use rustix::io::Errno;

/// Writes a file with these bytes.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn set_time(path: &Path, secs: i64, nanos: i64) {
    let time = Timespec { tv_sec: secs, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Sets an attribute; `false` when the file system has none of that kind or this process may not set it.
pub(crate) fn set_xattr(path: &Path, name: &str, value: &[u8]) -> bool {
    let privileged = name.starts_with("trusted.") || name.starts_with("security.");
    match lsetxattr(path, name, value, XattrFlags::empty()) {
        Err(Errno::OPNOTSUPP) => {
            crate::skip(name, "this file system has no such attributes");
            false
        }
        Err(Errno::PERM) if privileged => {
            crate::skip(name, "this process may not set it");
            false
        }
        other => {
            other.unwrap();
            true
        }
    }
}

/// An access control list that lets one user more in, in the kernel's form.
pub(crate) fn acl(user: u32) -> Vec<u8> {
    let mut value = 2_u32.to_le_bytes().to_vec();
    // Owner, named user, group, mask, others.
    for (tag, permissions, id) in
        [(1_u16, 7_u16, u32::MAX), (2, 6, user), (4, 5, u32::MAX), (0x10, 7, u32::MAX), (0x20, 0, u32::MAX)]
    {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&permissions.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    value
}

/// Fills a directory with what is hard to capture and restore. As root, with owners and devices.
pub(crate) fn nasty(root: &Path) {
    let at = |name: &[u8]| root.join(OsStr::from_bytes(name));
    write(&at(b"plain/empty"), b"");
    write(&at(b"plain/small"), b"small");
    write(&at(b"plain/large"), &(0..3_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    fs::create_dir_all(at(b"empty/nested/deeper")).unwrap();
    names(&at(b"names"));
    links(&at(b"links"));
    sparse(&at(b"sparse"));
    modes(&at(b"modes"));
    special(&at(b"special"));
    attributes(&at(b"attributes"));
    if crate::is_root() {
        owners(&at(b"owners"));
    } else {
        crate::skip("owners", "not root");
    }
    for (path, secs, nanos) in [
        ("plain/small", 1, 999_999_999),
        ("plain/empty", -1_000_000, 5),
        ("plain", 4_000_000_000, 123_456_789),
        ("empty", 1_000_000_000, 0),
        ("links/broken", 77, 88),
    ] {
        set_time(&root.join(path), secs, nanos);
    }
}

fn names(dir: &Path) {
    let long = vec![b'n'; 255];
    for name in
        [&b"new\nline"[..], b"tab\tand\x01", b"\xff\xfe invalid", b" spaces ", b"-dash", &long, b"a", b"a.b", b"a-b"]
    {
        write(&dir.join(OsStr::from_bytes(name)), name);
    }
    write(&dir.join("a-dir/inner"), b"");
    write(&dir.join("composed-\u{e9}"), b"1");
    write(&dir.join("decomposed-e\u{301}"), b"2");
}

fn links(dir: &Path) {
    write(&dir.join("file"), b"shared");
    fs::create_dir_all(dir.join("sub")).unwrap();
    for name in ["hard1", "sub/hard2"] {
        fs::hard_link(dir.join("file"), dir.join(name)).unwrap();
    }
    symlink("file", dir.join("good")).unwrap();
    symlink("nowhere", dir.join("broken")).unwrap();
    symlink("loop2", dir.join("loop1")).unwrap();
    symlink("loop1", dir.join("loop2")).unwrap();
    symlink(".", dir.join("self")).unwrap();
    symlink("/", dir.join("sub/out")).unwrap();
    symlink("x".repeat(4000), dir.join("long")).unwrap();
    symlink(OsStr::from_bytes(b"\xff\n"), dir.join("raw")).unwrap();
    fs::hard_link(dir.join("broken"), dir.join("broken-too")).unwrap();
}

fn sparse(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let make = |name: &str, size: u64, pieces: &[u64]| {
        let mut file = File::create(dir.join(name)).unwrap();
        for &offset in pieces {
            file.seek(SeekFrom::Start(offset)).unwrap();
            file.write_all(b"data").unwrap();
        }
        file.set_len(size).unwrap();
    };
    make("all-hole", 1 << 24, &[]);
    make("hole-first", (1 << 20) + 4, &[1 << 20]);
    make("hole-last", 1 << 20, &[0]);
    make("islands", 1 << 24, &[1 << 18, 1 << 20, (1 << 22) + 5000]);
}

fn modes(dir: &Path) {
    for mode in [0o000, 0o444, 0o600, 0o640, 0o755, 0o1777, 0o2755, 0o4755, 0o6711] {
        let path = dir.join(format!("file-{mode:o}"));
        write(&path, b"m");
        set_mode(&path, mode);
        let path = dir.join(format!("dir-{mode:o}"));
        write(&path.join("inside"), b"i");
        set_mode(&path, mode);
    }
}

fn special(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let node = |name: &str, kind, mode, device| {
        let made = mknodat(CWD, dir.join(name), kind, Mode::from_raw_mode(mode), device);
        if device != 0 && made == Err(Errno::PERM) {
            return crate::skip(name, "this process may not make devices");
        }
        made.unwrap();
        set_mode(&dir.join(name), mode);
    };
    node("pipe", FileType::Fifo, 0o622, 0);
    node("socket", FileType::Socket, 0o755, 0);
    node("null", FileType::CharacterDevice, 0o666, makedev(1, 3));
    node("disk", FileType::BlockDevice, 0o660, makedev(259, 1_048_575));
    set_time(&dir.join("pipe"), 12_345, 678);
}

fn attributes(dir: &Path) {
    write(&dir.join("file"), b"x");
    write(&dir.join("read-only"), b"x");
    fs::create_dir_all(dir.join("inherits")).unwrap();
    for path in [dir.join("file"), dir.join("read-only"), dir.to_path_buf()] {
        if set_xattr(&path, "user.comment", b"with \0 and \xff") {
            set_xattr(&path, "user.empty", b"");
            set_xattr(&path, "user.large", &[7; 3000]);
        }
    }
    set_mode(&dir.join("read-only"), 0o400);
    if set_xattr(&dir.join("file"), "system.posix_acl_access", &acl(12_345))
        && set_xattr(&dir.join("inherits"), "system.posix_acl_default", &acl(54_321))
    {
        // Made below the default list, so that it has one as well; and one from which it was taken again.
        write(&dir.join("inherits/child"), b"c");
        fs::create_dir(dir.join("inherits/dir")).unwrap();
        write(&dir.join("inherits/bare"), b"c");
        rustix::fs::removexattr(dir.join("inherits/bare"), "system.posix_acl_access").unwrap();
    }
    if crate::is_root() {
        symlink("nowhere", dir.join("tagged-link")).unwrap();
        set_xattr(&dir.join("tagged-link"), "trusted.note", b"on a link");
        // CAP_NET_RAW, permitted and effective.
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        set_xattr(&dir.join("file"), "security.capability", &capability);
    }
}

fn owners(dir: &Path) {
    let own = |name: &str, uid, gid, mode| {
        let path = dir.join(name);
        write(&path, b"o");
        chownat(CWD, &path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW).unwrap();
        set_mode(&path, mode);
    };
    own("user", 1000, 1000, 0o640);
    own("mixed", 0, 4_000_000_000, 0o604);
    own("set-user", 1000, 1000, 0o6755);
    own("dir/inside", 65534, 65534, 0o644);
    chownat(CWD, dir.join("dir"), Some(Uid::from_raw(7)), Some(Gid::from_raw(8)), AtFlags::empty()).unwrap();
    set_mode(&dir.join("dir"), 0o2750);
    symlink("x", dir.join("link")).unwrap();
    chownat(CWD, dir.join("link"), Some(Uid::from_raw(1000)), Some(Gid::from_raw(1001)), AtFlags::SYMLINK_NOFOLLOW)
        .unwrap();
}

/// A chain of directories, some with a file after the next directory, far longer than any path a system call takes.
pub(crate) fn deep(root: &Path, levels: usize, file_every: usize) {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at: OwnedFd = openat(CWD, root, flags, Mode::empty()).unwrap();
    for level in 1..=levels {
        if level % file_every == 0 {
            let file = openat(&at, "file", OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
            rustix::io::write(file.unwrap(), b"deep").unwrap();
        }
        mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = openat(&at, "d", flags, Mode::empty()).unwrap();
    }
}
