//! Inputs to begin with, made from the specification's test vectors and by the encoders themselves.

use backup_engine::compress::{Compressor, DEFAULT_LEVEL};
use backup_engine::format::envelope::{MAX_RECORD_BYTES, put_payload};
use backup_engine::format::pack::put_block;
use backup_engine::format::wire::{put_bytes, put_varint, put_zigzag};

use super::document::{pack as documented_pack, vector};

/// A bomb is some hundred times smaller; larger ones take long and show nothing more. A test of its own has those of the greatest size.
const BOMB_BYTES: usize = 256 << 10;

fn with(how: u8, bytes: &[u8]) -> Vec<u8> {
    [&[how], bytes].concat()
}

fn vectors(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| vector(name)).collect()
}

pub(crate) fn wire() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for value in [0, 127, 128, u64::from(u32::MAX), u64::MAX] {
        out.push(0);
        put_varint(&mut out, value);
        out.push(1);
        put_zigzag(&mut out, value.cast_signed());
    }
    out.push(2);
    put_bytes(&mut out, b"hello");
    out.extend_from_slice(&[3, 7, 4, 1, 2, 3, 4, 11, 2, 0, 0]);
    vec![out]
}

pub(crate) fn sealed() -> Vec<Vec<u8>> {
    let mut bomb = Vec::new();
    put_payload(&mut Compressor::new(DEFAULT_LEVEL), &vec![0; BOMB_BYTES], &mut bomb);
    let mut declared = vec![1];
    put_varint(&mut declared, MAX_RECORD_BYTES as u64);
    vec![
        with(0, &vector("record object")),
        with(0, &documented_pack()),
        with(1, &vector("record plaintext")),
        with(1, &bomb),
        with(1, &declared),
        with(2, &vector("index payload")),
    ]
}

pub(crate) fn block() -> Vec<Vec<u8>> {
    let mut bomb = Vec::new();
    let len = u32::try_from(BOMB_BYTES).expect("far below 4 GiB");
    put_block(&mut Compressor::new(DEFAULT_LEVEL), &[len], &vec![0; BOMB_BYTES], &mut bomb);
    let mut seeds = vectors(&["pack block 0", "pack block 1"]);
    seeds.push(bomb);
    seeds
}

pub(crate) fn pack() -> Vec<Vec<u8>> {
    let piece = |kind: u8, bytes: &[u8]| {
        let len = u16::try_from(bytes.len()).expect("a seed is short").to_le_bytes();
        [&[kind], &len[..], bytes].concat()
    };
    let pieces = [
        piece(1, b"hello"),
        piece(2, &vector("pack block 1")),
        piece(1, &vector("leaf")),
        piece(0, b"BLK1 damaged in the middle"),
        piece(1, &vector("chunk-list")),
        piece(3, &vector("pack table")),
        piece(4, &vector("pack table")),
    ];
    vec![with(0, &documented_pack()), with(1, &pieces.concat())]
}

pub(crate) fn index() -> Vec<Vec<u8>> {
    vectors(&["record payload", "index payload"])
}

pub(crate) fn leaf() -> Vec<Vec<u8>> {
    vectors(&["leaf", "empty-leaf"])
}

pub(crate) fn node() -> Vec<Vec<u8>> {
    vectors(&["inner", "chunk-list"])
}

pub(crate) fn keys() -> Vec<Vec<u8>> {
    vectors(&["hkdf-slot object", "argon2id-slot object", "epoch object", "recovery-code", "slot note"])
}

pub(crate) fn config() -> Vec<Vec<u8>> {
    let line = vector("config line");
    let mac: String = vector("config mac").iter().map(|byte| format!("{byte:02x}")).collect();
    vec![with(0, &[&line[..], b"\n", mac.as_bytes(), b"\n"].concat()), with(1, &line)]
}

pub(crate) fn records() -> Vec<Vec<u8>> {
    let id = "00".repeat(32);
    let source = r#"{"kind":"files","name":"n","roots":["home/a",{"base64":"Yf8="}]}"#;
    let tree = format!(r#"{{"id":"{id}","level":1,"entries":2,"bytes":3}}"#);
    let time = "2026-11-21T08:44:17.000000000Z";
    let texts = [
        (
            0,
            format!(
                r#"{{"version":1,"time":"{time}","host":"h","user":"u","program":"p","source":{source},"tree":{tree},"parent":"{id}","tags":["a","b"],"session":"s","problems":1,"statistics":{{"files":2}},"new":null}}"#
            ),
        ),
        (
            1,
            format!(
                r#"{{"session":"s","sequence":1,"at":"{time}","host":"h","source":{source},"tree":{tree},"ended":true}}"#
            ),
        ),
        (2, format!(r#"{{"snapshot":"{id}","at":"{time}","tags":["a"],"pinned":true,"note":"n"}}"#)),
        (
            3,
            format!(
                r#"{{"at":"{time}","level":"data","subset":[1,30],"packs":1,"bytes":2,"damaged":["packs/00/{id}#80"],"supersedes":["{id}"]}}"#
            ),
        ),
        (4, r#""home/a""#.to_owned()),
        (5, time.to_owned()),
        (5, "1969-12-31T23:59:59.5+01:00".to_owned()),
    ];
    texts.iter().map(|(how, text)| with(*how, text.as_bytes())).collect()
}

pub(crate) fn names() -> Vec<Vec<u8>> {
    let pack = format!("packs/00/{}", "00".repeat(32));
    let texts = [
        (1, pack.as_str()),
        (2, "sessions/|0123/00000001"),
        (3, "s3://user@bucket.example:9000/prefix/a%20b?endpoint=http%3A%2F%2Flocalhost&region=x"),
        (3, "/srv/backup"),
        (4, "1y 6mo 3w 2d 12h 30min"),
        (4, "P1Y2M3DT4H"),
        (5, "16MiB"),
        (6, "file:/etc/secret"),
        (6, "keyring:service/user"),
    ];
    let mut seeds: Vec<_> = texts.iter().map(|(how, text)| with(*how, text.as_bytes())).collect();
    seeds.push(with(0, b"home/a b\xffhome/a/c"));
    seeds
}
