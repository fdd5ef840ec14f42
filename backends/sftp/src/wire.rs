//! Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02 and OpenSSH's `PROTOCOL`), written and read.
//!
//! Names and handles are bytes: servers give out what they like. What a server may leave out or add (texts of a status,
//! attributes of its own) is left out or passed over.

use bytes::{Buf, Bytes};

/// The version that everybody speaks.
const VERSION: u32 = 3;

/// Of what a server says about an error, so much is kept.
const MAX_MESSAGE_CHARS: usize = 200;

mod kind {
    pub(super) const INIT: u8 = 1;
    pub(super) const VERSION: u8 = 2;
    pub(super) const OPEN: u8 = 3;
    pub(super) const CLOSE: u8 = 4;
    pub(super) const READ: u8 = 5;
    pub(super) const WRITE: u8 = 6;
    pub(super) const LSTAT: u8 = 7;
    pub(super) const FSTAT: u8 = 8;
    pub(super) const OPENDIR: u8 = 11;
    pub(super) const READDIR: u8 = 12;
    pub(super) const REMOVE: u8 = 13;
    pub(super) const MKDIR: u8 = 14;
    pub(super) const RMDIR: u8 = 15;
    pub(super) const REALPATH: u8 = 16;
    pub(super) const RENAME: u8 = 18;
    pub(super) const STATUS: u8 = 101;
    pub(super) const HANDLE: u8 = 102;
    pub(super) const DATA: u8 = 103;
    pub(super) const NAME: u8 = 104;
    pub(super) const ATTRS: u8 = 105;
    pub(super) const EXTENDED: u8 = 200;
    pub(super) const EXTENDED_REPLY: u8 = 201;
}

mod attribute {
    pub(super) const SIZE: u32 = 0x1;
    pub(super) const OWNER: u32 = 0x2;
    pub(super) const MODE: u32 = 0x4;
    pub(super) const TIMES: u32 = 0x8;
    pub(super) const EXTENDED: u32 = 0x8000_0000;
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenMode {
    /// An existing file, to be read.
    Read,
    /// A file that must not be there yet, to be written.
    CreateNew,
}

impl OpenMode {
    fn flags(self) -> u32 {
        match self {
            Self::Read => 0x1,
            // Write, create, exclusively; and cut to nothing, without which rclone's server creates nothing.
            Self::CreateNew => 0x2 | 0x8 | 0x10 | 0x20,
        }
    }
}

/// A request without its number.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    kind: u8,
    body: Vec<u8>,
    /// What follows the body, sent without a copy.
    data: Bytes,
}

impl Request {
    fn new(kind: u8) -> Self {
        Self { kind, body: Vec::new(), data: Bytes::new() }
    }

    fn on(kind: u8, name: &[u8]) -> Self {
        Self::new(kind).text(name)
    }

    fn number(mut self, number: u32) -> Self {
        self.body.extend(number.to_be_bytes());
        self
    }

    fn long(mut self, number: u64) -> Self {
        self.body.extend(number.to_be_bytes());
        self
    }

    fn text(self, text: &[u8]) -> Self {
        // No name and no handle of ours comes near the bound.
        let mut request = self.number(u32::try_from(text.len()).unwrap_or(u32::MAX));
        request.body.extend(text);
        request
    }

    pub(crate) fn open(path: &str, mode: OpenMode) -> Self {
        // No attributes: the server's own default decides on permissions.
        Self::on(kind::OPEN, path.as_bytes()).number(mode.flags()).number(0)
    }

    pub(crate) fn close(handle: &[u8]) -> Self {
        Self::on(kind::CLOSE, handle)
    }

    pub(crate) fn read(handle: &[u8], offset_bytes: u64, len_bytes: u32) -> Self {
        Self::on(kind::READ, handle).long(offset_bytes).number(len_bytes)
    }

    pub(crate) fn write(handle: &[u8], offset_bytes: u64, data: Bytes) -> Self {
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        Self { data, ..Self::on(kind::WRITE, handle).long(offset_bytes).number(len) }
    }

