//! Listing, finding and annotating snapshots.

use std::collections::HashMap;

use backup_core::Timestamp;
use futures::StreamExt;

use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::format::record::{MarkRecord, SnapshotRecord};
use crate::id::{ObjectId, SnapshotId};
use crate::repository::{Repository, bad_json};

/// Records fetched at once: enough to hide latency.
const FETCHES: usize = 8;

/// A snapshot with its id and the annotations that hold now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// What it is.
    pub record: SnapshotRecord,
    /// When the store received it, where the store tells; else the client's own time.
    pub received: Timestamp,
    /// Labels, sorted.
    pub tags: Vec<String>,
    /// Whether it is kept whatever a policy says.
    pub pinned: bool,
    /// A remark.
    pub note: Option<String>,
}

impl Snapshot {
    /// When its capture began, by the client's clock; the time of reception where that is unreadable.
    pub fn time(&self) -> Timestamp {
        parse_time(&self.record.time).unwrap_or(self.received)
    }
}

/// All snapshots, and those that can't be read.
#[derive(Debug, Default)]
pub struct SnapshotList {
    /// In the order of their time, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Objects that are no readable snapshot.
    pub damaged: Vec<(SnapshotId, RepositoryError)>,
}

/// Why a snapshot was not found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindSnapshotError {
    /// The repository has none.
    #[error("there are no snapshots")]
    Empty,
    /// None has such an id.
    #[error("there is no snapshot `{0}`")]
    NotFound(String),
    /// Several have.
    #[error("several snapshots begin with `{0}`")]
    Ambiguous(String),
    /// That one can't be read.
    #[error("snapshot `{id}` can't be read")]
    Damaged {
        /// Which.
        id: String,
        /// Why.
        source: Box<RepositoryError>,
    },
}

impl SnapshotList {
    /// The snapshot that a text names: `latest`, or the beginning of an id of at least four digits.
    ///
    /// # Errors
    /// [`FindSnapshotError`]. Damaged snapshots are never `latest`: that is the newest that can be read.
    pub fn find(self, text: &str) -> Result<Snapshot, FindSnapshotError> {
        const MIN_DIGITS: usize = 4;
        if text == "latest" {
            return self.snapshots.into_iter().next_back().ok_or(FindSnapshotError::Empty);
        }
        let wanted = text.to_ascii_lowercase();
        if wanted.len() < MIN_DIGITS {
            return Err(FindSnapshotError::NotFound(text.to_owned()));
        }
        if let Some((id, source)) = self.damaged.into_iter().find(|(id, _)| id.to_string().starts_with(&wanted)) {
            return Err(FindSnapshotError::Damaged { id: id.to_string(), source: Box::new(source) });
        }
        let mut found = self.snapshots.into_iter().filter(|snapshot| snapshot.id.to_string().starts_with(&wanted));
        match (found.next(), found.next()) {
            (Some(snapshot), None) => Ok(snapshot),
            (Some(_), Some(_)) => Err(FindSnapshotError::Ambiguous(text.to_owned())),
            (None, _) => Err(FindSnapshotError::NotFound(text.to_owned())),
        }
    }
}

/// A time as records hold it: RFC 3339 with nanoseconds.
pub fn format_time(time: Timestamp) -> String {
    let nanos = i32::try_from(time.nanos()).unwrap_or(0);
    match jiff::Timestamp::new(time.secs(), nanos) {
        Ok(time) => format!("{time:.9}"),
        Err(_) => time.to_string(),
    }
}

/// The time that a record holds.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    let nanos = time.subsec_nanosecond();
    match u32::try_from(nanos) {
        Ok(nanos) => Timestamp::new(time.as_second(), nanos),
        // Before 1970 jiff counts nanoseconds downwards.
        Err(_) => Timestamp::new(time.as_second() - 1, u32::try_from(1_000_000_000 + nanos).ok()?),
    }
}

