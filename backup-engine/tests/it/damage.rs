//! One damaged object is found and named, its victims are known exactly, the rest reads back, and the next capture heals it.
//!
//! Each kind of object is deleted, truncated, emptied, grown and flipped bit by bit in every part of its layout. What is lost is found out
//! twice: by `check`, and by reading everything and comparing it with what was captured.

mod keys;
mod packs;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backup_core::conflict::KeepBackup;
use backup_core::{CancelToken, EntryKind, EntryPath, MemoryBackend, ObjectKey, Silent};
use backup_engine::check::{CheckLevel, CheckOptions, CheckReport};
use backup_engine::restore::RestoreOptions;

use crate::support::create;
use crate::support::fixture::{Fixture, check, check_with};
use crate::support::oracle::{Lost, lost, victims};
use crate::support::target::MemoryTarget;

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Delete,
    Truncate(usize),
    Append,
    Flip(usize),
}

impl Damage {
    fn apply(self, store: &MemoryBackend, key: &ObjectKey) {
        let bytes = store.pluck(key).unwrap();
        let mut bytes = bytes.to_vec();
        match self {
            Self::Delete => return,
            Self::Truncate(len) => bytes.truncate(len),
            Self::Append => bytes.push(0),
            Self::Flip(at) => bytes[at] ^= 1 << (at % 8),
        }
        store.plant(key, bytes);
    }
}

/// Every damage for an object of `len` bytes, flips at the given places and the usual ones.
fn damages(len: usize, places: &[usize]) -> Vec<Damage> {
    let mut damages = vec![Damage::Delete, Damage::Append];
    let mut lengths = vec![0, 1, 79.min(len - 1), len / 3, len / 2, len - 1];
    lengths.dedup();
    damages.extend(lengths.into_iter().map(Damage::Truncate));
    // Magic, version, kind, key type, reserved, epoch, reserved, salt, commitment; then the first frame's magic, ordinal, length, and content.
    let header = [0, 4, 5, 6, 7, 8, 13, 20, 60, 80, 84, 88, 91, 92];
    let mut places: Vec<_> = header.into_iter().chain(places.iter().copied()).chain([len / 2, len - 1]).collect();
    places.retain(|&at| at < len);
    places.sort_unstable();
    places.dedup();
    damages.extend(places.into_iter().map(Damage::Flip));
    damages
}

/// A repository with one damaged object, and what can't be read of it.
struct Damaged {
    fixture: Fixture,
    what: String,
    key: ObjectKey,
    lost: Lost,
}

impl Damaged {
    async fn new(sound: &Fixture, key: &ObjectKey, damage: Damage) -> Self {
        let fixture = sound.fork();
        damage.apply(&fixture.store, key);
        let lost = lost(&fixture.open().await, &fixture.expected).await;
        Self { fixture, what: format!("{damage:?} of {key}"), key: key.clone(), lost }
    }

    /// A check that leaves no record.
    async fn look(&self, level: CheckLevel) -> CheckReport {
        let mut options = CheckOptions::level(level);
        options.record = false;
        check_with(&self.fixture.open().await, options).await
    }

    fn names_it(&self, report: &CheckReport) -> bool {
        let is_it = |object: &str| object.split('#').next() == Some(self.key.as_str());
        !report.is_sound() && report.findings.iter().any(|finding| is_it(&finding.object))
    }

    /// From `level` on, a check names the object and exactly what it hurts.
    async fn is_found_from(&self, level: CheckLevel) {
        for level in [CheckLevel::Structure, CheckLevel::Objects, CheckLevel::Data].into_iter().filter(|l| *l >= level)
        {
            let report = self.look(level).await;
            assert!(self.names_it(&report), "{}: not named at level {level}: {report:#?}", self.what);
            let found = victims(&report, &self.fixture.expected);
            assert_eq!(found, self.lost, "{}: wrong victims at level {level}: {report:#?}", self.what);
            assert_eq!(report.is_restorable(), self.lost.is_empty(), "{}: {report:#?}", self.what);
        }
    }