    pub(crate) fn lstat(path: &str) -> Self {
        Self::on(kind::LSTAT, path.as_bytes())
    }

    pub(crate) fn fstat(handle: &[u8]) -> Self {
        Self::on(kind::FSTAT, handle)
    }

    pub(crate) fn opendir(path: &str) -> Self {
        Self::on(kind::OPENDIR, path.as_bytes())
    }

    pub(crate) fn readdir(handle: &[u8]) -> Self {
        Self::on(kind::READDIR, handle)
    }

    pub(crate) fn remove(path: &str) -> Self {
        Self::on(kind::REMOVE, path.as_bytes())
    }

    pub(crate) fn mkdir(path: &str) -> Self {
        Self::on(kind::MKDIR, path.as_bytes()).number(0)
    }

    pub(crate) fn rmdir(path: &str) -> Self {
        Self::on(kind::RMDIR, path.as_bytes())
    }

    pub(crate) fn realpath(path: &str) -> Self {
        Self::on(kind::REALPATH, path.as_bytes())
    }

    /// Renames; by the draft this fails where the new name is taken, and some servers replace what is there.
    pub(crate) fn rename(from: &str, to: &str) -> Self {
        Self::on(kind::RENAME, from.as_bytes()).text(to.as_bytes())
    }

    /// Renames and replaces what is there, at once.
    pub(crate) fn posix_rename(from: &str, to: &str) -> Self {
        Self::extended("posix-rename@openssh.com").text(from.as_bytes()).text(to.as_bytes())
    }

    /// Gives a file a second name, unless that is taken.
    pub(crate) fn hardlink(from: &str, to: &str) -> Self {
        Self::extended("hardlink@openssh.com").text(from.as_bytes()).text(to.as_bytes())
    }

    pub(crate) fn fsync(handle: &[u8]) -> Self {
        Self::extended("fsync@openssh.com").text(handle)
    }

    pub(crate) fn statvfs(path: &str) -> Self {
        Self::extended("statvfs@openssh.com").text(path.as_bytes())
    }

    pub(crate) fn limits() -> Self {
        Self::extended("limits@openssh.com")
    }

    fn extended(name: &str) -> Self {
        Self::on(kind::EXTENDED, name.as_bytes())
    }

    /// The bytes of the request under a number: what stands before the data, and the data.
    pub(crate) fn encode(self, id: u32) -> [Bytes; 2] {
        let len = u32::try_from(5 + self.body.len() + self.data.len()).unwrap_or(u32::MAX);
        let mut head = Vec::with_capacity(9 + self.body.len());
        head.extend(len.to_be_bytes());
        head.push(self.kind);
        head.extend(id.to_be_bytes());
        head.extend(self.body);
        [head.into(), self.data]
    }
}

/// The first packet of a session.
pub(crate) fn hello() -> Bytes {
    let mut packet = vec![0, 0, 0, 5, kind::INIT];
    packet.extend(VERSION.to_be_bytes());
    packet.into()
}

/// What a server sends.
#[derive(Debug)]
pub(crate) enum Packet {
    /// The answer to [`hello`]: names of extensions, with their versions.
    Hello(Vec<(Bytes, Bytes)>),
    /// The answer to a request.
    Reply(u32, Reply),
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) enum Reply {
    Status(Status),
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<Named>),
    Attributes(Attributes),
    Extended(Bytes),
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) code: u32,
    /// The server's words, cut to a line.
    pub(crate) message: String,
}

