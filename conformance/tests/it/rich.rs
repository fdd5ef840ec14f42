//! A store in memory that has everything: clock, quota, limits, uploads, locks, foreign names; so that every case of the
//! suite applies to it. It can be given a bug, named after the case that must find it.

mod bugs;
mod client;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use backup_conformance::{FaultControl, Harness, Pace, RawView, Trouble};
use backup_core::storage::layer::{FaultBackend, FaultKind, FaultRule};
use backup_core::{ManualClock, MemoryBackend, ObjectKey, StorageBackend, StorageOperation, StorageResult, Timestamp};
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
    // What follows is there for bugs only.
    ever_stored: BTreeSet<ObjectKey>,
    deleted: BTreeSet<ObjectKey>,
    in_flight: BTreeSet<ObjectKey>,
    hidden: BTreeSet<ObjectKey>,
    shared_body: Bytes,
    shared_cursor: u64,
    first_version: Option<Bytes>,
    reads: u64,
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
        let excuse = ("undeclared_create_has_no_effect", "create-only puts are declared");
        Self { bug, weak: false, secrets: true, worlds: Mutex::default(), excuses: vec![excuse] }
    }

    /// One that knows no create-only puts and declares it.
    pub(crate) fn weak(bug: Option<&'static str>) -> Self {
        let reason = "the store declares to know no create-only puts";
        let excuses = vec![
            ("create_of_existing_changes_nothing", reason),
            ("create_race_has_one_winner", reason),
            ("loser_of_a_race_finds_a_whole_object", reason),
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
        let faulty = &self.world(space).faulty;
        let (operation, kind) = match trouble {
            Trouble::PutBreaks if self.bug == Some("failed_put_changes_nothing") => {
                (StorageOperation::Put, FaultKind::Tear)
            }
            Trouble::PutBreaks => (StorageOperation::Put, FaultKind::FailAfter),
            Trouble::ListBreaks => (StorageOperation::List, FaultKind::Tear),
            _ => return false,
        };
        faulty.add(FaultRule::new(kind).on(operation));
        true
    }

    async fn end(&self, space: &str) {
        self.world(space).faulty.heal();
    }
}
