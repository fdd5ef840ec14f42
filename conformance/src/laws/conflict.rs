//! What every conflict resolver owes.
//!
//! A resolver that asks a person can't be tried like this: a person may answer one question in two ways.

use backup_core::conflict::{ConflictResolver, Resolution, RestoreConflict};
use backup_core::{Entry, EntryKind, EntryPath, Timestamp};

use super::{Broken, broken_of, holds};
use crate::random::Random;

/// Conflicts that each law is tried on.
const ROUNDS: usize = 300;

/// Conflicts that are asked about on threads of their own.
const THREADS: usize = 50;

/// One law: `Err` with an example where it is broken.
type Law = fn(&dyn ConflictResolver, u64) -> Result<(), String>;

const LAWS: &[(&str, Law)] = &[
    ("the_same_conflict_has_the_same_answer", the_same_conflict_has_the_same_answer),
    ("what_came_before_changes_nothing", what_came_before_changes_nothing),
    ("the_thread_changes_nothing", the_thread_changes_nothing),
];

/// The laws that a resolver breaks.
pub fn broken(resolver: &dyn ConflictResolver, seed: u64) -> Vec<Broken> {
    broken_of(LAWS.iter().map(|(law, holds)| (*law, holds(resolver, seed))), seed)
}

/// The names of all laws.
pub fn names() -> impl Iterator<Item = &'static str> {
    LAWS.iter().map(|(name, _)| *name)
}

/// Two entries at one path.
struct Pair {
    backup: Entry,
    local: Entry,
}

impl Pair {
    fn random(number: usize, random: &mut Random) -> Self {
        let path = format!("folder/{number}");
        Self { backup: entry(&path, random), local: entry(&path, random) }
    }

    fn resolved(&self, resolver: &dyn ConflictResolver) -> Resolution {
        resolver.resolve(&RestoreConflict { backup: &self.backup, local: &self.local })
    }
}

fn entry(path: &str, random: &mut Random) -> Entry {
    let kinds = [EntryKind::File, EntryKind::Directory, EntryKind::Symlink, EntryKind::Fifo];
    let kind = kinds[usize::try_from(random.below(4)).unwrap_or(0)];
    let path = EntryPath::new(path.as_bytes()).expect("a name without a slash at its ends");
    let mut entry = Entry::new(path, kind);
    // Few times, so that some are equal, and the ends of time.
    let secs = [i64::MIN, -1, 0, 1, 1_000, i64::MAX][usize::try_from(random.below(6)).unwrap_or(0)];
    let nanos = [0, 1, 999_999_999][usize::try_from(random.below(3)).unwrap_or(0)];
    entry.modified = Timestamp::new(secs, nanos).unwrap_or(Timestamp::EPOCH);
    if kind == EntryKind::File {
        entry.size_bytes = [0, 1, 1_000, u64::MAX][usize::try_from(random.below(4)).unwrap_or(0)];
    }
    entry
}

fn pairs(seed: u64) -> Vec<Pair> {
    let mut random = Random::new(seed);
    (0..ROUNDS).map(|number| Pair::random(number, &mut random)).collect()
}

fn the_same_conflict_has_the_same_answer(resolver: &dyn ConflictResolver, seed: u64) -> Result<(), String> {
    for pair in pairs(seed) {
        let (first, second) = (pair.resolved(resolver), pair.resolved(resolver));
        holds!(first == second, "{}: {first:?}, then {second:?}", told(&pair));
    }
    Ok(())
}

fn what_came_before_changes_nothing(resolver: &dyn ConflictResolver, seed: u64) -> Result<(), String> {
    let pairs = pairs(seed);
    // Whatever was asked before this law, it was not the first of them.
    if let Some(last) = pairs.last() {
        last.resolved(resolver);
    }
    let first: Vec<_> = pairs.iter().map(|pair| pair.resolved(resolver)).collect();
    // Not the last one twice in a row.
    for (pair, first) in pairs.iter().zip(first).rev().skip(1) {
        let again = pair.resolved(resolver);
        holds!(first == again, "{}: {first:?}, and after others {again:?}", told(pair));
    }
    Ok(())
}

fn the_thread_changes_nothing(resolver: &dyn ConflictResolver, seed: u64) -> Result<(), String> {
    // The one before is asked as well, so that nothing but the thread is another.
    let after = |before: &Pair, pair: &Pair| {
        before.resolved(resolver);
        pair.resolved(resolver)
    };
    let pairs = pairs(seed);
    for two in pairs.windows(2).take(THREADS) {
        let [before, pair] = two else { continue };
        let here = after(before, pair);
        let there = std::thread::scope(|scope| scope.spawn(|| after(before, pair)).join());
        match there {
            Ok(there) => holds!(here == there, "{}: {here:?}, and on another thread {there:?}", told(pair)),
            Err(_) => return Err("it panics on another thread".to_owned()),
        }
    }
    Ok(())
}

fn told(pair: &Pair) -> String {
    format!(
        "{:?} of {:?} in the backup, {:?} of {:?} there",
        pair.backup.kind, pair.backup.modified, pair.local.kind, pair.local.modified
    )
}
