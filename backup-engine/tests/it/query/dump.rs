//! `dump` and `entry`.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use backup_core::EntryKind;
use backup_engine::query::QueryError;

use super::{Place, data_packs};
use crate::support::fixture::first_tree;
use crate::support::source::path;
use crate::support::target::MemoryTarget;

/// Takes what is written, as long as it is told to.
#[derive(Clone, Default)]
struct Taken {
    bytes: Arc<Mutex<Vec<u8>>>,
    limit: Option<usize>,
}

impl Write for Taken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = self.bytes.lock().unwrap();
        if self.limit.is_some_and(|limit| taken.len() + bytes.len() > limit) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        taken.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gives_every_file_with_its_holes_and_nothing_else() {
    let place = Place::new().await;
    let tree = first_tree();
    let snapshot = place.capture(&tree).await;
    for (at, (kind, content)) in MemoryTarget::expected(&tree) {
        let dumped = place.repository.dump(&snapshot, &at, Vec::new()).await;
        if kind == EntryKind::File {
            let (bytes, dumped) = dumped.unwrap();
            assert!(bytes == content, "{at}");
            assert_eq!((dumped.bytes, &dumped.item.entry.path), (content.len() as u64, &at));
        } else {
            let is_named =
                matches!(&dumped, Err(QueryError::NotAFile { path, kind: named }) if *path == at && *named == kind);
            assert!(is_named, "{at}: {dumped:?}");
        }
        let item = place.repository.entry(&snapshot, &at).await.unwrap();
        assert_eq!(item.entry, tree.0[&at].entry);
    }
    for missing in ["docs/07", "zzz", "docs/07.txt/x"] {
        let dumped = place.repository.dump(&snapshot, &path(missing), Vec::new()).await;
        assert!(matches!(&dumped, Err(QueryError::NotInSnapshot(named)) if *named == path(missing)), "{dumped:?}");
        assert!(place.repository.entry(&snapshot, &path(missing)).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_ends_it_after_a_correct_beginning() {
    let place = Place::new().await;
    let tree = first_tree();
    let snapshot = place.capture(&tree).await;
    let contents = MemoryTarget::expected(&tree);
    let (mut failed, mut begun) = (0, 0);
    let places = data_packs(&place.store).into_iter().flat_map(|key| {
        let len = place.store.peek(&key).unwrap().len();
        // In each block of a chunk, whatever order the workers put them in.
        (100..len).step_by(30_000).map(move |at| (key.clone(), at))
    });
    for (key, flipped) in places {
        let sound = place.store.peek(&key).unwrap();
        let mut damaged = sound.to_vec();
        damaged[flipped] ^= 1;
        place.store.plant(&key, damaged);
        for (at, (_, content)) in
            contents.iter().filter(|(at, _)| at.is_within(&path("media")) && **at != path("media"))
        {
            let taken = Taken::default();
            let dumped = place.repository.dump(&snapshot, at, taken.clone()).await;
            let written = taken.bytes.lock().unwrap();
            assert!(content.starts_with(&written), "{at}: wrong bytes");
            match dumped {
                Ok(_) => assert_eq!(written.len(), content.len()),
                Err(QueryError::Repository(error)) if error.is_damage() => {
                    failed += 1;
                    begun += usize::from(!written.is_empty());
                }
                Err(error) => panic!("{at}: {error}"),
            }
        }
        place.store.plant(&key, sound);
    }
    assert!(failed > 5 && begun > 2, "{failed} files, {begun} of them begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_fails_ends_it() {
    let place = Place::new().await;
    let snapshot = place.capture(&first_tree()).await;
    // Within content, and within a hole.
    for at in ["media/3.bin", "sparse"] {
        let taken = Taken { limit: Some(100_000), ..Taken::default() };
        let dumped = place.repository.dump(&snapshot, &path(at), taken).await;
        assert!(matches!(dumped.map(|_| ()), Err(QueryError::Output(_))), "{at}");
    }
}
