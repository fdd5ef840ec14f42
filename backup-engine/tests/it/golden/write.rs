//! Writes the golden repositories that no release has been made with; `cargo xtask golden` runs it.

#![expect(clippy::print_stdout, reason = "whoever runs it wants to know what it did")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backup_core::storage::layer::{FaultBackend, FaultKind};
use backup_core::{CancelToken, EntryPath, ManualClock, MemoryBackend, Silent, SourceDescription};
use backup_engine::check::CheckLevel;
use backup_engine::chunker::ChunkerParameters;
use backup_engine::create::{CreateError, CreateOptions};
use backup_engine::crypto::escrow::EscrowPrivateKey;
use backup_engine::crypto::kdf::PasswordCost;
use backup_engine::format::slot::SlotNote;
use backup_engine::id::SnapshotId;
use backup_engine::rebuild::RebuildOptions;
use backup_engine::repository::keys::encode_recovery_code;
use backup_engine::repository::{InitOptions, NewKey, Repository, Unlock};

use super::content;
use super::listing::{SnapshotLine, of_tree, to_lines};
use super::place::{self, entries_file, home};
use crate::support::fixture::{CancelAt, check};
use crate::support::source::{MemorySource, Tree};
use crate::support::{CHUNK_BYTES, clock};

/// This variable lets [`golden_repositories_are_written_anew`] write, so that nobody does it who only runs all tests.
const WANTED: &str = "BACKUP_WRITE_GOLDEN";

/// Whoever releases puts this file beside a golden repository. From then on it is what old repositories look like.
const RELEASED: &str = "RELEASED";

/// The least that a reader accepts, so that tests don't wait for it.
const COST: PasswordCost = PasswordCost { memory_kib: 65_536, passes: 3, lanes: 1 };

