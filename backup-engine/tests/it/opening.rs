//! What making, opening and re-keying a repository promise.

use std::sync::Arc;

use backup_core::{ByteRange, CancelToken, MemoryBackend, ObjectKey, PutOptions, Silent, StorageBackend};
use backup_engine::check::CheckLevel;
use backup_engine::chunker::ChunkerParameters;
use backup_engine::create::CreateError;
use backup_engine::error::RepositoryError;
use backup_engine::format::config::RepositoryConfig;
use backup_engine::layout;
use backup_engine::repository::{InitError, OpenError, Repository};

use crate::support::fixture::{Fixture, check, first_tree, interrupt};
use crate::support::oracle::lost;
use crate::support::source::MemorySource;
use crate::support::veil::{Veil, VeiledBackend};
use crate::support::{clock, create, create_options, init, open, open_over, try_init};

async fn copy(store: &MemoryBackend, from: &ObjectKey, to: &ObjectKey) {
    let bytes = store.get(from, ByteRange::Full).await.unwrap();
    store.put(to, bytes.into(), &PutOptions::if_absent()).await.unwrap();
}

/// Sessions are not named by their hash, so that somebody who can write to the store could put an old checkpoint in a new place.
#[tokio::test(flavor = "multi_thread")]
async fn run_is_resumed_from_no_session_object_that_was_moved() {
    let fixture = Fixture::new().await;
    let session = fixture.keys("sessions/").pop().unwrap();
    let name = session.as_str().split('/').nth(1).unwrap();
    let places = [layout::session_object(&"f".repeat(32), 0), layout::session_object(name, 77)];
    for place in places {
        let fixture = fixture.fork();
        copy(&fixture.store, &session, &place).await;
        for key in fixture.keys("sessions/").iter().filter(|key| **key != place) {
            fixture.store.delete(key).await.unwrap();
        }
        let report = create(&fixture.open().await, &fixture.clock, &fixture.tree).await;
        assert_eq!(report.resumed, None, "{place}");
    }
    let report = create(&fixture.open().await, &fixture.clock, &fixture.tree).await;
    assert_eq!(report.resumed.as_deref(), Some(name), "where it was written it is taken up");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_chunker_hinders_create_alone_and_before_anything_is_stored() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    let config = repository.config();
    for line in
        [r#"{"name":"sieve-9","window":4096}"#, r#"{"name":"fastcdc-1","min":65536,"avg":65536,"max":1073741824}"#]
    {
        let fixture = fixture.fork();
        let chunker: ChunkerParameters = serde_json::from_str(line).unwrap();
        let other = RepositoryConfig::new(config.id, config.created.clone(), chunker);
        let mut options = PutOptions::if_absent();
        options.mode = backup_core::PutMode::Overwrite;
        let object = other.encode(repository.store().keyring());
        fixture.store.put(&layout::config(), object.into(), &options).await.unwrap();

        let repository = fixture.open().await;
        assert!(lost(&repository, &fixture.expected).await.is_empty(), "everything restores");
        let report = check(&repository, CheckLevel::Data).await;
        assert!(report.is_sound(), "{:?}", report.findings);
        let before = fixture.store.keys();
        let source = Arc::new(MemorySource::new("test", fixture.tree.clone()));
        let refused = repository.create(source, create_options(), Arc::new(Silent), CancelToken::new()).await;
        let Err(CreateError::Repository(error @ RepositoryError::UnknownChunker(_))) = refused else {
            panic!("{refused:?}")
        };
        assert!(error.to_string().contains(&other.chunker.name), "{error}");
        assert_eq!(fixture.store.keys(), before);
    }
}

/// The epoch that each pack was sealed under: bytes 8 to 11.
fn epochs(store: &MemoryBackend) -> Vec<u8> {
    let mut epochs: Vec<u8> = store
        .keys()
        .iter()
        .filter(|key| key.as_str().starts_with("packs/"))
        .map(|key| store.peek(key).unwrap()[8])
        .collect();
    epochs.sort_unstable();
    epochs.dedup();
    epochs
}

#[tokio::test(flavor = "multi_thread")]
async fn open_repository_seals_under_the_epoch_that_it_began() {
    let (store, clock) = (MemoryBackend::new(), clock());
    let mut repository = init(&store, &clock).await;
    let before = repository.clone();
    let tree = first_tree();
    let mut expected = crate::support::oracle::Expected::new();
    expected.insert(create(&repository, &clock, &tree).await.snapshot, tree.clone());
    assert_eq!(epochs(&store), [1]);

    assert_eq!(repository.rotate_epoch().await.unwrap(), 2);
    let mut more = tree.clone();
    more.file("new", b"sealed under the new key");
    let report = create(&repository, &clock, &more).await;
    assert_eq!(epochs(&store), [1, 2]);
    let snapshot = layout::record(backup_engine::format::ObjectKind::Snapshot, &report.snapshot.into());
    assert_eq!(store.peek(&snapshot).unwrap()[8], 2);

    // Who opens it now reads both; a clone from before reads what is of its own epoch, and its own work is readable.
    expected.insert(report.snapshot, more.clone());
    assert!(lost(&open(&store, &clock).await.unwrap(), &expected).await.is_empty());
    more.file("newer", b"of the clone");
    interrupt(&before, &clock, &more).await;
    let report = create(&repository, &clock, &more).await;
    expected.insert(report.snapshot, more);
    assert!(lost(&open(&store, &clock).await.unwrap(), &expected).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_config_is_named_and_making_the_repository_again_finishes_it() {
    let (whole, clock) = (MemoryBackend::new(), clock());
    init(&whole, &clock).await;
    let object = whole.peek(&layout::config()).unwrap();
    for len in [0, 1, 20, 100, object.len() / 2, object.len() - 1] {
        let store = whole.fork();
        let mut overwrite = PutOptions::if_absent();
        overwrite.mode = backup_core::PutMode::Overwrite;
        store.put(&layout::config(), object.slice(..len).into(), &overwrite).await.unwrap();
        let error = open(&store, &clock).await.unwrap_err();
        assert!(matches!(error, OpenError::TornConfig(_)) && error.to_string().contains("`config`"), "{len}: {error}");

        let with_data = store.fork();
        let pack = layout::pack(&backup_engine::id::PackId::from_bytes([7; 32]));
        with_data.put(&pack, b"data".to_vec().into(), &PutOptions::if_absent()).await.unwrap();
        let refused = try_init(Arc::new(with_data.clone()), &clock).await;
        assert!(matches!(refused, Err(InitError::DamagedRepository(key)) if key == pack.as_str()), "{len}");
        assert_eq!(with_data.peek(&layout::config()).unwrap().len(), len, "nothing was changed");

        let repository: Repository = try_init(Arc::new(store.clone()), &clock).await.unwrap();
        create(&repository, &clock, &first_tree()).await;
        assert_eq!(open(&store, &clock).await.unwrap().config().id, repository.config().id);
        let again = try_init(Arc::new(store.clone()), &clock).await;
        assert!(matches!(again, Err(InitError::AlreadyExists)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_config_is_named_and_no_repository_is_made_in_its_place() {
    let fixture = Fixture::new().await;
    let config = fixture.store.pluck(&layout::config()).unwrap();
    // Any one kind of object that is stored after `config` shows that it was there.
    for kept in ["snapshots/", "index/", "packs/"] {
        let store = fixture.store.fork();
        let is_other =
            |key: &ObjectKey| ["snapshots/", "index/", "packs/"].iter().any(|folder| key.as_str().starts_with(folder));
        for key in store.keys().iter().filter(|key| is_other(key) && !key.as_str().starts_with(kept)) {
            store.pluck(key);
        }
        let before = store.keys();
        let error = open(&store, &fixture.clock).await.unwrap_err();
        assert!(matches!(&error, OpenError::ConfigLost(key) if key.as_str().starts_with(kept)), "{error}");
        assert!(error.to_string().contains("`config`"), "{error}");
        let refused = try_init(Arc::new(store.clone()), &fixture.clock).await;
        assert!(matches!(&refused, Err(InitError::DamagedRepository(key)) if key.starts_with(kept)), "{refused:?}");
        assert_eq!(store.keys(), before, "nothing was changed");
    }
    // Objects of others don't look like ours, and keys alone are what an interrupted `init` leaves.
    let other = MemoryBackend::new();
    other.plant(&ObjectKey::new("packs/ab/readme").unwrap(), b"x".to_vec());
    other.plant(&ObjectKey::new("snapshots/monday").unwrap(), b"x".to_vec());
    assert!(matches!(open(&other, &fixture.clock).await, Err(OpenError::NotFound)));
    let keys = fixture.store.fork();
    keys.keys().iter().filter(|key| !key.as_str().starts_with("keys/")).for_each(|key| drop(keys.pluck(key)));
    assert!(matches!(open(&keys, &fixture.clock).await, Err(OpenError::NotFound)));

    fixture.store.plant(&layout::config(), config);
    assert!(lost(&fixture.open().await, &fixture.expected).await.is_empty(), "with `config` everything is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn repository_that_nobody_could_write_to_is_not_made() {
    let (store, clock) = (MemoryBackend::new(), clock());
    let mut options = backup_engine::repository::InitOptions::default();
    options.chunker.max = 1 << 30;
    let key = backup_engine::repository::NewKey::KeyFile(vec![1; 32].into());
    let refused = Repository::init(Arc::new(store.clone()), &key, &options, clock).await;
    assert!(matches!(refused, Err(InitError::Repository(RepositoryError::UnknownChunker(_)))));
    assert_eq!(store.keys(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn private_key_opens_what_was_sealed_for_its_public_half_and_nothing_else_does() {
    use backup_engine::crypto::escrow::EscrowPrivateKey;
    use backup_engine::format::slot::{SlotNote, SlotType};
    use backup_engine::repository::{NewKey, Unlock};
    let (store, clock) = (MemoryBackend::new(), clock());
    let repository = init(&store, &clock).await;
    let private = EscrowPrivateKey::generate();
    let code = private.to_code();
    let again = || EscrowPrivateKey::parse(&code).unwrap();
    let open = async |unlock: Unlock| Repository::open(Arc::new(store.clone()), &unlock, clock.clone()).await;
    assert!(matches!(open(Unlock::Escrow(again())).await, Err(OpenError::WrongKey { slots: 1 })));

    let key = NewKey::Escrow(private.public_key());
    let id = repository.add_key(&key, &SlotNote::default()).await.unwrap();
    let listed = repository.list_keys().await.unwrap();
    assert!(listed.iter().any(|slot| slot.id == id && slot.slot_type == SlotType::Escrow));
    assert_eq!(open(Unlock::Escrow(again())).await.unwrap().config().id, repository.config().id);
    for unlock in [
        Unlock::Escrow(EscrowPrivateKey::generate()),
        Unlock::Escrow(EscrowPrivateKey::from_bytes(private.public_key().as_bytes())),
        Unlock::Key(private.public_key().as_bytes().to_vec().into()),
        Unlock::password(code.as_str()),
    ] {
        let shown = format!("{unlock:?}");
        assert!(matches!(open(unlock).await, Err(OpenError::WrongKey { slots: 2 })), "{shown}");
    }
    // Neither half appears in what is stored: the slot does not even tell for whom it is.
    let object = store.peek(&layout::key_object(&id)).unwrap();
    assert!(!object.windows(32).any(|window| window == private.public_key().as_bytes()));
    let unlock = Unlock::Escrow(again());
    assert!(!format!("{unlock:?} {key:?}").contains(&code[..14]));
}

fn veiled(veil: Veil) -> (MemoryBackend, Arc<VeiledBackend>) {
    let store = MemoryBackend::new();
    let veiled = VeiledBackend::new(&store, &layout::config(), veil);
    (store, veiled)
}

#[tokio::test(flavor = "multi_thread")]
async fn store_without_create_only_puts_carries_a_repository() {
    let (_, store) = veiled(Veil::NoCreateOnly);
    let clock = clock();
    let repository = try_init(store.clone(), &clock).await.unwrap();
    assert!(repository.refuses_to_overwrite().await.unwrap(), "nothing is declared, so no word is broken");
    assert!(matches!(try_init(store.clone(), &clock).await, Err(InitError::AlreadyExists)));
    let report = create(&repository, &clock, &first_tree()).await;
    let again = open_over(store, &clock).await.unwrap();
    let expected = [(report.snapshot, first_tree())].into();
    assert!(lost(&again, &expected).await.is_empty());
    assert!(check(&again, CheckLevel::Data).await.is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_breaks_its_word_about_create_only_puts_is_found_out_and_unharmed() {
    for (veil, keeps_it) in [(Veil::IgnoresCreateOnly, false), (Veil::AppendOnly, true)] {
        let (inner, store) = veiled(veil);
        let repository = try_init(store, &clock()).await.unwrap();
        let before: Vec<_> = inner.keys().into_iter().map(|key| (inner.peek(&key), key)).collect();
        assert_eq!(repository.refuses_to_overwrite().await.unwrap(), keeps_it, "{veil:?}");
        let after: Vec<_> = inner.keys().into_iter().map(|key| (inner.peek(&key), key)).collect();
        assert_eq!(before, after);
    }
}
