//! `read_repo.py`, which was written from the format's document alone, against repositories that the engine writes.

mod golden;
mod hostile;
mod repository;
mod script;
mod tree;

use std::path::Path;

use backup_engine::crypto::escrow::EscrowPrivateKey;
use backup_engine::format::slot::SlotNote;
use backup_engine::repository::keys::{encode_recovery_code, new_recovery_code};
use backup_engine::repository::{InitOptions, NewKey};
use zeroize::Zeroizing;

use repository::{KEY_FILE, Written, every_kind_of_object};
use script::Reader;

/// Exit codes of the program.
const FAILED: i32 = 1;
const NO_REPOSITORY: i32 = 10;
const WRONG_KEY: i32 = 12;
const DAMAGED: i32 = 16;

/// Small files, where their number does not matter.
const FEW: usize = 20;
/// Small files, so many that the tree has several leaves and an inner node.
const SEVERAL_LEAVES: usize = 9000;

#[tokio::test(flavor = "multi_thread")]
async fn restores_what_the_engine_captured() {
    let Some(reader) = Reader::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = tree::nasty(folder.path(), SEVERAL_LEAVES);
    let written = Written::new(folder.path(), &InitOptions::default()).await;
    let first = written.capture(&source).await;
    std::fs::write(source.join("late"), "written after the first snapshot").unwrap();
    let second = written.capture(&source).await;

    let target = folder.path().join("target");
    reader.run(&written.path, &["restore", "latest", path(&target)]).succeeds();
    assert_eq!(tree::differences(&source, &below(&target, &source)), [] as [&str; 0]);

    // 4 MiB of sizes; a restore that writes the holes would take them all.
    assert!(tree::hole_bytes(&below(&target, &source)) < 1 << 20);

    let earlier = folder.path().join("earlier");
    reader.run(&written.path, &["restore", &first.to_string()[..8], path(&earlier)]).succeeds();
    std::fs::remove_file(source.join("late")).unwrap();
    tree::settle(&source);
    assert_eq!(tree::differences(&source, &below(&earlier, &source)), [] as [&str; 0]);

    let listed = reader.run(&written.path, &["list"]).succeeds();
    let ids: Vec<&str> = listed.lines().map(|line| line.split('\t').next().unwrap_or_default()).collect();
    assert_eq!(ids, [&first.to_string()[..12], &second.to_string()[..12]], "{listed}");
    let entries = reader.run(&written.path, &["ls", "latest"]).succeeds();
    assert!(entries.lines().any(|line| line.starts_with("-rw-r-----") && line.ends_with("/plain")), "{entries}");
    assert!(entries.lines().any(|line| line.ends_with("/new\\x0aline\\xff")), "{entries}");
    let verified = reader.run(&written.path, &["verify"]).succeeds();
    assert!(verified.ends_with("sound\n") && verified.contains("2 snapshots"), "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_lists_of_lists_of_chunks() {
    let Some(reader) = Reader::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    std::fs::create_dir(&source).unwrap();
    // More chunks than stand in a leaf; all of them the same, so that the repository stays small.
    const CHUNK_BYTES: u32 = 64 * 1024;
    let content = vec![b'x'; usize::try_from(CHUNK_BYTES).unwrap() * 1025];
    std::fs::write(source.join("large"), &content).unwrap();
    let mut options = InitOptions::default();
    (options.chunker.min, options.chunker.avg, options.chunker.max) = (CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES);
    let written = Written::new(folder.path(), &options).await;
    written.capture(&source).await;
    let target = folder.path().join("target");
    reader.run(&written.path, &["restore", "latest", path(&target)]).succeeds();
    assert!(std::fs::read(below(&target, &source).join("large")).unwrap() == content, "the content differs");
    reader.run(&written.path, &["verify"]).succeeds();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_any_object_is_refused_and_named() {
    let Some(reader) = Reader::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = tree::nasty(folder.path(), FEW);
    let written = every_kind_of_object(folder.path(), &source).await;
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, KEY_FILE).unwrap();
    let verify = || reader.command(&written.path, &["--key-file", path(&key_file), "verify"], &[]);
    verify().succeeds();
    let objects = written.objects();
    for kind in ["config", "keys/", "packs/", "index/", "snapshots/", "sessions/", "marks/", "verify/"] {
        assert!(objects.iter().any(|key| key.starts_with(kind)), "no {kind} in {objects:?}");
    }
    for key in &objects {
        let sound = std::fs::read(written.path.join(key)).unwrap();
        for at in [0, sound.len() / 2, sound.len() - 1] {
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            written.replace(key, &damaged);
            verify().refuses(DAMAGED, key);
        }
        written.replace(key, &sound[..sound.len() - 1]);
        verify().refuses(DAMAGED, key);
        written.replace(key, &sound);
    }
    // Only a session's objects are not named by their hash: they say themselves where they belong.
    let session = objects.iter().find(|key| key.starts_with("sessions/")).unwrap();
    let elsewhere = session.replace("00000000", "00000001");
    std::fs::copy(written.path.join(session), written.path.join(&elsewhere)).unwrap();
    verify().refuses(DAMAGED, &elsewhere);
    std::fs::remove_file(written.path.join(&elsewhere)).unwrap();
    verify().succeeds();
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_from_damaged_packs_gives_right_bytes_or_none() {
    let Some(reader) = Reader::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = tree::nasty(folder.path(), FEW);
    let written = Written::new(folder.path(), &InitOptions::default()).await;
    written.capture(&source).await;
    let sound = tree::shape(&source);
    for (nth, key) in written.objects().iter().filter(|key| key.starts_with("packs/")).enumerate() {
        let bytes = std::fs::read(written.path.join(key)).unwrap();
        let mut damaged = bytes.clone();
        damaged[bytes.len() / 2] ^= 1;
        written.replace(key, &damaged);
        let target = folder.path().join(format!("target-{nth}"));
        reader.run(&written.path, &["restore", "latest", path(&target)]).refuses(DAMAGED, key);
        let restored = tree::shape(&below(&target, &source));
        assert!(restored.len() < sound.len(), "{key}: everything was restored");
        for (path, restored) in &restored {
            let captured = sound.get(path).unwrap_or_else(|| panic!("{key}: {path} is new"));
            assert_eq!(restored.content, captured.content, "{key}: {path}");
        }
        written.replace(key, &bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_blobs_without_any_index() {
    let Some(reader) = Reader::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = tree::nasty(folder.path(), FEW);
    let written = Written::new(folder.path(), &InitOptions::default()).await;
    written.capture(&source).await;
    std::fs::remove_dir_all(written.path.join("index")).unwrap();
    let target = folder.path().join("target");
    reader.run(&written.path, &["restore", "latest", path(&target)]).succeeds();
    assert_eq!(tree::differences(&source, &below(&target, &source)), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn opens_with_every_kind_of_key_and_no_other() {
    let Some(reader) = Reader::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let written = Written::new(folder.path(), &InitOptions::default()).await;
    let code = new_recovery_code();
    let file = folder.path().join("key");
    std::fs::write(&file, KEY_FILE).unwrap();
    let private = EscrowPrivateKey::generate();
    let escrow = folder.path().join("escrow");
    std::fs::write(&escrow, format!("# kept elsewhere\n{}\n", *private.to_code())).unwrap();
    let keys = [
        NewKey::RecoveryCode(code.clone()),
        NewKey::KeyFile(Zeroizing::new(KEY_FILE.to_vec())),
        NewKey::Escrow(EscrowPrivateKey::generate().public_key()),
        NewKey::Escrow(private.public_key()),
    ];
    for key in keys {
        written.repository.add_key(&key, &SlotNote::default()).await.unwrap();
    }
    let printed = encode_recovery_code(&code).to_uppercase().replace('-', " ");
    let with = |option: &str, value: &str| {
        reader.command(&written.path, &[option, value, "list"], &[("CODE", &printed), ("WRONG", "wrong")])
    };
    with("--recovery-code-env", "CODE").succeeds();
    with("--key-file", path(&file)).succeeds();
    with("--escrow-key-file", path(&escrow)).succeeds();
    std::fs::write(&escrow, private.public_key().to_string()).unwrap();
    with("--escrow-key-file", path(&escrow)).refuses(WRONG_KEY, "typing error");
    std::fs::write(&escrow, EscrowPrivateKey::generate().to_code().as_bytes()).unwrap();
    with("--escrow-key-file", path(&escrow)).refuses(WRONG_KEY, "opens none of the 2 key slots");
    with("--recovery-code-env", "WRONG").refuses(WRONG_KEY, "recovery code");
    with("--password-env", "WRONG").refuses(WRONG_KEY, "key slots");
    std::fs::write(&file, [8; 48]).unwrap();
    with("--key-file", path(&file)).refuses(WRONG_KEY, "key slots");
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_a_lost_config_from_no_repository() {
    let Some(reader) = Reader::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = tree::nasty(folder.path(), FEW);
    let written = Written::new(folder.path(), &InitOptions::default()).await;
    written.capture(&source).await;
    std::fs::remove_file(written.path.join("config")).unwrap();
    reader.run(&written.path, &["list"]).refuses(DAMAGED, "config: it is gone");
    reader.run(&source, &["list"]).refuses(NO_REPOSITORY, "holds no repository");
}

#[tokio::test(flavor = "multi_thread")]
async fn never_writes_outside_its_target() {
    let Some(reader) = Reader::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let written = Written::new(folder.path(), &InitOptions::default()).await;
    written.capture_from(hostile::source(&outside)).await;
    let target = folder.path().join("target");
    reader.run(&written.path, &["restore", "latest", path(&target)]).refuses(DAMAGED, "below what is no directory");
    reader.run(&written.path, &["verify"]).refuses(DAMAGED, "below what is no directory");
    written.capture_from(hostile::source_across_leaves(&outside)).await;
    let second = folder.path().join("second");
    reader.run(&written.path, &["restore", "latest", path(&second)]).refuses(DAMAGED, "below what is no directory");
    assert_eq!(std::fs::read_dir(&second).unwrap().count(), 65, "the first leaf was to be restored");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);

    std::fs::create_dir_all(&target).unwrap();
    std::fs::write(target.join("mine"), "kept").unwrap();
    reader.run(&written.path, &["restore", "latest", path(&target)]).refuses(FAILED, "not empty");
    assert_eq!(std::fs::read(target.join("mine")).unwrap(), b"kept");
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

/// Where entries of a source stand below a target: as they stood below the root of everything.
fn below(target: &Path, source: &Path) -> std::path::PathBuf {
    target.join(source.canonicalize().unwrap().strip_prefix("/").unwrap())
}