#[ignore = "runs for `cargo xtask golden`: it replaces files of the source tree"]
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "whoever wants golden repositories written says so in the environment")]
async fn golden_repositories_are_written_anew() {
    if std::env::var_os(WANTED).is_none() {
        println!("SKIPPED: `cargo xtask golden` sets {WANTED}");
        return;
    }
    let writers: [(&str, Writer); 2] =
        [("v1-files", every_kind_of_entry().await), ("v1-lists", lists_of_lists().await)];
    for (name, writer) in writers {
        let folder = home().join(name);
        if folder.join(RELEASED).exists() {
            println!("{name} was released: it stays as it is");
            continue;
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        writer.finish(&folder).await;
        println!("{name} is written");
    }
}

/// A repository in the making.
struct Writer {
    store: MemoryBackend,
    clock: Arc<ManualClock>,
    repository: Repository,
    keys: BTreeMap<&'static str, Vec<u8>>,
    captured: BTreeMap<SnapshotId, Tree>,
}

fn files(root: &str) -> SourceDescription {
    let roots = vec![EntryPath::new(root.as_bytes()).unwrap()];
    SourceDescription { kind: "files".to_owned(), name: None, roots }
}

fn options(host: &str, tags: &[&str]) -> CreateOptions {
    let mut options = CreateOptions::default();
    options.host = host.to_owned();
    options.user = "ana".to_owned();
    options.program = concat!("backup ", env!("CARGO_PKG_VERSION")).to_owned();
    options.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    options.workers = 2;
    options
}

impl Writer {
    async fn new(chunker: ChunkerParameters) -> Self {
        let (store, clock) = (MemoryBackend::new(), clock());
        let key = b"golden key file, 32 bytes long.\n".to_vec();
        let mut options = InitOptions::default();
        options.chunker = chunker;
        options.note.label = Some("key file".to_owned());
        options.note.created = Some("2026-11-21T08:44:17Z".to_owned());
        let new = NewKey::KeyFile(key.clone().into());
        let repository = Repository::init(Arc::new(store.clone()), &new, &options, clock.clone()).await.unwrap();
        Self { store, clock, repository, keys: BTreeMap::from([(place::KEY_FILE, key)]), captured: BTreeMap::new() }
    }

    /// Adds one slot of every other type.
    async fn add_keys(&mut self) {
        let (password, keyring) = ("grün ist die Hoffnung", b"golden keyring secret: 32 bytes!".to_vec());
        let (code, private) = ([0x5a; 32], EscrowPrivateKey::from_bytes(&[0xa5; 32]));
        let escrow = format!("# the private half of a pair\n{}\n", *private.to_code());
        for (name, key, kept) in [
            (place::PASSWORD, NewKey::Password(password.to_owned().into(), COST), password.into()),
            (place::KEYRING, NewKey::Keyring(keyring.clone().into()), keyring),
            (place::RECOVERY_CODE, NewKey::RecoveryCode(code.into()), encode_recovery_code(&code).as_bytes().to_vec()),
            (place::ESCROW_KEY, NewKey::Escrow(private.public_key()), escrow.into_bytes()),
        ] {
            let note = SlotNote { label: Some(name.to_owned()), ..SlotNote::default() };
            self.repository.add_key(&key, &note).await.unwrap();
            self.keys.insert(name, kept);
        }
        // For nobody who is here: readers have to pass over it.
        let other = NewKey::Escrow(EscrowPrivateKey::generate().public_key());
        self.repository.add_key(&other, &SlotNote::default()).await.unwrap();
    }

    /// Opens it as the next run does.
    async fn reopen(&mut self) {
        let unlock = Unlock::Key(self.keys[place::KEY_FILE].clone().into());
        self.repository = Repository::open(Arc::new(self.store.clone()), &unlock, self.clock.clone()).await.unwrap();
    }

    async fn capture(&mut self, source: SourceDescription, tree: Tree, options: CreateOptions) -> SnapshotId {
        self.clock.advance(Duration::from_secs(3600));
        let source = Arc::new(MemorySource::described(source, tree.clone()));
        let run = self.repository.create(source, options, Arc::new(Silent), CancelToken::new());
        let report = run.await.unwrap();
        let torn = tree.0.values().filter(|node| node.entry.torn).count() as u64;
        assert_eq!(report.problem_count, torn, "{:?}", report.problems);
        self.captured.insert(report.snapshot, tree);
        report.snapshot
    }

    /// Replaces what is noted with a snapshot.
    async fn annotate(&self, id: SnapshotId, tags: &[&str], pinned: bool, note: Option<&str>) {
        self.clock.advance(Duration::from_secs(60));
        let list = self.repository.list_snapshots().await.unwrap();
        let snapshot = list.find(&id.to_string()).unwrap();
        let tags: Vec<_> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self.repository.annotate(&snapshot, &tags, pinned, note.map(str::to_owned)).await.unwrap();
    }

    /// An index object that replaces others, which are still there: a rebuild where nothing can be deleted.
    async fn replace_index(&mut self) {
        let is_index = |key: &backup_core::ObjectKey| key.as_str().starts_with("index/");
        let old: Vec<_> = self.store.keys().into_iter().filter(is_index).collect();
        let bytes: Vec<_> = old.iter().map(|key| self.store.pluck(key).unwrap()).collect();
        // One of them stays away until the new one is written, so that there is something to mend.
        old.iter().zip(&bytes).skip(1).for_each(|(key, bytes)| self.store.plant(key, bytes.clone()));
        let options = RebuildOptions::default();
        let report = self.repository.rebuild_index(options, Arc::new(Silent), CancelToken::new()).await.unwrap();
        assert!(report.written == 1 && report.replaced > 0, "{report:?}");
        old.iter().zip(bytes).for_each(|(key, bytes)| self.store.plant(key, bytes));
        self.reopen().await;
    }

    /// Leaves what a run leaves that is killed once its first pack is stored, and what one leaves that is stopped.
    async fn leave_sessions(&self, description: &SourceDescription, tree: &Tree) {
        self.clock.advance(Duration::from_secs(3600));
        let mut tree = tree.clone();
        tree.file("home/ana/unfinished", b"of a run that did not end\n");
        let source = || Arc::new(MemorySource::described(description.clone(), tree.clone()));
        let packs =
            |store: &MemoryBackend| store.keys().iter().filter(|key| key.as_str().starts_with("packs/")).count();
        let killed = async |number: u64| {
            let store = self.store.fork();
            let faulty = FaultBackend::new(Arc::new(store.clone()));
            let unlock = Unlock::Key(self.keys[place::KEY_FILE].clone().into());
            let opened = Repository::open(Arc::new(faulty.clone()), &unlock, self.clock.clone()).await.unwrap();
            faulty.crash_at(faulty.operations() + number, FaultKind::FailAfter);
            let run = opened.create(source(), options("laptop", &[]), Arc::new(Silent), CancelToken::new());
            run.await.unwrap_err();
            store
        };
        for number in 0.. {
            let store = killed(number).await;
            if packs(&store) > packs(&self.store) {
                self.store.restore(&store.contents());
                break;
            }
        }

        let cancel = CancelToken::new();
        let monitor = Arc::new(CancelAt { clock: Arc::clone(&self.clock), bytes: 0, cancel: cancel.clone() });
        let stopped = self.repository.create(source(), options("laptop", &[]), monitor, cancel).await;
        assert!(matches!(stopped, Err(CreateError::Cancelled { .. })), "{stopped:?}");
    }

    /// Writes everything into a folder.
    async fn finish(self, folder: &Path) {
        let unlock = Unlock::Key(self.keys[place::KEY_FILE].clone().into());
        let repository = Repository::open(Arc::new(self.store.clone()), &unlock, self.clock.clone()).await.unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        for key in self.store.keys() {
            write(&format!("repository/{key}"), &self.store.peek(&key).unwrap());
        }
        for (name, bytes) in &self.keys {
            write(&format!("keys/{name}"), bytes);
        }
        let list = repository.list_snapshots().await.unwrap();
        let lines: Vec<_> = list.snapshots.iter().map(SnapshotLine::from).collect();
        write("snapshots.jsonl", to_lines(&lines).as_bytes());
        for (id, tree) in &self.captured {
            write(&entries_file(*id), to_lines(&of_tree(tree)).as_bytes());
        }
    }
}

/// Several snapshots of everything that an entry can be, in two epochs, with one of every kind of object.
async fn every_kind_of_entry() -> Writer {
    let chunker = ChunkerParameters {
        min: CHUNK_BYTES,
        avg: 2 * CHUNK_BYTES,
        max: 4 * CHUNK_BYTES,
        ..ChunkerParameters::default()
    };
    let mut writer = Writer::new(chunker).await;
    writer.add_keys().await;
    let home = SourceDescription {
        roots: ["home/ana", "srv"].map(|root| EntryPath::new(root.as_bytes()).unwrap()).to_vec(),
        ..files("home/ana")
    };
    let first = writer.capture(home.clone(), content::first(), options("laptop", &["first"])).await;
    writer.repository.rotate_epoch().await.unwrap();
    writer.reopen().await;
    let second = writer.capture(home.clone(), content::second(), options("laptop", &[])).await;
    writer.annotate(first, &["first", "forgotten"], false, None).await;
    writer.annotate(first, &["before the move", "first"], true, Some("kept for ever")).await;
    writer.annotate(second, &["after the move"], false, None).await;
    writer.replace_index().await;
    let documents = SourceDescription { name: Some("documents".to_owned()), ..files("documents") };
    writer.capture(documents, content::documents(), options("desktop", &["small"])).await;
    assert!(check(&writer.repository, CheckLevel::Data).await.is_sound());
    writer.leave_sessions(&home, &content::second()).await;
    writer
}

/// A file whose chunks don't fit into one list.
async fn lists_of_lists() -> Writer {
    let chunker =
        ChunkerParameters { min: CHUNK_BYTES, avg: CHUNK_BYTES, max: CHUNK_BYTES, ..ChunkerParameters::default() };
    let mut writer = Writer::new(chunker).await;
    writer.capture(files("data"), content::many_chunks(), options("server", &[])).await;
    writer
}