impl Status {
    pub(crate) const OK: u32 = 0;
    pub(crate) const END: u32 = 1;
    pub(crate) const NO_SUCH_FILE: u32 = 2;
    pub(crate) const PERMISSION_DENIED: u32 = 3;
    pub(crate) const FAILURE: u32 = 4;
    pub(crate) const BAD_MESSAGE: u32 = 5;
    pub(crate) const UNSUPPORTED: u32 = 8;
    // Of later versions of the protocol; servers that know them send them in this one, too.
    pub(crate) const NO_SUCH_PATH: u32 = 10;
    pub(crate) const ALREADY_EXISTS: u32 = 11;
    pub(crate) const WRITE_PROTECTED: u32 = 12;
    pub(crate) const NO_SPACE: u32 = 14;
    pub(crate) const QUOTA_EXCEEDED: u32 = 15;
}

/// An entry of a directory.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) name: Bytes,
    pub(crate) attributes: Attributes,
}

/// What a server tells about a file; each may be missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) size_bytes: Option<u64>,
    pub(crate) mode: Option<u32>,
    pub(crate) modified_secs: Option<u32>,
}

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    File,
    Directory,
    Symlink,
    Special,
    /// The server doesn't tell.
    Unknown,
}

impl Attributes {
    pub(crate) fn kind(&self) -> FileKind {
        // Some servers give the permissions without the type.
        match self.mode.map(|mode| mode & 0o170_000) {
            Some(0o100_000) => FileKind::File,
            Some(0o040_000) => FileKind::Directory,
            Some(0o120_000) => FileKind::Symlink,
            None | Some(0) => FileKind::Unknown,
            Some(_) => FileKind::Special,
        }
    }
}

/// A packet that is not what the protocol says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server sent what is no SFTP: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Reads a packet, given without its length.
pub(crate) fn decode(mut packet: Bytes) -> Result<Packet, Malformed> {
    let packet = &mut packet;
    let kind = packet.try_get_u8().map_err(|_| Malformed("an empty packet"))?;
    if kind == kind::VERSION {
        number(packet)?;
        let mut extensions = Vec::new();
        while packet.has_remaining() {
            extensions.push((text(packet)?, text(packet)?));
        }
        return Ok(Packet::Hello(extensions));
    }
    let id = number(packet)?;
    let reply = match kind {
        kind::STATUS => Reply::Status(Status { code: number(packet)?, message: message(packet) }),
        kind::HANDLE => Reply::Handle(text(packet)?),
        kind::DATA => Reply::Data(text(packet)?),
        kind::NAME => {
            let count = number(packet)?;
            // The names themselves bound it, not the number that the server claims.
            let mut names = Vec::new();
            for _ in 0..count {
                let name = text(packet)?;
                // What `ls -l` shows; the attributes say the same.
                text(packet)?;
                names.push(Named { name, attributes: attributes(packet)? });
            }
            Reply::Names(names)
        }
        kind::ATTRS => Reply::Attributes(attributes(packet)?),
        kind::EXTENDED_REPLY => Reply::Extended(packet.split_off(0)),
        _ => return Err(Malformed("a packet of an unknown type")),
    };
    Ok(Packet::Reply(id, reply))
}

/// Reads a number.
pub(crate) fn number(packet: &mut Bytes) -> Result<u32, Malformed> {
    packet.try_get_u32().map_err(|_| Malformed("a packet that ends early"))
}

/// Reads a long number.
pub(crate) fn long(packet: &mut Bytes) -> Result<u64, Malformed> {
    packet.try_get_u64().map_err(|_| Malformed("a packet that ends early"))
}

fn text(packet: &mut Bytes) -> Result<Bytes, Malformed> {
    let len = usize::try_from(number(packet)?).unwrap_or(usize::MAX);
    if len > packet.len() {
        return Err(Malformed("a packet that ends early"));
    }
    Ok(packet.split_to(len))
}

/// A status's text, which old servers leave out.
fn message(packet: &mut Bytes) -> String {
    let text = text(packet).unwrap_or_default();
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    String::from_utf8_lossy(&text).trim().chars().map(plain).take(MAX_MESSAGE_CHARS).collect()
}

