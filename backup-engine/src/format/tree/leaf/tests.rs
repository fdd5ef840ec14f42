use proptest::prelude::*;

use super::*;
use crate::format::tree::ChunkRef;
use crate::id::BlobId;

fn time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0u32..1_000_000_000).prop_map(|(secs, nanos)| Timestamp::new(secs, nanos).unwrap())
}

fn name() -> impl Strategy<Value = Option<Arc<str>>> {
    prop_oneof![Just(None), "[a-z]{1,8}".prop_map(|name| Some(Arc::from(name)))]
}

/// An entry with any metadata; its path is set by the caller.
fn entry() -> impl Strategy<Value = TreeEntry> {
    let kind = (1u8..=7).prop_map(|number| kind_of(number).unwrap());
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let ids = prop::collection::vec((any::<[u8; 32]>(), 1u64..1 << 40), 1..4);
    (
        (kind, 0u32..0o10000, any::<[u32; 4]>(), any::<[u64; 4]>(), name(), name()),
        (time(), time(), any::<[bool; 3]>(), bytes(), prop::collection::vec((bytes(), bytes()), 0..3)),
        (any::<[u8; 32]>(), ids, 0u8..4),
    )
        .prop_map(
            |(
                (kind, mode, numbers, more, user, group),
                (modified, changed, flags, target, xattrs),
                (digest, ids, form),
            )| {
                let mut entry = Entry::new(EntryPath::new(b"x".as_slice()).unwrap(), kind);
                (entry.mode, entry.uid, entry.gid) = (mode, numbers[0], numbers[1]);
                (entry.device, entry.inode, entry.links) = (more[0], more[1], more[2]);
                (entry.user, entry.group) = (user, group);
                (entry.modified, entry.changed) = (modified, changed);
                (entry.torn, entry.racy) = (flags[0], flags[1]);
                entry.xattrs = xattrs.into_iter().map(|(name, value)| Xattr { name, value }).collect();
                let mut content = Content::None;
                match kind {
                    EntryKind::Symlink => entry.link_target = target,
                    EntryKind::CharDevice | EntryKind::BlockDevice => entry.device_number = (numbers[2], numbers[3]),
                    EntryKind::File => {
                        let chunks: Vec<_> = ids
                            .iter()
                            .map(|&(id, len_bytes)| ChunkRef { id: BlobId::from_bytes(id), len_bytes })
                            .collect();
                        let data: u64 = chunks.iter().map(|chunk| chunk.len_bytes).sum();
                        entry.size_bytes = if form == 3 { 0 } else { data };
                        if flags[2] && form != 3 {
                            entry.extents = Some(vec![Extent { offset_bytes: 7, len_bytes: data }]);
                            entry.size_bytes = data + 7 + (more[3] >> 8);
                        }
                        content = match form {
                            0 => Content::Single { digest },
                            3 => Content::None,
                            form => Content::List { digest, list: ChunkList { form, chunks } },
                        };
                    }
                    EntryKind::Directory => {
                        entry.torn = false;
                        entry.coverage = match form {
                            0 => Coverage::Part,
                            1 => Coverage::Whole,
                            _ => Coverage::LeadIn,
                        };
                    }
                    EntryKind::Fifo | EntryKind::Socket => {}
                }
                TreeEntry { entry, content }
            },
        )
}

proptest! {
    #[test]
    fn leaf_comes_back(items in prop::collection::vec((entry(), prop::collection::vec("[a-c/]{1,6}", 1..3)), 0..30)) {
        let mut items: Vec<_> = items
            .into_iter()
            .filter_map(|(mut item, parts)| {
                item.entry.path = EntryPath::new(parts.join("/").into_bytes()).ok()?;
                Some(item)
            })
            .collect();
        items.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
        items.dedup_by(|a, b| a.entry.path == b.entry.path);
        let mut builder = LeafBuilder::default();
        for round in 0..2 {
            items.iter().for_each(|item| builder.push(item));
            prop_assert_eq!(builder.entries(), items.len() as u64);
            let blob = builder.finish();
            let back: Result<Vec<_>, _> = LeafReader::new(&blob).unwrap().collect();
            prop_assert_eq!(back.unwrap(), items.clone(), "round {}", round);
        }
    }
}

fn file(path: &str) -> TreeEntry {
    let mut entry = Entry::new(EntryPath::new(path.as_bytes()).unwrap(), EntryKind::File);
    entry.size_bytes = 5;
    TreeEntry { entry, content: Content::Single { digest: [9; 32] } }
}

#[test]
fn a_hole_without_data_has_no_content_and_comes_back() {
    let mut item = file("hole");
    item.entry.extents = Some(Vec::new());
    item.content = Content::None;
    let mut builder = LeafBuilder::default();
    builder.push(&item);
    let blob = builder.finish();
    assert_eq!(LeafReader::new(&blob).unwrap().collect::<Result<Vec<_>, _>>().unwrap(), [item]);
}

#[test]
fn flipped_bits_never_panic_and_never_add_entries() {
    let mut builder = LeafBuilder::default();
    for path in ["a", "a/b", "a/c", "b"] {
        builder.push(&file(path));
    }
    let blob = builder.finish();
    for at in 0..blob.len() {
        for bit in 0..8 {
            let mut damaged = blob.clone();
            damaged[at] ^= 1 << bit;
            if let Ok(reader) = LeafReader::new(&damaged) {
                let paths: Vec<_> = reader.map_while(Result::ok).map(|item| item.entry.path).collect();
                assert!(paths.is_sorted() && paths.len() <= 4);
            }
        }
    }
}

#[test]
fn shared_prefixes_cannot_be_used_as_a_bomb() {
    // Every entry shares the whole of a long path: decoding one at a time stays small, and a path over the limit fails.
    let long = "d/".repeat(20_000) + "x";
    let mut builder = LeafBuilder::default();
    for number in 0..200 {
        builder.push(&file(&format!("{long}/{number:04}")));
    }
    let blob = builder.finish();
    assert!(blob.len() < 100_000);
    assert_eq!(LeafReader::new(&blob).unwrap().filter(Result::is_ok).count(), 200);
}
