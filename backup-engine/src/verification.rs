//! Records of checks: what was verified when, and what was found damaged (format §11).

pub(crate) mod met;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use backup_core::{ObjectKey, Timestamp};
use futures::StreamExt;

use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::format::record::VerifyRecord;
use crate::id::{ObjectId, PackId};
use crate::layout;
use crate::repository::Repository;
use crate::snapshots::parse_time;

/// What a record of a restore has for a level: it covers nothing, and lists what was met.
const BY_RESTORE: &str = "restore";

/// Records fetched at once: enough to hide latency.
const FETCHES: usize = 8;

/// How deep a check looks; each level does what the ones before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum CheckLevel {
    /// Every object is there with the right size, every record and every tree can be read, and whatever they name is in the index.
    #[default]
    Structure,
    /// The bytes of every pack are those that were stored.
    Objects,
    /// Every block opens, and every blob is what its id says.
    Data,
}

impl CheckLevel {
    /// The level as it stands in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Objects => "objects",
            Self::Data => "data",
        }
    }

    /// The level with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Structure, Self::Objects, Self::Data].into_iter().find(|level| level.name() == name)
    }
}

impl fmt::Display for CheckLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One of several parts into which the packs are divided by their ids.
///
/// ```
/// use backup_engine::verification::Stripe;
///
/// let stripe: Stripe = "3/30".parse()?;
/// assert_eq!((stripe.n(), stripe.of()), (3, 30));
/// assert!("0/30".parse::<Stripe>().is_err() && "31/30".parse::<Stripe>().is_err());
/// # Ok::<(), backup_engine::verification::InvalidStripe>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stripe {
    n: u32,
    of: u32,
}

/// Numbers that name no part of anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a part is written N/OF with 1 ≤ N ≤ OF, as in 1/30")]
pub struct InvalidStripe;

impl Stripe {
    /// Part `n` of `of`, counted from 1.
    ///
    /// # Errors
    /// Unless 1 ≤ `n` ≤ `of`.
    pub fn new(n: u32, of: u32) -> Result<Self, InvalidStripe> {
        if (1..=of).contains(&n) { Ok(Self { n, of }) } else { Err(InvalidStripe) }
    }

    /// Which part, from 1.
    pub fn n(self) -> u32 {
        self.n
    }

    /// Of how many.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether a pack is in this part: parts are equal in size, because ids are evenly spread.
    pub fn contains(self, pack: &PackId) -> bool {
        let [a, b, c, d, ..] = *pack.as_bytes();
        u32::from_be_bytes([a, b, c, d]) % self.of == self.n - 1
    }
}

impl fmt::Display for Stripe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.n, self.of)
    }
}

impl FromStr for Stripe {
    type Err = InvalidStripe;

    fn from_str(text: &str) -> Result<Self, InvalidStripe> {
        let (n, of) = text.split_once('/').ok_or(InvalidStripe)?;
        Self::new(n.parse().map_err(|_| InvalidStripe)?, of.parse().map_err(|_| InvalidStripe)?)
    }
}

/// What one check looked at: the structure of everything, and the packs of a part more closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) level: CheckLevel,
    /// `None` is everything.
    pub(crate) stripe: Option<Stripe>,
}

impl Scope {
    /// Whether it looked at a pack at least as closely as `level`.
    pub(crate) fn covers(&self, pack: &PackId, level: CheckLevel) -> bool {
        level == CheckLevel::Structure || self.level >= level && self.stripe.is_none_or(|stripe| stripe.contains(pack))
    }

    /// Whether it looked at everything that another one did, at least as closely.
    fn includes(&self, other: &Self) -> bool {
        other.level == CheckLevel::Structure
            || self.level >= other.level && (self.stripe.is_none() || self.stripe == other.stripe)
    }
}

/// Damage that a check found and no later one has found gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KnownDamage {
    pub(crate) pack: PackId,
    /// Where the damaged block's frame begins; `None` for the whole pack.
    pub(crate) offset_bytes: Option<u32>,
    pub(crate) level: CheckLevel,
    /// Who found it when, for people.
    pub(crate) found: String,
}

/// The object as findings and records name it: a pack's key, and where the damage is a block, `#` and its offset.
pub(crate) fn damage_name(pack: &PackId, offset_bytes: Option<u32>) -> String {
    match offset_bytes {
        Some(offset_bytes) => format!("{}#{offset_bytes}", layout::pack(pack)),
        None => layout::pack(pack).to_string(),
    }
}

fn parse_damage(name: &str) -> Option<(PackId, Option<u32>)> {
    // An offset that can't be understood means the whole pack: to store too much again is safe.
    let (key, offset) = name.split_once('#').map_or((name, None), |(key, offset)| (key, offset.parse().ok()));
    Some((layout::pack_of(&ObjectKey::new(key).ok()?)?, offset))
}

/// Who found what a record lists, and when.
fn finder(record: &VerifyRecord) -> String {
    match (record.level.as_str(), &record.at) {
        (BY_RESTORE, at) => format!("a restore at {at}"),
        (level, at) => format!("a check of its {level} at {at}"),
    }
}

/// All readable records of checks.
#[derive(Debug, Default)]
pub(crate) struct History {
    records: Vec<(ObjectId, VerifyRecord)>,
    /// Records that can't be read; the checks they tell of count as not made.
    pub(crate) damaged: Vec<(ObjectId, RepositoryError)>,
}