impl Repository {
    /// All snapshots with their annotations.
    ///
    /// Costs two listings and a request for each snapshot and each mark, several at a time.
    ///
    /// # Errors
    /// What the storage says. Damaged snapshots don't fail: they are in the result.
    pub async fn list_snapshots(&self) -> Result<SnapshotList, RepositoryError> {
        let marks = self.marks().await?;
        let listed = self.store().list_records(ObjectKind::Snapshot).await?;
        let fetches = futures::stream::iter(
            listed.into_iter().map(|(id, meta)| async move { (id, meta.stored_at, self.snapshot_record(&id).await) }),
        );
        let mut fetches = std::pin::pin!(fetches.buffered(FETCHES));
        let mut list = SnapshotList::default();
        while let Some((object, stored_at, record)) = fetches.next().await {
            let id = SnapshotId::from_bytes(*object.as_bytes());
            match record {
                Ok(record) => {
                    let received = stored_at.or_else(|| parse_time(&record.time)).unwrap_or(Timestamp::EPOCH);
                    let mark = marks.get(&id);
                    list.snapshots.push(Snapshot {
                        id,
                        received,
                        tags: mark.map_or_else(|| record.tags.clone(), |mark| mark.tags.clone()),
                        pinned: mark.is_some_and(|mark| mark.pinned),
                        note: mark.and_then(|mark| mark.note.clone()),
                        record,
                    });
                }
                Err(error) if error.is_damage() => list.damaged.push((id, error)),
                Err(error) => return Err(error),
            }
        }
        list.snapshots.sort_by_key(|snapshot| (snapshot.time(), snapshot.id));
        Ok(list)
    }

    async fn snapshot_record(&self, id: &ObjectId) -> Result<SnapshotRecord, RepositoryError> {
        let payload = self.store().get_record(ObjectKind::Snapshot, id).await?;
        serde_json::from_slice(&payload).map_err(|_| bad_json(ObjectKind::Snapshot, id))
    }

    /// The mark that holds for each snapshot that has one.
    async fn marks(&self) -> Result<HashMap<SnapshotId, MarkRecord>, RepositoryError> {
        let listed = self.store().list_records(ObjectKind::Mark).await?;
        let fetches = futures::stream::iter(
            listed.into_iter().map(|(id, _)| async move { (id, self.store().get_record(ObjectKind::Mark, &id).await) }),
        );
        let mut fetches = std::pin::pin!(fetches.buffered(FETCHES));
        let mut newest: HashMap<SnapshotId, (Timestamp, ObjectId, MarkRecord)> = HashMap::new();
        while let Some((id, payload)) = fetches.next().await {
            let payload = match payload {
                Ok(payload) => payload,
                // A damaged mark is an annotation lost, which `check` reports; snapshots stay usable.
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            let Ok(mark) = serde_json::from_slice::<MarkRecord>(&payload) else { continue };
            let at = parse_time(&mark.at).unwrap_or(Timestamp::EPOCH);
            let is_newest =
                newest.get(&mark.snapshot).is_none_or(|(best_at, best_id, _)| (at, id) > (*best_at, *best_id));
            if is_newest {
                newest.insert(mark.snapshot, (at, id, mark));
            }
        }
        Ok(newest.into_iter().map(|(snapshot, (_, _, mark))| (snapshot, mark)).collect())
    }

    /// Replaces a snapshot's annotations; the snapshot itself and its id stay.
    ///
    /// # Errors
    /// What the storage says.
    pub async fn annotate(
        &self,
        snapshot: &Snapshot,
        tags: &[String],
        pinned: bool,
        note: Option<String>,
    ) -> Result<(), RepositoryError> {
        let mut tags = tags.to_vec();
        tags.sort();
        tags.dedup();
        let mark = MarkRecord { snapshot: snapshot.id, at: format_time(self.clock().now()), tags, pinned, note };
        let payload = serde_json::to_vec(&mark).expect("a mark is plain data");
        self.store().put_record(ObjectKind::Mark, &payload).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_to_the_nanosecond() {
        for (secs, nanos) in [(0, 0), (1_795_250_657, 123_456_789), (-1, 999_999_999), (-100, 1)] {
            let time = Timestamp::new(secs, nanos).unwrap();
            assert_eq!(parse_time(&format_time(time)), Some(time), "{}", format_time(time));
        }
        assert_eq!(format_time(Timestamp::from_secs(1_795_250_657)), "2026-11-21T08:44:17.000000000Z");
    }
}
