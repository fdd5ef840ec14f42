//! What else may lie in the directory, and what the directory may be.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use backup_backend_local::LocalBackend;
use backup_core::storage::UploadMaintenance;
use backup_core::{
    ByteRange, KeyPrefix, ObjectKey, PutOptions, StorageBackend, StorageErrorKind, StorageOperation, StorageResult,
};
use futures::stream::TryStreamExt;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::place;

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

async fn put(store: &LocalBackend, at: &str) -> StorageResult<()> {
    store.put(&key(at), at.to_owned().into(), &PutOptions::if_absent()).await
}

async fn list(store: &LocalBackend, under: &str) -> StorageResult<Vec<String>> {
    let under = KeyPrefix::new(under).unwrap();
    store.list(&under).map_ok(|meta| meta.key.to_string()).try_collect().await
}

#[tokio::test]
async fn nothing_there_is_an_empty_store_until_the_first_put() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/down/store");
    let refused = LocalBackend::open(&path).unwrap_err();
    assert_eq!((refused.kind(), refused.operation()), (StorageErrorKind::NotFound, StorageOperation::Connect));
    assert!(refused.to_string().contains("deep/down/store"), "{refused}");
    let store = LocalBackend::at(&path).unwrap();
    assert!(list(&store, "").await.unwrap().is_empty());
    assert_eq!(store.stat(&key("a")).await.unwrap_err().kind(), StorageErrorKind::NotFound);
    assert_eq!(store.get(&key("a"), ByteRange::Full).await.unwrap_err().kind(), StorageErrorKind::NotFound);
    store.delete(&key("a")).await.unwrap();
    assert_eq!(store.abort_older_than(Duration::ZERO).await.unwrap(), 0);
    assert!(!dir.path().join("deep").exists(), "looking has made something");
    put(&store, "a").await.unwrap();
    assert_eq!(list(&store, "").await.unwrap(), ["a"]);
}

#[tokio::test]
async fn a_file_in_the_place_of_the_store_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = place::plant(dir.path(), "file", b"x");
    for path in [file.clone(), file.join("below")] {
        for opened in [LocalBackend::open(&path), LocalBackend::create(&path), LocalBackend::at(&path)] {
            let error = opened.unwrap_err();
            assert_eq!(error.kind(), StorageErrorKind::Config, "{error}");
            assert!(error.to_string().contains("is no directory"), "{error}");
        }
    }
    assert_eq!(fs::read(file).unwrap(), b"x");
}

#[tokio::test]
async fn a_root_that_was_removed_is_not_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = LocalBackend::create(&path).unwrap();
    put(&store, "a").await.unwrap();
    fs::remove_dir_all(&path).unwrap();
    for at in ["b", "packs/b"] {
        let error = put(&store, at).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Unavailable, "{error}");
    }
    assert!(!path.exists(), "an unmounted disk's directory was filled");
}

#[tokio::test]
async fn a_symbolic_link_is_never_followed_and_never_hides_objects() {
    let dir = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (dir.path().join("store"), dir.path().join("elsewhere"));
    place::plant(&elsewhere, "secret", b"secret");
    let store = LocalBackend::create(&path).unwrap();
    put(&store, "a/b").await.unwrap();
    symlink(&elsewhere, path.join("linked")).unwrap();
    symlink(elsewhere.join("secret"), path.join("a/link")).unwrap();

    for at in ["linked/secret", "a/link"] {
        let get = store.get(&key(at), ByteRange::Full).await.unwrap_err();
        let stat = store.stat(&key(at)).await.unwrap_err();
        for error in [get, stat] {
            assert_eq!(error.kind(), StorageErrorKind::Config, "{error}");
            assert!(error.to_string().contains("symbolic link"), "{error}");
        }
    }
    assert!(put(&store, "linked/new").await.is_err());
    assert!(store.delete(&key("linked/secret")).await.is_err());
    assert_eq!(place::files(&elsewhere), [("secret".to_owned(), 6)]);

    let error = list(&store, "").await.unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
    fs::remove_file(path.join("linked")).unwrap();
    fs::remove_file(path.join("a/link")).unwrap();
    assert_eq!(list(&store, "").await.unwrap(), ["a/b"]);
    // A link whose name is no key is somebody else's affair.
    symlink(&elsewhere, path.join("Linked")).unwrap();
    assert_eq!(list(&store, "").await.unwrap(), ["a/b"]);
}

#[tokio::test]
async fn the_store_itself_may_lie_behind_a_link() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
    let store = LocalBackend::open(dir.path().join("link")).unwrap();
    put(&store, "a").await.unwrap();
    assert_eq!(place::files(&dir.path().join("real")), [("a".to_owned(), 1)]);
}

fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[tokio::test]
async fn pipes_and_directories_are_no_objects_and_block_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalBackend::open(dir.path()).unwrap();
    put(&store, "a/b").await.unwrap();
    make_pipe(&dir.path().join("pipe"));
    for at in ["pipe", "a"] {
        let error = store.get(&key(at), ByteRange::Full).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::NotFound, "{error}");
        assert_eq!(store.stat(&key(at)).await.unwrap_err().kind(), StorageErrorKind::NotFound);
    }
    assert_eq!(list(&store, "").await.unwrap(), ["a/b"]);
}

#[tokio::test]
async fn an_empty_directory_gives_way_to_an_object() {
    for options in [PutOptions::if_absent(), PutOptions::overwrite()] {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalBackend::open(dir.path()).unwrap();
        put(&store, "p/x").await.unwrap();
        let refused = store.put(&key("p"), "object".into(), &options).await.unwrap_err();
        assert_eq!(refused.kind(), StorageErrorKind::Other, "{refused}");
        assert_eq!(list(&store, "").await.unwrap(), ["p/x"]);
        store.delete(&key("p/x")).await.unwrap();
        store.put(&key("p"), "object".into(), &options).await.unwrap();
        assert_eq!(place::files(dir.path()), [("p".to_owned(), 6)]);
    }
}

#[tokio::test]
async fn sweep_takes_strays_by_age_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalBackend::open(dir.path()).unwrap();
    put(&store, "packs/ab/object").await.unwrap();
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    place::plant(dir.path(), "packs/ab/.hidden", b"somebody else's");
    place::plant(dir.path(), "Other Dir/.tmp-0-0", b"in a directory that holds no objects");
    for age in [hours(1), hours(5), hours(10)] {
        place::plant_unfinished(dir.path(), age);
    }
    assert_eq!(list(&store, "").await.unwrap(), ["packs/ab/object"]);
    assert_eq!(store.abort_older_than(hours(20)).await.unwrap(), 0);
    assert_eq!(store.abort_older_than(hours(2)).await.unwrap(), 2);
    let left: Vec<_> = place::files(dir.path()).into_iter().map(|(name, _)| name).collect();
    let stray = ".tmp-00000000deadbeef-3600";
    let expected = ["Other Dir/.tmp-0-0", "packs/ab/.hidden", &format!("packs/ab/{stray}"), "packs/ab/object"];
    assert_eq!(left, expected);
}

#[tokio::test]
async fn sweep_removes_directories_in_which_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalBackend::open(dir.path()).unwrap();
    for at in ["sessions/done/0", "sessions/running/0", "packs/ab/object"] {
        put(&store, at).await.unwrap();
    }
    store.delete(&key("sessions/done/0")).await.unwrap();
    fs::create_dir(dir.path().join("Empty Of Somebody")).unwrap();
    assert_eq!(store.abort_older_than(Duration::ZERO).await.unwrap(), 0);
    assert!(!dir.path().join("sessions/done").exists());
    assert!(dir.path().join("Empty Of Somebody").exists());
    assert_eq!(list(&store, "").await.unwrap().len(), 2);
    put(&store, "sessions/done/0").await.unwrap();
    assert_eq!(list(&store, "sessions/done/").await.unwrap(), ["sessions/done/0"]);
}

#[cfg(not(feature = "portable"))]
#[tokio::test]
async fn permissions_follow_those_of_the_root() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("made");
    let store = LocalBackend::create(&made).unwrap();
    put(&store, "a/b").await.unwrap();
    assert_eq!((mode(&made), mode(&made.join("a")), mode(&made.join("a/b"))), (0o700, 0o700, 0o600));

    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o750)).unwrap();
    let store = LocalBackend::open(&shared).unwrap();
    put(&store, "a/b").await.unwrap();
    // The usual umask takes nothing of these away.
    assert_eq!((mode(&shared.join("a")), mode(&shared.join("a/b"))), (0o750, 0o640));
}

#[tokio::test]
async fn quota_is_that_of_the_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalBackend::open(dir.path()).unwrap();
    if cfg!(feature = "portable") {
        assert_eq!(store.quota().await.unwrap_err().kind(), StorageErrorKind::Unsupported);
        return;
    }
    let stat = rustix::fs::statvfs(dir.path()).unwrap();
    let quota = store.quota().await.unwrap();
    assert_eq!(quota.total_bytes, Some(stat.f_blocks * stat.f_frsize));
    assert!(quota.free_bytes < quota.total_bytes && quota.used_bytes < quota.total_bytes);
}
