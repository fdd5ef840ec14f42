//! Collects what is wrong, and what it hurts.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, LostPart, MAX_LISTED_FINDINGS, MAX_LISTED_VICTIMS, Severity, SeverityCounts, Victim};
use crate::id::{BlobId, SnapshotId};
use crate::index::{BlobIndex, Damage};
use crate::verification::damage_name;

/// Why a part of a snapshot is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// A block or a pack is damaged.
    Damage(Damage),
    /// No pack in the index has the blob.
    Missing,
    /// The blob is what was stored, and what was stored makes no sense.
    Malformed(BlobId),
}

#[derive(Debug, Default)]
struct Victims {
    listed: Vec<Victim>,
    count: u64,
}

impl Victims {
    /// Victims come snapshot by snapshot and in path order, so that a repetition is the last one.
    fn push(&mut self, victim: Victim) {
        if self.listed.last() == Some(&victim) {
            return;
        }
        self.count += 1;
        if self.listed.len() < MAX_LISTED_VICTIMS {
            self.listed.push(victim);
        }
    }
}

/// Everything found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What is known about damaged blocks and packs; damage that a reader met first has no words yet.
    words: BTreeMap<Damage, String>,
    /// What is wrong with packs, whether or not a block is hurt.
    packs: BTreeMap<u32, String>,
    malformed: BTreeMap<BlobId, String>,
    /// What earlier checks told of already.
    known: BTreeSet<Damage>,
    victims: BTreeMap<Cause, Victims>,
    others: Vec<Finding>,
}

impl Findings {
    /// A finding about an object that nothing hurts but itself.
    pub(super) fn object(&mut self, severity: Severity, object: impl Into<String>, what: impl Into<String>) {
        self.others.push(Finding {
            object: object.into(),
            severity,
            what: what.into(),
            victims: Vec::new(),
            victim_count: 0,
        });
    }

    /// A snapshot that can't be read.
    pub(super) fn snapshot(&mut self, object: impl Into<String>, what: impl Into<String>, snapshot: SnapshotId) {
        self.others.push(Finding {
            object: object.into(),
            severity: Severity::Loss,
            what: what.into(),
            victims: vec![Victim { snapshot, part: LostPart::Snapshot }],
            victim_count: 1,
        });
    }

    /// Damage that an earlier check told of: once nothing depends on it any more, it is no reason for alarm.
    pub(super) fn known(&mut self, damage: Damage) {
        self.known.insert(damage);
    }

    /// A block, or a whole pack, that can't be relied on.
    pub(super) fn damage(&mut self, damage: Damage, what: impl Into<String>) {
        self.words.entry(damage).or_insert_with(|| what.into());
    }

    /// Something wrong with a pack that need not hurt any of its blocks; the first is kept.
    pub(super) fn pack(&mut self, pack: u32, what: impl Into<String>) {
        self.packs.entry(pack).or_insert_with(|| what.into());
    }

    /// A blob that was stored wrong.
    pub(super) fn malformed(&mut self, blob: BlobId, what: impl Into<String>) {
        self.malformed.entry(blob).or_insert_with(|| what.into());
    }

    /// A part of a snapshot that a cause hurts.
    pub(super) fn victim(&mut self, cause: Cause, victim: Victim) {
        self.victims.entry(cause).or_default().push(victim);
    }

    /// All findings in order, and how many there are.
    pub(super) fn finish(mut self, index: &BlobIndex, missing: &str) -> (Vec<Finding>, SeverityCounts) {
        let mut findings = std::mem::take(&mut self.others);
        let damaged = index.damage();
        let whole: BTreeSet<u32> =
            damaged.iter().filter(|damage| damage.offset_bytes.is_none()).map(|damage| damage.pack).collect();
        let hurt: BTreeSet<u32> = damaged.iter().map(|damage| damage.pack).collect();
        for damage in damaged {
            if damage.offset_bytes.is_some() && whole.contains(&damage.pack) {
                continue;
            }
            let words = self.words.remove(&damage).unwrap_or_else(|| "can't be read".to_owned());
            let what = match (damage.offset_bytes, self.packs.remove(&damage.pack)) {
                (None, Some(more)) => format!("{words}; {more}"),
                (Some(_), Some(more)) => {
                    self.packs.insert(damage.pack, more);
                    words
                }
                (_, None) => words,
            };
            let object = damage_name(&index.pack(damage.pack).id, damage.offset_bytes);
            let mut finding = self.caused(Cause::Damage(damage), object, what);
            if finding.severity == Severity::Damage && self.is_known(damage) {
                finding.severity = Severity::Notice;
                finding.what.push_str(NOT_NEEDED);
            }
            findings.push(finding);
        }
        for (pack, what) in std::mem::take(&mut self.packs) {
            // A wrong hash says no more than the damaged blocks do.
            if what == WRONG_HASH && hurt.contains(&pack) {
                continue;
            }
            let object = damage_name(&index.pack(pack).id, None);
            let is_known = self.known.iter().any(|damage| damage.pack == pack);
            let severity = if is_known { Severity::Notice } else { Severity::Damage };
            findings.push(Finding { object, severity, what, victims: Vec::new(), victim_count: 0 });
        }
        for (blob, what) in std::mem::take(&mut self.malformed) {
            let object = match index.find(&blob) {
                Some(location) => damage_name(&index.pack(location.pack).id, Some(location.offset_bytes)),
                None => "index/".to_owned(),
            };
            findings.push(self.caused(Cause::Malformed(blob), object, what));
        }
        if self.victims.contains_key(&Cause::Missing) {
            findings.push(self.caused(Cause::Missing, "index/".to_owned(), missing.to_owned()));
        }
        findings.sort_by(|a, b| (a.severity, &a.object, &a.what).cmp(&(b.severity, &b.object, &b.what)));
        let mut counts = SeverityCounts::default();
        for finding in &findings {
            *match finding.severity {
                Severity::Loss => &mut counts.losses,
                Severity::Damage => &mut counts.damage,
                Severity::Notice => &mut counts.notices,
            } += 1;
        }
        findings.truncate(MAX_LISTED_FINDINGS);
        (findings, counts)
    }

    fn is_known(&self, damage: Damage) -> bool {
        self.known.contains(&damage) || self.known.contains(&Damage { offset_bytes: None, ..damage })
    }

    fn caused(&mut self, cause: Cause, object: String, what: String) -> Finding {
        let Victims { listed, count } = self.victims.remove(&cause).unwrap_or_default();
        let severity = if count > 0 { Severity::Loss } else { Severity::Damage };
        Finding { object, severity, what, victims: listed, victim_count: count }
    }
}

/// Said of damage that has been healed.
const NOT_NEEDED: &str = "; that is known, and no snapshot needs what was there";

/// Said of a pack whose SHA-256 is not its name.
pub(super) const WRONG_HASH: &str = "its bytes are not those that were stored";
