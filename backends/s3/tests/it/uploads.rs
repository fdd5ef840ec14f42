//! Uploads in parts that nobody finished.

use std::time::Duration;

use backup_core::storage::UploadMaintenance;
use backup_core::{KeyPrefix, StorageBackend};
use futures::StreamExt;

use crate::bucket::{Filer, begin_upload, config, open, unique};

#[tokio::test(flavor = "multi_thread")]
async fn sweep_removes_old_uploads_of_its_own_place_and_no_listing_shows_any() {
    let bucket = unique("uploads");
    let filer = Filer::new(&bucket);
    filer.make().await;
    for name in ["here/packs/a", "here/packs/b", "here-too/packs/a"] {
        begin_upload(&bucket, name).await;
    }
    let here = open(&config(&bucket).with_prefix("here")).await.unwrap();
    let whole = open(&config(&bucket)).await.unwrap();
    assert_eq!(whole.list(&KeyPrefix::all()).count().await, 0);
    assert_eq!(here.abort_older_than(Duration::from_secs(3_600)).await.unwrap(), 0, "they are not that old");
    assert_eq!(here.abort_older_than(Duration::ZERO).await.unwrap(), 2);
    assert_eq!(here.abort_older_than(Duration::ZERO).await.unwrap(), 0, "they are gone");
    assert_eq!(whole.abort_older_than(Duration::ZERO).await.unwrap(), 1, "another place's was touched");
    filer.remove().await;
}
