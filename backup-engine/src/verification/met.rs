//! Damage as records tell it, and records of damage that was met outside of any check.

use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::format::record::VerifyRecord;
use crate::index::{BlobIndex, Damage};
use crate::repository::Repository;
use crate::snapshots::format_time;

use super::{BY_RESTORE, damage_name};

/// Damaged blocks of one pack that a record lists; with more, it lists the pack, so that a record stays small.
const MAX_RECORDED_BLOCKS: usize = 256;

/// All damage that is marked in an index but what was only carried over, as records name it, in order.
pub(crate) fn damaged_names(index: &BlobIndex, carried: &[Damage]) -> Vec<String> {
    let seen: Vec<Damage> = index.damage().into_iter().filter(|damage| !carried.contains(damage)).collect();
    let mut names = Vec::new();
    for of_pack in seen.chunk_by(|a, b| a.pack == b.pack) {
        let pack = index.pack(of_pack[0].pack).id;
        // The whole pack comes before its blocks.
        if of_pack[0].offset_bytes.is_none() || of_pack.len() > MAX_RECORDED_BLOCKS {
            names.push(damage_name(&pack, None));
        } else {
            names.extend(of_pack.iter().map(|damage| damage_name(&pack, damage.offset_bytes)));
        }
    }
    names.sort();
    names
}

impl Repository {
    /// Records damage that a restore met, so that the next `create` stores again what is lost.
    ///
    /// Afterwards it is known until a check of the data finds it gone. Nothing is written where all of it is known already.
    pub(crate) async fn remember_damage(&self, index: &BlobIndex) -> Result<(), RepositoryError> {
        let mut damaged = damaged_names(index, &[]);
        if damaged.is_empty() {
            return Ok(());
        }
        let known = self.known_damage().await?;
        damaged.retain(|name| !known.contains(name));
        if damaged.is_empty() {
            return Ok(());
        }
        let record = VerifyRecord {
            at: format_time(self.clock().now()),
            level: BY_RESTORE.to_owned(),
            subset: None,
            packs: 0,
            bytes: 0,
            damaged,
            // It looked at some of what others did, and says nothing about the rest.
            supersedes: Vec::new(),
        };
        let payload = serde_json::to_vec(&record).expect("a record is plain data");
        self.store().put_record(ObjectKind::Verify, &payload).await?;
        Ok(())
    }
}