    /// After a check of `level`, the next capture stores again what is lost of its source.
    async fn heals_after(&mut self, level: CheckLevel) -> CheckReport {
        check(&self.fixture.open().await, level).await;
        self.heals().await
    }

    /// The next capture's snapshot is whole, and a check says so. Returns what that check says.
    async fn heals(&mut self) -> CheckReport {
        let fixture = &mut self.fixture;
        let repository = fixture.open().await;
        fixture.tree.file("added after the damage", b"something");
        let created = create(&repository, &fixture.clock, &fixture.tree).await;
        fixture.expected.insert(created.snapshot, fixture.tree.clone());
        let lost = lost(&repository, &fixture.expected).await;
        assert!(!lost.contains_key(&created.snapshot), "{}: not healed: {lost:?}", self.what);
        let report = check(&repository, CheckLevel::Data).await;
        assert_eq!(victims(&report, &fixture.expected), lost, "{}: {report:#?}", self.what);
        self.lost = lost;
        report
    }

    /// Damage that a check has told of and that is healed in every snapshot is no reason for alarm any more.
    fn is_sound_if_all_is_healed(&self, had_lost: bool, report: &CheckReport) -> bool {
        let is_healed = had_lost && self.lost.is_empty();
        assert!(!is_healed || report.is_sound(), "{}: {report:#?}", self.what);
        is_healed
    }

    /// A restore brings back every file of every snapshot but those that are lost, and names these. It leaves no record.
    async fn restores_the_rest(&self) {
        let mut options = RestoreOptions::default();
        options.record = false;
        self.restores_with(options).await;
    }

    async fn restores_with(&self, options: RestoreOptions) {
        let repository = self.fixture.open().await;
        for snapshot in repository.list_snapshots().await.unwrap().snapshots {
            let none = BTreeSet::new();
            let lost = self.lost.get(&snapshot.id).map_or(&none, |paths| paths.as_ref().unwrap());
            let target = MemoryTarget::default();
            let report = repository
                .restore(
                    &snapshot,
                    Arc::new(target.clone()),
                    Arc::new(KeepBackup {}),
                    options.clone(),
                    Arc::new(Silent),
                    CancelToken::new(),
                )
                .await
                .unwrap();
            assert_eq!(report.problem_count > 0, !lost.is_empty(), "{}: {report:#?}", self.what);
            assert_eq!(report.unrecorded, None, "{}", self.what);
            let mut files = target.contents();
            let mut expected = MemoryTarget::expected(&self.fixture.expected[&snapshot.id]);
            files.retain(|_, (kind, _)| *kind == EntryKind::File);
            expected.retain(|path, (kind, _)| *kind == EntryKind::File && !lost.contains(path));
            let names = |files: &BTreeMap<EntryPath, _>| files.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&files), names(&expected), "{}", self.what);
            assert!(files == expected, "{}: restored wrong", self.what);
        }
    }

    /// Of what older snapshots lost, nothing is left that the source still has.
    fn assert_older_snapshots_are_healed(&self) {
        for (snapshot, paths) in self.lost.iter().filter_map(|(snapshot, paths)| Some((snapshot, paths.as_ref()?))) {
            let then = &self.fixture.expected[snapshot];
            let is_there = |path: &&_| self.fixture.tree.0.get(*path).is_some_and(|now| *now == then.0[*path]);
            assert_eq!(paths.iter().find(is_there), None, "{}: not healed in {snapshot}", self.what);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_repository_has_no_findings() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    assert!(lost(&repository, &fixture.expected).await.is_empty());
    for level in [CheckLevel::Structure, CheckLevel::Objects, CheckLevel::Data] {
        let report = check(&repository, level).await;
        assert_eq!(report.findings, [], "at level {level}");
        assert!(report.is_sound() && report.is_restorable());
        assert_eq!(report.snapshots, 3);
        assert_eq!(report.packs, fixture.keys("packs/").len() as u64);
        let read = if level == CheckLevel::Structure { 0 } else { report.packs };
        assert_eq!(report.packs_read, read, "at level {level}");
    }
}
