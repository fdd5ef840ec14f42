//! What can be read of a snapshot, found out without `check`: by reading all of it and comparing it with what was captured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backup_core::EntryPath;
use backup_engine::check::{CheckReport, LostPart};
use backup_engine::format::BlobType;
use backup_engine::format::tree::TreeEntry;
use backup_engine::id::SnapshotId;
use backup_engine::pack::reader::BlobReader;
use backup_engine::repository::Repository;
use backup_engine::tree::TreeWalk;
use backup_engine::tree::walk::chunks_of;
use tokio::runtime::Handle;

use super::source::Tree;

/// The snapshots a test has made, and what each holds.
pub(crate) type Expected = BTreeMap<SnapshotId, Tree>;

/// What can't be read, by snapshot; `None` where the snapshot itself can't.
pub(crate) type Lost = BTreeMap<SnapshotId, Option<BTreeSet<EntryPath>>>;

/// Reads everything of all listed snapshots and compares it with what was captured.
///
/// # Panics
/// When something reads back and is wrong, or is silently not there.
pub(crate) async fn lost(repository: &Repository, expected: &Expected) -> Lost {
    let index = Arc::new(repository.load_index().await.unwrap().index);
    let list = repository.list_snapshots().await.unwrap();
    let repository = repository.clone();
    let expected = expected.clone();
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || {
        let reader = Arc::new(BlobReader::new(handle, repository.store().clone(), index));
        let mut lost: Lost = list.damaged.into_iter().map(|(id, _)| (id, None)).collect();
        for snapshot in list.snapshots {
            let paths = lost_of(&reader, &snapshot.record.tree, &expected[&snapshot.id]);
            if !paths.is_empty() {
                lost.insert(snapshot.id, Some(paths));
            }
        }
        lost
    })
    .await
    .unwrap()
}

fn lost_of(
    reader: &Arc<BlobReader>,
    root: &backup_engine::format::record::TreeRoot,
    expected: &Tree,
) -> BTreeSet<EntryPath> {
    let mut lost = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for item in TreeWalk::new(Arc::clone(reader), root) {
        match item {
            Ok(item) => {
                let node = &expected.0[&item.entry.path];
                assert_eq!(item.entry, node.entry, "metadata reads back wrong");
                seen.insert(item.entry.path.clone());
                match content(reader, &item) {
                    Some(content) => assert!(content == *node.content, "`{}` reads back wrong", item.entry.path),
                    None => {
                        lost.insert(item.entry.path);
                    }
                }
            }
            Err(damage) => lost.extend(stretch(expected, damage.from.as_ref(), damage.until.as_ref())),
        }
    }
    for path in expected.0.keys() {
        assert!(seen.contains(path) || lost.contains(path), "`{path}` is silently not there");
    }
    lost
}

fn content(reader: &BlobReader, item: &TreeEntry) -> Option<Vec<u8>> {
    let stored = match &item.entry.extents {
        Some(extents) => extents.iter().map(|extent| extent.len_bytes).sum(),
        None => item.entry.size_bytes,
    };
    let chunks = chunks_of(reader, stored, &item.content).ok()?;
    let mut content = Vec::new();
    for chunk in chunks {
        content.extend(reader.read(BlobType::Data, &chunk.id).ok()?);
    }
    Some(content)
}

fn stretch(tree: &Tree, from: Option<&EntryPath>, until: Option<&EntryPath>) -> BTreeSet<EntryPath> {
    let within = |path: &&EntryPath| from.is_none_or(|from| *path >= from) && until.is_none_or(|until| *path < until);
    tree.0.keys().filter(within).cloned().collect()
}

/// The victims of all findings together, in the same shape.
pub(crate) fn victims(report: &CheckReport, expected: &Expected) -> Lost {
    let mut lost = Lost::new();
    for victim in report.findings.iter().flat_map(|finding| &finding.victims) {
        let paths = match &victim.part {
            LostPart::Snapshot => {
                lost.insert(victim.snapshot, None);
                continue;
            }
            LostPart::Entry(path) => BTreeSet::from([path.clone()]),
            LostPart::Range { from, until, entries } => {
                let paths = stretch(&expected[&victim.snapshot], from.as_ref(), until.as_ref());
                assert_eq!(paths.len() as u64, *entries, "a range has as many entries as it says");
                paths
            }
        };
        lost.entry(victim.snapshot).or_insert_with(|| Some(BTreeSet::new())).as_mut().unwrap().extend(paths);
    }
    lost
}
