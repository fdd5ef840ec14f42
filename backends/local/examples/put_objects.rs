//! Stores objects in a directory: `put_objects DIR COUNT SIZE_BYTES if-absent|overwrite|claim`.
//!
//! Prints the key of each object once it is durable. `claim` is `if-absent` that passes over keys which are taken. The
//! tests run it under `strace`, kill it and race several of it.

use std::env;
use std::error::Error;
use std::io::{self, Write};

use backup_backend_local::LocalBackend;
use backup_core::{ObjectKey, PutBody, PutOptions, StorageBackend, StorageErrorKind};
use bytes::Bytes;

/// Pieces that each object is made of, as a pack is made of blocks.
const PIECES: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    // One thread for all puts, so that whoever traces the process can count its calls.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build()?;
    runtime.block_on(put_objects())
}

async fn put_objects() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [dir, count, size_bytes, mode] = args.as_slice() else {
        return Err("usage: put_objects DIR COUNT SIZE_BYTES if-absent|overwrite|claim".into());
    };
    let (count, size_bytes): (u32, usize) = (count.parse()?, size_bytes.parse()?);
    let options = match mode.as_str() {
        "if-absent" | "claim" => PutOptions::if_absent(),
        "overwrite" => PutOptions::overwrite(),
        other => return Err(format!("`{other}` is none of `if-absent`, `overwrite`, `claim`").into()),
    };
    let store = LocalBackend::create(dir)?;
    let mut out = io::stdout().lock();
    for number in 0..count {
        let key = ObjectKey::new(format!("objects/{number:06}"))?;
        let pieces = (0..PIECES).map(|_| Bytes::from(vec![number.to_le_bytes()[0]; size_bytes / PIECES]));
        match store.put(&key, PutBody::from_pieces(pieces.collect()), &options).await {
            Err(error) if error.kind() == StorageErrorKind::AlreadyExists && mode == "claim" => continue,
            stored => stored?,
        }
        writeln!(out, "{key}")?;
        out.flush()?;
    }
    Ok(())
}
