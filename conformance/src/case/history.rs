//! What several clients see of one key, against what one object could have shown them.

use std::sync::Arc;
use std::time::Duration;

use backup_core::{
    ByteRange, Consistency, Grade, ObjectKey, PutOptions, StorageBackend, StorageError, StorageErrorKind, StorageResult,
};
use futures::future::join_all;
use tokio::time::Instant;

use crate::content::bytes;
use crate::context::{Context, key};
use crate::linear::{Effect, Judgement, Operation, judge};
use crate::random::Random;
use crate::verdict::{CaseResult, Stop, ensure, not_applicable};

/// Clients of the key; more make more orders possible, and with them each history says less.
const CLIENTS: usize = 4;

/// Shortest value; each has a length of its own, so that `stat` tells which one it saw.
const MIN_BYTES: u64 = 300;

/// What one client is to do next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Put,
    Create,
    Get,
    Stat,
    Delete,
}

/// A client with its part of the schedule.
struct Actor {
    number: usize,
    store: Arc<dyn StorageBackend>,
    at: ObjectKey,
    random: Random,
    creates: bool,
    begun: Instant,
}

impl Actor {
    fn step(&mut self) -> Step {
        match self.random.below(10) {
            0..=2 => Step::Put,
            3 if self.creates => Step::Create,
            3..=5 => Step::Get,
            6 | 7 => Step::Stat,
            _ => Step::Delete,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Runs a step and gives what it did; nothing when a read failed.
    async fn act(&mut self, value: u64) -> Result<Option<Operation>, Stop> {
        let began = self.now();
        let (step, body) = (self.step(), body_of(value));
        let (known, effect) = match step {
            Step::Put => match self.store.put(&self.at, body.into(), &PutOptions::overwrite()).await {
                Ok(()) => (true, Effect::Put(value)),
                Err(error) => (unknown(error)?, Effect::Put(value)),
            },
            Step::Create => match self.store.put(&self.at, body.into(), &PutOptions::if_absent()).await {
                Ok(()) => (true, Effect::Created(value)),
                Err(error) if error.kind() == StorageErrorKind::AlreadyExists => (true, Effect::Refused),
                Err(error) => (unknown(error)?, Effect::PerhapsCreated(value)),
            },
            Step::Delete => match self.store.delete(&self.at).await {
                Ok(()) => (true, Effect::Delete),
                Err(error) => (unknown(error)?, Effect::Delete),
            },
            Step::Get => match present(self.store.get(&self.at, ByteRange::Full).await) {
                Ok(Some(got)) => {
                    let value = value_of(got.len() as u64);
                    ensure!(got == body_of(value), "a read saw {} bytes that nobody stored as a whole", got.len());
                    (true, Effect::Saw(Some(value)))
                }
                Ok(None) => (true, Effect::Saw(None)),
                Err(error) => return unknown(error).map(|_| None),
            },
            Step::Stat => match present(self.store.stat(&self.at).await) {
                Ok(meta) => (true, Effect::Saw(meta.map(|meta| value_of(meta.size_bytes)))),
                Err(error) => return unknown(error).map(|_| None),
            },
        };
        let ended = known.then(|| self.now());
        Ok(Some(Operation { client: self.number, began, ended, effect }))
    }
}

fn body_of(value: u64) -> bytes::Bytes {
    bytes(value, usize::try_from(MIN_BYTES + value).unwrap_or(0))
}

fn value_of(len: u64) -> u64 {
    len.wrapping_sub(MIN_BYTES)
}

fn present<T>(result: StorageResult<T>) -> StorageResult<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == StorageErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// `false` for a failure that leaves open whether the operation took effect; any other one fails the case.
fn unknown(error: StorageError) -> Result<bool, Stop> {
    match error.kind() {
        StorageErrorKind::Unavailable | StorageErrorKind::Timeout | StorageErrorKind::RateLimited => Ok(false),
        _ => Err(error.into()),
    }
}

/// How much older than the moment of reading what is read may be.
fn staleness(cx: &Context) -> Duration {
    match cx.store.info().capabilities.read_after_write {
        Consistency::Strong => Duration::ZERO,
        Consistency::Session(within) | Consistency::Bounded(within) => within + cx.pace.settle,
    }
}

pub(crate) async fn one_key_history_is_linearizable(cx: &Context) -> CaseResult {
    if cx.pace.history_operations == 0 {
        return Err(not_applicable("the pace asks for no history"));
    }
    let clients = [Arc::clone(&cx.store), cx.second().await?];
    let strong = cx.reads_are_strong();
    let atomic_creates = cx.store.info().capabilities.put_if_absent == Grade::Atomic;
    let late = u64::try_from(staleness(cx).as_nanos()).unwrap_or(u64::MAX);
    for (round, seed) in (0..cx.pace.rounds).zip(cx.pace.seed..) {
        let at = key(format!("history/{round}"));
        let begun = Instant::now();
        let steps = cx.pace.history_operations / CLIENTS;
        let actors = (0..CLIENTS).map(|number| {
            let mut random = Random::new(seed);
            let seed = (0..=number).fold(0, |_, _| random.number());
            let store = Arc::clone(&clients[number % clients.len()]);
            // A store whose reads are late says nothing about when it refuses.
            let creates = strong && atomic_creates;
            let mut actor = Actor { number, store, at: at.clone(), random: Random::new(seed), creates, begun };
            tokio::spawn(async move {
                let mut seen = Vec::new();
                for step in 0..steps {
                    // Nobody else's, and never one again.
                    let value = (step * CLIENTS + number) as u64;
                    seen.extend(actor.act(value).await?);
                }
                Ok::<_, Stop>(seen)
            })
        });
        let mut history = Vec::new();
        for seen in join_all(actors.collect::<Vec<_>>()).await {
            history.extend(seen.map_err(|error| Stop::Failed(format!("a client panicked: {error}")))??);
        }
        let known = history.iter().filter(|operation| operation.ended.is_some()).count();
        ensure!(known * 2 > steps * CLIENTS, "seed {seed}: most of {} operations failed", steps * CLIENTS);
        for read in history.iter_mut().filter(|operation| matches!(operation.effect, Effect::Saw(_))) {
            read.began = read.began.saturating_sub(late);
        }
        explained(&history, seed)?;
    }
    Ok(())
}

fn explained(history: &[Operation], seed: u64) -> CaseResult {
    match judge(None, history) {
        Judgement::Linearizable => Ok(()),
        Judgement::Undecided => Err(Stop::Failed(format!("seed {seed}: no order was found in reasonable time"))),
        Judgement::Impossible { explained, unexplained, state } => {
            let tell = |at: &[usize]| at.iter().map(|at| history[*at]).collect::<Vec<_>>();
            let last = explained.len().saturating_sub(unexplained.len() + CLIENTS);
            Err(Stop::Failed(format!(
                "seed {seed}: no order of {} operations on one key explains what was seen; after {:?}, which leave {state:?}, \
                 none of {:?} fits",
                history.len(),
                tell(&explained[last..]),
                tell(&unexplained),
            )))
        }
    }
}
