//! An entry of a snapshot as people and programs see it.

use backup_core::{Entry, EntryKind};
use backup_engine::format::tree::TreeEntry;
use backup_engine::snapshots::format_time;
use serde::Serialize;

use super::human;
use super::json::{PathText, text_and_twin};

/// An entry as programs see it.
#[derive(Debug, Serialize)]
pub(crate) struct EntryLine<'a> {
    #[serde(flatten)]
    path: PathText,
    kind: &'static str,
    size_bytes: u64,
    /// Permission bits in octal, as `chmod` takes them.
    mode: String,
    uid: u32,
    gid: u32,
    user: Option<&'a str>,
    group: Option<&'a str>,
    modified: String,
    links: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_target_base64: Option<String>,
    /// SHA-256 of the content; of a sparse file, of its data alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    sparse: bool,
    torn: bool,
}

impl<'a> From<&'a TreeEntry> for EntryLine<'a> {
    fn from(item: &'a TreeEntry) -> Self {
        let entry = &item.entry;
        let (link_target, link_target_base64) = match entry.kind {
            EntryKind::Symlink => {
                let (text, twin) = text_and_twin(&entry.link_target);
                (Some(text), twin)
            }
            EntryKind::File
            | EntryKind::Directory
            | EntryKind::Fifo
            | EntryKind::Socket
            | EntryKind::CharDevice
            | EntryKind::BlockDevice => (None, None),
        };
        Self {
            path: (&entry.path).into(),
            kind: kind(entry.kind),
            size_bytes: entry.size_bytes,
            mode: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            user: entry.user.as_deref(),
            group: entry.group.as_deref(),
            modified: format_time(entry.modified),
            links: entry.links,
            link_target,
            link_target_base64,
            sha256: item.content.digest().map(|digest| digest.iter().map(|byte| format!("{byte:02x}")).collect()),
            sparse: entry.extents.is_some(),
            torn: entry.torn,
        }
    }
}

/// What an entry is, for programs.
pub(crate) fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symlink",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        EntryKind::CharDevice => "char_device",
        EntryKind::BlockDevice => "block_device",
    }
}

/// The path, with a slash behind folders.
pub(crate) fn short(entry: &Entry) -> String {
    let slash = if entry.kind == EntryKind::Directory { "/" } else { "" };
    format!("/{}{slash}", entry.path)
}

/// A line as of `ls -l`.
pub(crate) fn long(entry: &Entry) -> String {
    let owner = |name: &Option<std::sync::Arc<str>>, id: u32| match name {
        Some(name) => name.to_string(),
        None => id.to_string(),
    };
    let size = match entry.kind {
        EntryKind::File => human::size(entry.size_bytes),
        EntryKind::CharDevice | EntryKind::BlockDevice => {
            format!("{},{}", entry.device_number.0, entry.device_number.1)
        }
        EntryKind::Directory | EntryKind::Symlink | EntryKind::Fifo | EntryKind::Socket => "-".to_owned(),
    };
    let target = match entry.kind {
        EntryKind::Symlink => format!(" -> {}", text_and_twin(&entry.link_target).0),
        _ => String::new(),
    };
    format!(
        "{}  {:<8}  {:<8}  {size:>9}  {}  {}{target}",
        permissions(entry),
        owner(&entry.user, entry.uid),
        owner(&entry.group, entry.gid),
        human::time(entry.modified),
        short(entry),
    )
}

fn permissions(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryKind::File => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::CharDevice => 'c',
        EntryKind::BlockDevice => 'b',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = entry.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, entry.mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use backup_core::EntryPath;

    #[test]
    fn permissions_are_shown_as_ls_does() {
        let shown = |kind, mode| {
            let mut entry = Entry::new(EntryPath::new(b"x".as_slice()).unwrap(), kind);
            entry.mode = mode;
            permissions(&entry)
        };
        assert_eq!(shown(EntryKind::File, 0o644), "-rw-r--r--");
        assert_eq!(shown(EntryKind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(shown(EntryKind::File, 0o4755), "-rwsr-xr-x");
        assert_eq!(shown(EntryKind::File, 0o6640), "-rwSr-S---");
        assert_eq!(shown(EntryKind::Symlink, 0o777), "lrwxrwxrwx");
    }
}
