//! A store in memory that has everything: clock, quota, limits, uploads, locks, foreign names; so that every case of the
//! suite applies to it. It can be given a bug, named after the case that must find it.

mod bugs;
mod client;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use backup_conformance::{FaultControl, Harness, Pace, RawView, Trouble};
use backup_core::storage::layer::{FaultBackend, FaultKind, FaultRule};
use backup_core::{
    ManualClock, MemoryBackend, ObjectKey, Quota, StorageBackend, StorageOperation, StorageResult, Timestamp,
};
use bytes::Bytes;

use client::Client;

/// The secret that the store is opened with.
const CANARY: &str = "canary-7f3a";

/// Small numbers, for the suite is run once for every bug.
pub(crate) fn small_pace() -> Pace {
    let mut pace = Pace::default();
    pace.max_objects = 1_100;
    pace.large_bytes = 2 << 20;
    pace
}

/// Gives stores with a bug, or without.
pub(crate) struct Rich {
    bug: Option<&'static str>,
    /// Whether the store declares to know no create-only puts.
    weak: bool,
    secrets: bool,
    worlds: Mutex<BTreeMap<String, Arc<World>>>,
    excuses: Vec<(&'static str, &'static str)>,
}

/// What all clients of a space share.
pub(crate) struct World {
    memory: MemoryBackend,
    faulty: FaultBackend,
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    clients: usize,
    foreign: Vec<String>,
    unfinished: Vec<Duration>,
    locks: BTreeMap<ObjectKey, Timestamp>,
    /// What goes wrong just now.
    trouble: Option<Trouble>,
    /// Objects in cold storage, with the looks that it still takes until they are warm, once asked for.
    cold: BTreeMap<ObjectKey, Option<u32>>,
    // What follows is there for bugs only.
    ever_stored: BTreeSet<ObjectKey>,
    deleted: BTreeSet<ObjectKey>,
    in_flight: BTreeSet<ObjectKey>,
    hidden: BTreeSet<ObjectKey>,
    shared_body: Bytes,
    shared_cursor: u64,
    first_version: Option<Bytes>,
    reads: u64,
    failed_reads: u64,
    listings: u64,
    first_quota: Option<Quota>,
    poisoned: bool,
}

impl World {
    fn new(memory: &MemoryBackend) -> Arc<Self> {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
        let memory = memory.with_clock(Arc::clone(&clock) as _);
        let faulty = FaultBackend::new(Arc::new(memory.clone()));
        Arc::new(Self { memory, faulty, clock, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Rich {
    pub(crate) fn new(bug: Option<&'static str>) -> Self {
        let excuses = vec![
            ("undeclared_create_has_no_effect", "create-only puts are declared"),
            ("undeclared_digest_is_harmless", "digests are checked"),
        ];
        Self { bug, weak: false, secrets: true, worlds: Mutex::default(), excuses }
    }

    /// One that knows no create-only puts, checks no digests and declares it.
    pub(crate) fn weak(bug: Option<&'static str>) -> Self {
        let reason = "the store declares to know no create-only puts";
        let excuses = vec![
            ("create_of_existing_changes_nothing", reason),
            ("create_race_has_one_winner", reason),
            ("large_create_has_one_winner", reason),
            ("loser_of_a_race_finds_a_whole_object", reason),
            ("wrong_digest_leaves_nothing", "digests are not checked"),
            ("corrupted_put_is_noticed", "digests are not checked"),
        ];
        Self { weak: true, excuses, ..Self::new(bug) }
    }

    fn world(&self, space: &str) -> Arc<World> {
        let mut worlds = self.worlds.lock().unwrap();
        let fresh = || World::new(&MemoryBackend::new().with_quota(1 << 30).with_max_object(20 << 20));
        Arc::clone(worlds.entry(space.to_owned()).or_insert_with(fresh))
    }

    fn client(&self, world: Arc<World>) -> Arc<dyn StorageBackend> {
        Arc::new(Client::new(world, self.bug, self.weak))
    }
}

#[async_trait]
impl Harness for Rich {
    async fn open(&self, space: &str) -> StorageResult<Arc<dyn StorageBackend>> {
        Ok(self.client(self.world(space)))
    }

    async fn open_small(&self, _space: &str, total_bytes: u64) -> StorageResult<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(self.client(World::new(&MemoryBackend::new().with_quota(total_bytes)))))
    }

    fn raw(&self) -> Option<&dyn RawView> {
        Some(self)
    }

    fn faults(&self) -> Option<&dyn FaultControl> {
        Some(self)
    }

    fn pace(&self) -> Pace {
        small_pace()
    }

    fn secrets(&self) -> Vec<String> {
        if self.secrets { vec![CANARY.to_owned()] } else { Vec::new() }
    }

    fn not_applicable(&self) -> &[(&'static str, &'static str)] {
        &self.excuses
    }
}

#[async_trait]
impl RawView for Rich {
    async fn names(&self, space: &str) -> Vec<(String, u64)> {
        let world = self.world(space);
        let objects = world.memory.keys().into_iter().filter_map(|key| {
            let len = world.memory.peek(&key)?.len() as u64;
            Some((key.to_string(), len))
        });
        let state = world.state();
        let foreign = state.foreign.iter().map(|name| (name.clone(), 1));
        let unfinished = (0..state.unfinished.len()).map(|n| (format!(".upload-{n}"), 1));
        objects.chain(foreign).chain(unfinished).collect()
    }

    async fn plant(&self, space: &str, name: &str) -> bool {
        self.world(space).state().foreign.push(name.to_owned());
        true
    }

    async fn plant_unfinished(&self, space: &str, age: Duration) -> bool {
        self.world(space).state().unfinished.push(age);
        true
    }
}

#[async_trait]
impl FaultControl for Rich {
    async fn begin(&self, space: &str, trouble: Trouble) -> bool {
        let world = self.world(space);
        let faulty = &world.faulty;
        world.state().trouble = Some(trouble);
        let (operation, kind) = match trouble {
            Trouble::PutBreaks if self.bug == Some("failed_put_changes_nothing") => {
                (StorageOperation::Put, FaultKind::Tear)
            }
            Trouble::PutBreaks => (StorageOperation::Put, FaultKind::FailAfter),
            Trouble::ListBreaks => (StorageOperation::List, FaultKind::Tear),
            Trouble::GetBreaks => (StorageOperation::Get, FaultKind::FailAfter),
            Trouble::Corrupts => (StorageOperation::Put, FaultKind::WrongBytes),
            Trouble::GoesCold => {
                let keys = world.memory.keys().into_iter();
                world.state().cold = keys.map(|key| (key, None)).collect();
                return true;
            }
            // The rest stands between the client and the store.
            _ => return true,
        };
        faulty.add(FaultRule::new(kind).on(operation));
        true
    }

    async fn end(&self, space: &str) {
        let world = self.world(space);
        world.state().trouble = None;
        world.faulty.heal();
    }
}
