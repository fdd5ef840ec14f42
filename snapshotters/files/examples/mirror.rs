//! Lists, reads or copies a folder, through the same calls a backup makes.
//!
//! `mirror list FOLDER` · `mirror read FOLDER` · `mirror copy FOLDER TARGET`
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to a person")]

use std::error::Error;

use backup_core::{
    CancelToken, Entry, EntryKind, RestoreTarget, Snapshotter, SourceContext, SourceView, SystemClock, TargetOptions,
};
use backup_snapshotter_files::{FilesOptions, FilesSnapshotter};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (work, folder, target) = match arguments.as_slice() {
        [work @ ("list" | "read"), folder] => (*work, *folder, None),
        [work @ "copy", folder, target] => (*work, *folder, Some(*target)),
        _ => return Err("usage: mirror list FOLDER | read FOLDER | copy FOLDER TARGET".into()),
    };
    let source = FilesSnapshotter::new(FilesOptions::new([folder]))?;
    let view = source.begin(&SourceContext::new(&SystemClock::new(), &CancelToken::new()))?;
    let target = target.map(|target| source.target(&TargetOptions::under(target))).transpose()?;
    let (mut entries, mut bytes, mut buffer) = (0_u64, 0, vec![0; 256 * 1024]);
    let mut open_directories: Vec<Entry> = Vec::new();
    for item in view.entries() {
        let done = item.and_then(|mut entry| {
            entries += 1;
            if work == "list" {
                return Ok(());
            }
            while let Some(inner) = open_directories.pop_if(|directory| !entry.path.is_within(&directory.path)) {
                finish(target.as_deref(), &inner)?;
            }
            if entry.kind == EntryKind::File {
                bytes += copy(&*view, target.as_deref(), &mut entry, &mut buffer)?;
                return Ok(());
            }
            view.load(&mut entry)?;
            if entry.kind == EntryKind::Directory {
                target.as_ref().map(|target| target.create_directory(&entry)).transpose()?;
                open_directories.push(entry);
                return Ok(());
            }
            target.as_ref().map_or(Ok(()), |target| target.create_special(&entry))
        });
        if let Err(problem) = done {
            eprintln!("{problem}");
        }
    }
    while let Some(inner) = open_directories.pop() {
        finish(target.as_deref(), &inner)?;
    }
    view.finish()?;
    println!("{entries} entries, {bytes} bytes");
    Ok(())
}

/// Reads a file and, where there is a target, writes it there; gives its size without holes.
fn copy(
    view: &dyn SourceView,
    target: Option<&dyn RestoreTarget>,
    entry: &mut Entry,
    buffer: &mut [u8],
) -> Result<u64, backup_core::EntryError> {
    let mut reader = view.open(entry)?;
    let writer = target.map(|target| target.create_file(entry)).transpose()?;
    let failed = |error: std::io::Error| backup_core::EntryError::io(&entry.path, "cannot copy", &error);
    let extents = entry
        .extents
        .clone()
        .unwrap_or_else(|| vec![backup_core::Extent { offset_bytes: 0, len_bytes: entry.size_bytes }]);
    let mut total = 0;
    for extent in extents {
        let mut at = extent.offset_bytes;
        while at < extent.offset_bytes + extent.len_bytes {
            let count = reader.read(buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            if let Some(writer) = &writer {
                writer.write_at(at, &buffer[..count]).map_err(failed)?;
            }
            at += u64::try_from(count).unwrap_or(u64::MAX);
        }
        total += at - extent.offset_bytes;
    }
    if reader.stability().map_err(failed)? == backup_core::Stability::Changed {
        eprintln!("{} changed while it was read", entry.path);
    }
    writer.map_or(Ok(()), |writer| writer.commit(entry))?;
    Ok(total)
}

fn finish(target: Option<&dyn RestoreTarget>, directory: &Entry) -> Result<(), backup_core::EntryError> {
    target.map_or(Ok(()), |target| target.finish_directory(directory))
}
