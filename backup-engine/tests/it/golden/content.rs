//! What the golden repositories are captures of: everything that the format can say about an entry.

use std::sync::Arc;

use backup_core::{Coverage, Entry, EntryKind, EntryPath, Extent, Timestamp, Xattr};

use crate::support::source::{Node, Tree};
use crate::support::{CHUNK_BYTES, noise};

/// When the entries were modified, but for those that say otherwise.
const MODIFIED: i64 = 1_700_000_000;

/// A tree that is put together from whole entries.
#[derive(Default)]
struct Build {
    tree: Tree,
    /// How many entries were ever put in: each has an inode and a time of its own.
    put: u32,
}

impl Build {
    /// An entry of the user `ana`, changed as it likes before it is put in.
    fn put(&mut self, path: impl AsRef<[u8]>, kind: EntryKind, content: &[u8], change: impl FnOnce(&mut Entry)) {
        self.put += 1;
        let mut entry = Entry::new(EntryPath::new(path.as_ref()).unwrap(), kind);
        (entry.uid, entry.gid) = (1000, 100);
        (entry.user, entry.group) = (Some("ana".into()), Some("users".into()));
        (entry.inode, entry.device) = (1000 + u64::from(self.put), 2049);
        entry.modified = Timestamp::new(MODIFIED + i64::from(self.put), 123_456_789).unwrap();
        entry.changed = Timestamp::new(MODIFIED + 60, 5).unwrap();
        if kind == EntryKind::File {
            entry.size_bytes = content.len() as u64;
        }
        change(&mut entry);
        self.tree.0.insert(entry.path.clone(), Node { entry, content: Arc::from(content) });
    }

    fn folder(&mut self, path: &str) {
        self.put(path, EntryKind::Directory, b"", |entry| {
            entry.links = 2;
            entry.coverage = match path {
                "home" => Coverage::LeadIn,
                "home/ana/many" | "home/ana/gone" => Coverage::Whole,
                _ => Coverage::Part,
            };
        });
    }

    fn file(&mut self, path: &str, content: &[u8]) {
        self.put(path, EntryKind::File, content, |_| {});
    }

    fn link(&mut self, path: &str, target: &[u8]) {
        self.put(path, EntryKind::Symlink, b"", |entry| {
            entry.link_target = target.to_vec();
            entry.mode = 0o777;
        });
    }

    /// A file of which only some stretches hold data: each where it begins, and its bytes.
    fn sparse(&mut self, path: &str, size_bytes: u64, stretches: &[(u64, &[u8])]) {
        let content: Vec<u8> = stretches.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect();
        let extent = |&(offset_bytes, bytes): &(u64, &[u8])| Extent { offset_bytes, len_bytes: bytes.len() as u64 };
        self.put(path, EntryKind::File, &content, |entry| {
            entry.size_bytes = size_bytes;
            entry.extents = Some(stretches.iter().map(extent).collect());
        });
    }
}

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.as_bytes().to_vec(), value: value.to_vec() }
}

/// Text that is cut into several chunks where its content says so, and compresses well.
fn book() -> Vec<u8> {
    const WORDS: [&str; 8] = ["tide ", "lantern ", "salt ", "harbour ", "rope ", "gull ", "anchor ", "fog\n"];
    const BYTES: usize = 600_000;
    let mut text = Vec::new();
    for byte in noise(1, BYTES) {
        text.extend_from_slice(WORDS[usize::from(byte % 8)].as_bytes());
    }
    text.truncate(BYTES);
    text
}

/// Whether a leaf that is long enough ends after this path.
fn ends_leaf(path: &str) -> bool {
    let fnv1a = path
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    fnv1a.trailing_zeros() >= 10
}

/// The first state: below `home/ana` what any user can have, below `srv` what it takes root to restore.
pub(crate) fn first() -> Tree {
    first_build().tree
}

fn first_build() -> Build {
    let mut build = Build::default();
    for folder in ["home", "home/ana", "home/ana/many", "home/ana/gone", "srv", "srv/special"] {
        build.folder(folder);
    }
    plain_files(&mut build);
    what_is_no_file(&mut build);
    what_takes_root(&mut build);
    build
}

