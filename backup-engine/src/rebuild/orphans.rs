//! Packs that are stored and in no index object, as an interrupted run leaves them.

use backup_core::StorageErrorKind;
use futures::StreamExt;

use super::write::SegmentWriter;
use super::{FETCHES, blob_count};
use crate::error::RepositoryError;
use crate::id::PackId;
use crate::layout;
use crate::pack::table::fetch_table;
use crate::repository::{LoadedIndex, Repository};

/// What was taken into the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Adopted {
    /// Packs that are in the index now.
    pub packs: u64,
    /// Blobs in them.
    pub blobs: u64,
    /// Packs left out because they are damaged.
    pub unreadable: u64,
    /// Damaged index objects that are replaced: every pack that is stored is in the index without them.
    pub replaced: u64,
}

impl Repository {
    /// Takes packs that are stored and in no index object into the index, so that what an interrupted run uploaded is not uploaded again.
    ///
    /// Costs a listing of all packs and one to three requests for each that is not in the index. Packs that another run is just storing may be
    /// among them; being named twice does them no harm. While a collector is at work nothing is adopted: it takes packs out of the index
    /// before it deletes them.
    ///
    /// # Errors
    /// What the storage says. Damaged packs don't fail: they are left out.
    pub async fn adopt_orphans(&self, index: &LoadedIndex) -> Result<Adopted, RepositoryError> {
        if self.collector_object().await?.is_some() {
            return Ok(Adopted::default());
        }
        let listed = self.store().list(&layout::packs()).await?;
        let orphans = listed.into_iter().filter_map(|meta| {
            let id = layout::pack_of(&meta.key)?;
            index.index.number_of(&id).is_none().then_some((id, meta.size_bytes))
        });
        let fetches =
            futures::stream::iter(orphans.map(|(id, size_bytes): (PackId, u64)| async move {
                fetch_table(self.store(), &id, size_bytes).await
            }));
        let mut fetches = std::pin::pin!(fetches.buffered(FETCHES));
        let mut adopted = Adopted::default();
        let mut writer = SegmentWriter::new(self, false);
        while let Some(fetched) = fetches.next().await {
            match fetched {
                Ok(pack) => {
                    adopted.packs += 1;
                    adopted.blobs += blob_count(&pack) as u64;
                    writer.push(pack).await?;
                }
                // Deleted since the listing.
                Err(RepositoryError::Storage(error)) if error.kind() == StorageErrorKind::NotFound => {}
                Err(error) if error.is_damage() => adopted.unreadable += 1,
                Err(error) => return Err(error),
            }
        }
        let replaced: Vec<_> = match adopted.unreadable {
            0 => index.damaged.iter().map(|(id, _)| *id).collect(),
            _ => Vec::new(),
        };
        adopted.replaced = replaced.len() as u64;
        writer.finish(replaced).await?;
        Ok(adopted)
    }
}
