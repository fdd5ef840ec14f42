//! How much room the server's file system has, by `statvfs@openssh.com`.

use backup_core::Quota;
use bytes::Bytes;

use crate::connection::Connection;
use crate::failure::{Failed, unexpected};
use crate::wire::{Malformed, Reply, Request, long};

/// A file system with less left than this counts as full: it keeps some for its own tables.
const NEARLY_NOTHING_BYTES: u64 = 1 << 20;

/// Room in blocks, as far as users may take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    free_bytes: u64,
    total_bytes: u64,
    used_bytes: u64,
    free_files: u64,
    files: u64,
}

impl From<Room> for Quota {
    fn from(room: Room) -> Self {
        Self {
            used_bytes: Some(room.used_bytes),
            free_bytes: Some(room.free_bytes),
            total_bytes: Some(room.total_bytes),
        }
    }
}

/// Asks for the room where the store is, or where it will be made.
pub(crate) async fn room(connection: &Connection) -> Result<Room, Failed> {
    let mut path = connection.root.as_str();
    loop {
        let asked = if path.is_empty() { "/" } else { path };
        match connection.client.ask(Request::statvfs(asked)).await? {
            Reply::Extended(reply) => return Ok(parse(reply)?),
            other => match unexpected(other) {
                failed if failed.is_no_such_file() && !path.is_empty() => {
                    path = path.rsplit_once('/').map_or("", |(above, _)| above);
                }
                failed => return Err(failed),
            },
        }
    }
}

/// Whether there is no room for so many bytes; `false` where the server doesn't tell.
pub(crate) async fn is_full(connection: &Connection, wanted_bytes: u64) -> bool {
    if !connection.abilities.statvfs {
        return false;
    }
    room(connection).await.is_ok_and(|room| {
        room.free_bytes < wanted_bytes.saturating_add(NEARLY_NOTHING_BYTES) || (room.files > 0 && room.free_files == 0)
    })
}

fn parse(mut reply: Bytes) -> Result<Room, Malformed> {
    let mut next = || long(&mut reply);
    let (_block, fragment) = (next()?, next()?);
    let (blocks, free, available) = (next()?, next()?, next()?);
    let (files, _free_files, free_files) = (next()?, next()?, next()?);
    let bytes = |count: u64| count.saturating_mul(fragment);
    Ok(Room {
        free_bytes: bytes(available),
        total_bytes: bytes(blocks),
        used_bytes: bytes(blocks.saturating_sub(free)),
        free_files,
        files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_counted_in_fragments() {
        let numbers: [u64; 11] = [1 << 20, 4096, 100, 30, 20, 9, 8, 7, 0, 0, 255];
        let reply: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        let room = parse(reply.into()).unwrap();
        assert_eq!((room.free_bytes, room.total_bytes, room.used_bytes), (20 * 4096, 100 * 4096, 70 * 4096));
        assert_eq!((room.files, room.free_files), (9, 7));
        assert!(parse(Bytes::from_static(b"short")).is_err());
    }
}