fn plain_files(build: &mut Build) {
    build.file("home/ana/empty", b"");
    build.file("home/ana/letter", b"Dear reader, can you read this?\n");
    build.file("home/ana/the same letter", b"Dear reader, can you read this?\n");
    build.file("home/ana/book", &book());
    build.file("home/ana/gone/soon", b"only in the first snapshot\n");
    for number in 0..70 {
        build.file(&format!("home/ana/many/{number:02}"), format!("file {number}\n").as_bytes());
    }
    let last = (0..).map(|number| format!("home/ana/many/{number}-ends-a-leaf")).find(|path| ends_leaf(path));
    build.file(&last.unwrap(), b"after this path a leaf ends\n");
    for name in ["one name", "other name"] {
        build.put(format!("home/ana/{name}"), EntryKind::File, b"two names of one inode\n", |entry| {
            (entry.inode, entry.links) = (77, 2);
            entry.modified = Timestamp::from_secs(MODIFIED);
        });
    }
    build.sparse("home/ana/sparse", 3 << 20, &[(64 << 10, b"first stretch"), (2 << 20, b"second stretch")]);
    build.sparse("home/ana/sparse at both ends", 200_000, &[(0, b"begins"), (199_996, b"ends")]);
    build.sparse("home/ana/hole", 1 << 20, &[]);
    build.put("home/ana/run.sh", EntryKind::File, b"#!/bin/sh\necho hello\n", |entry| entry.mode = 0o755);
    build.put("home/ana/noted", EntryKind::File, b"with attributes\n", |entry| {
        entry.xattrs = vec![xattr("user.binary", &[0, 255, 10]), xattr("user.comment", "grün".as_bytes())];
    });
    build.put("home/ana/racy", EntryKind::File, b"changed a moment before it was read\n", |entry| entry.racy = true);
    build.put("home/ana/before 1970", EntryKind::File, b"old\n", |entry| {
        entry.modified = Timestamp::new(-1, 999_999_999).unwrap();
    });
    build.put("home/ana/after 2200", EntryKind::File, b"new\n", |entry| {
        entry.modified = Timestamp::from_secs(7_300_000_000);
    });
    build.put(b"home/ana/new\nline\xff", EntryKind::File, b"a name that is no text\n", |_| {});
    build.file("home/ana/back\\slash", b"a name that is a path elsewhere\n");
    build.file(&format!("home/ana/{}", "n".repeat(255)), b"the longest name\n");
    let mut deep = "home/ana/deep".to_owned();
    for _ in 0..20 {
        build.folder(&deep);
        deep.push_str("/deeper");
    }
    build.file(&deep, b"far below\n");
}

fn what_is_no_file(build: &mut Build) {
    build.link("home/ana/link", b"letter");
    build.link("home/ana/link to nothing", b"/nowhere/at all");
    build.link("home/ana/link to no text", b"\xff\n");
    build.put("home/ana/pipe", EntryKind::Fifo, b"", |entry| entry.mode = 0o600);
    build.put("home/ana/shut", EntryKind::Directory, b"", |entry| entry.mode = 0o500);
    build.file("home/ana/shut/inside", b"in a folder that is read-only\n");
}

fn what_takes_root(build: &mut Build) {
    let root = |entry: &mut Entry| {
        (entry.uid, entry.gid, entry.device) = (0, 0, 6);
        (entry.user, entry.group) = (Some("root".into()), Some("root".into()));
    };
    build.put("srv/special/null", EntryKind::CharDevice, b"", |entry| {
        root(entry);
        (entry.device_number, entry.mode) = ((1, 3), 0o666);
    });
    build.put("srv/special/disk", EntryKind::BlockDevice, b"", |entry| {
        root(entry);
        (entry.device_number, entry.mode) = ((259, 1_048_575), 0o660);
        entry.group = Some("disk".into());
    });
    build.put("srv/special/socket", EntryKind::Socket, b"", root);
    build.put("srv/special/as root", EntryKind::File, b"runs as its owner\n", |entry| {
        root(entry);
        entry.mode = 0o4755;
        entry.xattrs = vec![xattr("security.capability", &[1, 0, 0, 2, 0, 32, 0, 0])];
    });
    build.put("srv/special/everybody's", EntryKind::Directory, b"", |entry| {
        root(entry);
        entry.mode = 0o1777;
        let acl = [2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 5, 0, 255, 255, 255, 255];
        entry.xattrs = vec![xattr("system.posix_acl_default", &acl)];
    });
    build.put("srv/special/nobody's", EntryKind::File, b"of numbers without a name\n", |entry| {
        (entry.uid, entry.gid, entry.user, entry.group) = (4_294_967_294, 65_534, None, None);
    });
}

/// The second state: something added, changed, removed, moved, of another kind, and torn.
pub(crate) fn second() -> Tree {
    let mut build = first_build();
    let within = EntryPath::new(b"home/ana/gone".as_slice()).unwrap();
    build.tree.0.retain(|path, _| !path.is_within(&within));
    let mut book = book();
    book.splice(300_000..300_000, *b"a sentence that was not there before\n");
    build.put("home/ana/book", EntryKind::File, &book, |entry| entry.modified = Timestamp::from_secs(MODIFIED + 999));
    build.put("home/ana/letter", EntryKind::Directory, b"", |entry| entry.mode = 0o700);
    build.file("home/ana/letter/it moved", b"Dear reader, can you read this?\n");
    build.file("home/ana/gone", b"a file where a folder was\n");
    build.put("home/ana/log", EntryKind::File, b"one line and the half of anoth", |entry| entry.torn = true);
    build.tree
}

/// Another, small source.
pub(crate) fn documents() -> Tree {
    let mut build = Build::default();
    build.folder("documents");
    build.file("documents/only one", b"of another source and another host\n");
    build.tree
}

/// A file of more chunks than stand in one list: there is a list of lists. All chunks but the last are the same.
pub(crate) fn many_chunks() -> Tree {
    let mut build = Build::default();
    build.folder("data");
    let chunk_bytes = usize::try_from(CHUNK_BYTES).unwrap();
    build.file("data/large", &vec![b'x'; 1025 * chunk_bytes + 1234]);
    build.tree
}