fn attributes(packet: &mut Bytes) -> Result<Attributes, Malformed> {
    let there = number(packet)?;
    let mut found = Attributes::default();
    if there & attribute::SIZE != 0 {
        found.size_bytes = Some(long(packet)?);
    }
    if there & attribute::OWNER != 0 {
        long(packet)?;
    }
    if there & attribute::MODE != 0 {
        found.mode = Some(number(packet)?);
    }
    if there & attribute::TIMES != 0 {
        number(packet)?;
        found.modified_secs = Some(number(packet)?);
    }
    if there & attribute::EXTENDED != 0 {
        for _ in 0..number(packet)? {
            text(packet)?;
            text(packet)?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(parts: &[&[u8]]) -> Bytes {
        parts.concat().into()
    }

    fn reply(parts: &[&[u8]]) -> Result<Reply, Malformed> {
        match decode(packet(parts))? {
            Packet::Reply(7, reply) => Ok(reply),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests_are_laid_out_as_the_draft_says() {
        let [head, data] = Request::write(b"\0\x80", 0x0102, Bytes::from_static(b"abc")).encode(7);
        let body = b"\0\0\0\x02\0\x80\0\0\0\0\0\0\x01\x02\0\0\0\x03";
        assert_eq!(head, packet(&[b"\0\0\0\x1a", &[6], b"\0\0\0\x07", body]));
        assert_eq!(data, "abc");
        let [head, data] = Request::open("a", OpenMode::CreateNew).encode(1);
        assert_eq!(head, &b"\0\0\0\x12\x03\0\0\0\x01\0\0\0\x01a\0\0\0\x3a\0\0\0\0"[..]);
        assert!(data.is_empty());
        assert_eq!(hello(), &b"\0\0\0\x05\x01\0\0\0\x03"[..]);
    }

    #[test]
    fn status_without_words_or_with_an_unknown_code_is_a_status() {
        let status = |parts: &[&[u8]]| match reply(parts).unwrap() {
            Reply::Status(status) => status,
            other => panic!("{other:?}"),
        };
        assert_eq!(status(&[&[101], b"\0\0\0\x07\0\0\0\x1d"]), Status { code: 29, message: String::new() });
        let told = status(&[&[101], b"\0\0\0\x07\0\0\0\x04\0\0\0\x04no\nw\0\0\0\0"]);
        assert_eq!(told, Status { code: 4, message: "no w".to_owned() });
    }

    #[test]
    fn attributes_of_the_servers_own_are_passed_over() {
        let first = b"\0\0\0\x01a\0\0\0\0\x80\0\0\x0d\0\0\0\0\0\0\0\x09\0\0\x81\xa4\0\0\0\x01\0\0\0\x02";
        let own = b"\0\0\0\x01\0\0\0\x01x\0\0\0\x02yz";
        let second = b"\0\0\0\x02\xff\xfe\0\0\0\0\0\0\0\0";
        let Ok(Reply::Names(names)) = reply(&[&[104], b"\0\0\0\x07\0\0\0\x02", first, own, second]) else { panic!() };
        assert_eq!(names.len(), 2);
        let expected = Attributes { size_bytes: Some(9), mode: Some(0o100_644), modified_secs: Some(2) };
        assert_eq!(names[0].attributes, expected);
        assert_eq!((names[0].attributes.kind(), names[1].attributes.kind()), (FileKind::File, FileKind::Unknown));
        assert_eq!(names[1].name, &b"\xff\xfe"[..]);
    }

    #[test]
    fn packets_that_end_early_are_refused() {
        let whole = packet(&[&[104], b"\0\0\0\x07\0\0\0\x01\0\0\0\x01a\0\0\0\0\0\0\0\x04\0\0\x81\xa4"]);
        assert!(decode(whole.clone()).is_ok());
        for len in 0..whole.len() {
            assert!(decode(whole.slice(..len)).is_err(), "{len}");
        }
        assert!(decode(packet(&[&[104], b"\0\0\0\x07\xff\xff\xff\xff"])).is_err());
        assert!(decode(packet(&[&[9], b"\0\0\0\x07"])).is_err());
    }
}
