//! What the engine does with a source and a target, without a repository between them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use backup_core::{Entry, EntryError, EntryKind, EntryPath, Extent, RestoreTarget, SourceView, Stability};

const THREADS: usize = 4;
const BUFFER_BYTES: usize = 128 * 1024;

/// What did not go through.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) problems: Vec<EntryError>,
    pub(crate) entries: usize,
}

/// Moves everything from a view to a target.
pub(crate) fn pump(view: &dyn SourceView, target: &dyn RestoreTarget) -> Report {
    let mut report = Report::default();
    let mut directories = Vec::new();
    let mut files: Vec<Entry> = Vec::new();
    let mut hard_links: Vec<(Entry, EntryPath)> = Vec::new();
    let mut first_names: HashMap<(u64, u64), EntryPath> = HashMap::new();
    for item in view.entries() {
        report.entries += 1;
        match item {
            Ok(mut entry) => {
                let known = if entry.links > 1 && entry.kind != EntryKind::Directory {
                    first_names.get(&(entry.device, entry.inode))
                } else {
                    None
                };
                if let Some(existing) = known {
                    hard_links.push((entry.clone(), existing.clone()));
                    continue;
                }
                first_names.insert((entry.device, entry.inode), entry.path.clone());
                match entry.kind {
                    EntryKind::File => files.push(entry),
                    EntryKind::Directory => {
                        let made = view.load(&mut entry).and_then(|()| target.create_directory(&entry).map(drop));
                        report.problems.extend(made.err());
                        directories.push(entry);
                    }
                    _ => {
                        let made = view.load(&mut entry).and_then(|()| target.create_special(&entry));
                        report.problems.extend(made.err());
                    }
                }
            }
            Err(error) => report.problems.push(error),
        }
    }
    let next = AtomicUsize::new(0);
    let problems = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut buffer = vec![0; BUFFER_BYTES];
                while let Some(entry) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = copy(view, target, entry.clone(), &mut buffer) {
                        problems.lock().unwrap().push(error);
                    }
                }
            });
        }
    });
    report.problems.extend(problems.into_inner().unwrap());
    for (entry, existing) in &hard_links {
        report.problems.extend(target.create_hard_link(entry, existing).err());
    }
    for entry in directories.iter().rev() {
        report.problems.extend(target.finish_directory(entry).err());
    }
    report
}

fn copy(
    view: &dyn SourceView,
    target: &dyn RestoreTarget,
    mut entry: Entry,
    buffer: &mut [u8],
) -> Result<(), EntryError> {
    let mut reader = view.open(&mut entry)?;
    let writer = target.create_file(&entry)?;
    let failed = |error: std::io::Error| EntryError::io(&entry.path, "cannot copy", &error);
    let whole = [Extent { offset_bytes: 0, len_bytes: entry.size_bytes }];
    let extents = entry.extents.as_deref().unwrap_or(&whole);
    let mut stretches = extents.iter().copied();
    let mut stretch = stretches.next();
    loop {
        let count = reader.read(buffer).map_err(failed)?;
        if count == 0 {
            break;
        }
        // What is read is the extents' bytes, one after the other.
        let mut bytes = &buffer[..count];
        while let (Some(at), false) = (stretch.as_mut(), bytes.is_empty()) {
            let fits = bytes.len().min(usize::try_from(at.len_bytes).unwrap());
            writer.write_at(at.offset_bytes, &bytes[..fits]).map_err(failed)?;
            at.offset_bytes += fits as u64;
            at.len_bytes -= fits as u64;
            bytes = &bytes[fits..];
            if at.len_bytes == 0 {
                stretch = stretches.next();
            }
        }
        assert!(bytes.is_empty(), "{}: more bytes than the extents have", entry.path);
    }
    assert_eq!(reader.stability().unwrap(), Stability::Stable, "{}", entry.path);
    writer.commit(&entry)
}