impl History {
    fn scope(record: &VerifyRecord) -> Option<Scope> {
        let stripe = match record.subset {
            None => None,
            Some((n, of)) => Some(Stripe::new(n, of).ok()?),
        };
        Some(Scope { level: CheckLevel::from_name(&record.level)?, stripe })
    }

    /// The damage that still holds, in order.
    ///
    /// Damage holds until a record that supersedes the one that lists it, and that looked at the pack at least as closely, does not list it.
    /// Which record is later follows from what each names, not from any clock.
    pub(crate) fn known_damage(&self) -> Vec<KnownDamage> {
        let mut held = BTreeSet::new();
        for (id, record) in &self.records {
            // A level of a newer program: what it found holds until a level that this one knows to be the deepest says otherwise.
            let level = Self::scope(record).map_or(CheckLevel::Data, |scope| scope.level);
            for (pack, offset_bytes) in record.damaged.iter().filter_map(|name| parse_damage(name)) {
                let is_gone = self.records.iter().any(|(_, later)| {
                    later.supersedes.contains(id) && Self::scope(later).is_some_and(|scope| scope.covers(&pack, level))
                });
                if !is_gone {
                    held.insert(KnownDamage { pack, offset_bytes, level, found: finder(record) });
                }
            }
        }
        held.into_iter().collect()
    }

    /// The records that a new check supersedes: all that list damage.
    pub(crate) fn with_damage(&self) -> Vec<ObjectId> {
        self.records.iter().filter(|(_, record)| !record.damaged.is_empty()).map(|(id, _)| *id).collect()
    }

    /// Records that say nothing more once a check of `scope` is recorded.
    pub(crate) fn outdated_by(&self, scope: &Scope) -> Vec<ObjectId> {
        // What a restore met may be anywhere, and holds until it was looked at closely.
        let everything = Scope { level: CheckLevel::Data, stripe: None };
        let outdated = |record: &VerifyRecord| match record.level == BY_RESTORE {
            true => *scope == everything,
            false => Self::scope(record).is_some_and(|earlier| scope.includes(&earlier)),
        };
        self.records.iter().filter(|(_, record)| outdated(record)).map(|(id, _)| *id).collect()
    }

    /// The part that has gone unverified at a level for longest; a time that is not past counts as never.
    pub(crate) fn least_recently_verified(&self, level: CheckLevel, of: u32, now: Timestamp) -> Option<Stripe> {
        let verified = |stripe: Stripe| {
            let records = self.records.iter().filter_map(|(_, record)| Some((Self::scope(record)?, record)));
            records
                .filter(|(scope, _)| scope.includes(&Scope { level, stripe: Some(stripe) }))
                .filter_map(|(_, record)| parse_time(&record.at).filter(|&at| at <= now))
                .max()
        };
        (1..=of).filter_map(|n| Stripe::new(n, of).ok()).min_by_key(|&stripe| (verified(stripe), stripe))
    }

    /// The latest time such that everything that was there then has been looked at, since, at a level at least; `None` when some of it
    /// never was. A time that is not past counts as never.
    pub(crate) fn everything_verified(&self, level: CheckLevel, now: Timestamp) -> Option<Timestamp> {
        let records = || self.records.iter().filter_map(|(_, record)| Some((Self::scope(record)?, record)));
        let verified = |wanted: Scope| {
            records()
                .filter(|(scope, _)| scope.includes(&wanted))
                .filter_map(|(_, record)| parse_time(&record.at).filter(|&at| at <= now))
                .max()
        };
        let at_once = verified(Scope { level, stripe: None });
        let divisions: BTreeSet<u32> = records().filter_map(|(scope, _)| scope.stripe).map(Stripe::of).collect();
        // More parts than there are records can't all have been looked at.
        let few = divisions.into_iter().filter(|&of| usize::try_from(of).is_ok_and(|of| of <= self.records.len()));
        let in_parts = few.filter_map(|of| {
            let stripes = (1..=of).map(|n| Stripe::new(n, of).ok());
            stripes
                .map(|stripe| verified(Scope { level, stripe: Some(stripe?) }))
                .collect::<Option<Vec<_>>>()?
                .into_iter()
                .min()
        });
        in_parts.chain(at_once).max()
    }
}

impl Repository {
    /// All records of checks.
    pub(crate) async fn check_history(&self) -> Result<History, RepositoryError> {
        let listed = self.store().list_records(ObjectKind::Verify).await?;
        let fetches = futures::stream::iter(listed.into_iter().map(|(id, _)| async move {
            let payload = self.store().get_record(ObjectKind::Verify, &id).await;
            let record = payload.and_then(|payload| {
                serde_json::from_slice(&payload).map_err(|_| crate::repository::bad_json(ObjectKind::Verify, &id))
            });
            (id, record)
        }));
        let mut fetches = std::pin::pin!(fetches.buffered(FETCHES));
        let mut history = History::default();
        while let Some((id, record)) = fetches.next().await {
            match record {
                Ok(record) => history.records.push((id, record)),
                Err(error) if error.is_damage() => history.damaged.push((id, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(history)
    }

    /// What earlier checks found damaged and no later one found sound, as keys of packs, optionally followed by `#` and the offset of a block.
    ///
    /// # Errors
    /// What the storage says. A record that can't be read says nothing.
    pub async fn known_damage(&self) -> Result<Vec<String>, RepositoryError> {
        let held = self.check_history().await?.known_damage();
        let names: BTreeSet<_> = held.iter().map(|held| damage_name(&held.pack, held.offset_bytes)).collect();
        Ok(names.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
