//! Many callers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backup_core::{ByteRange, PutOptions, StorageBackend, StorageErrorKind};
use futures::future::join_all;
use tokio::task::JoinHandle;

use crate::content::{bytes, difference};
use crate::context::{Context, key};
use crate::verdict::{CaseResult, Stop, ensure, not_applicable};

/// Overwrites that the readers of one key are put before.
const VERSIONS: u64 = 60;

/// Readers of one key.
const READERS: usize = 4;

async fn all(tasks: Vec<JoinHandle<CaseResult>>) -> CaseResult {
    for task in join_all(tasks).await {
        task.map_err(|error| Stop::Failed(format!("a task panicked: {error}")))??;
    }
    Ok(())
}

async fn live_a_life(client: Arc<dyn StorageBackend>, number: u64) -> CaseResult {
    let at = key(format!("life/{}/{number}", number % 5));
    for version in 0..5 {
        let body = bytes(number * 10 + version, 7_000);
        client.put(&at, body.clone().into(), &PutOptions::overwrite()).await?;
        let got = client.get(&at, ByteRange::Full).await?;
        ensure!(got == body, "`{at}` among many others: {}", difference(&got, &body));
        let size = client.stat(&at).await?.size_bytes;
        ensure!(size == 7_000, "`{at}` among many others: stat tells {size} bytes");
    }
    if number.is_multiple_of(2) {
        client.delete(&at).await?;
    }
    Ok(())
}

pub(crate) async fn distinct_keys_in_parallel(cx: &Context) -> CaseResult {
    if !cx.reads_are_strong() {
        return Err(not_applicable("the store does not declare that reads show writes at once"));
    }
    let clients = [Arc::clone(&cx.store), cx.second().await?];
    let lives = (0..32_u64).zip(clients.iter().cycle());
    all(lives.map(|(number, client)| tokio::spawn(live_a_life(Arc::clone(client), number))).collect()).await?;
    cx.settle_lists().await;
    let left = cx.sizes("life/").await?.len();
    ensure!(left == 16, "32 objects were stored and 16 deleted by many tasks; {left} are listed");
    Ok(())
}

/// One writer stores version after version; a reader must see at least what was acknowledged, or seen by anybody, before
/// it began. With one writer that is all that linearizability asks of a register.
pub(crate) async fn readers_never_go_back(cx: &Context) -> CaseResult {
    if !cx.reads_are_strong() {
        return Err(not_applicable("the store does not declare that reads show writes at once"));
    }
    let at = key("register");
    let newest_seen = Arc::new(AtomicU64::new(0));
    cx.put(&at, version(0)).await?;
    let readers = (0..READERS).map(|_| {
        let (client, at, newest_seen) = (Arc::clone(&cx.store), at.clone(), Arc::clone(&newest_seen));
        tokio::spawn(async move {
            loop {
                let before = newest_seen.load(Ordering::SeqCst);
                let got = client.get(&at, ByteRange::Full).await?;
                let seen = read_version(&got)?;
                ensure!(
                    seen >= before,
                    "a read saw version {seen} after version {before} had been seen or acknowledged"
                );
                newest_seen.fetch_max(seen, Ordering::SeqCst);
                if seen == VERSIONS {
                    return Ok(());
                }
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for number in 1..=VERSIONS {
        cx.put(&at, version(number)).await?;
        newest_seen.fetch_max(number, Ordering::SeqCst);
    }
    all(readers).await
}

fn version(number: u64) -> Vec<u8> {
    // Sizes differ so that a mixture of two versions shows.
    let len = 1_000 + usize::try_from(number % 7).unwrap_or(0) * 3_000;
    [number.to_le_bytes().as_slice(), &bytes(number, len)].concat()
}

fn read_version(got: &[u8]) -> Result<u64, Stop> {
    let number = got.first_chunk().map(|head| u64::from_le_bytes(*head)).unwrap_or(u64::MAX);
    ensure!(number <= VERSIONS && got == version(number), "a read saw {} bytes that are no version", got.len());
    Ok(number)
}

pub(crate) async fn read_during_delete_is_whole_or_absent(cx: &Context) -> CaseResult {
    let at = key("here-and-gone");
    let body = bytes(1, 500_000);
    let changes = async {
        for _ in 0..10 {
            cx.put(&at, body.clone()).await?;
            cx.store.delete(&at).await?;
        }
        Ok::<_, Stop>(())
    };
    let reads = async {
        for _ in 0..60 {
            match cx.get(&at).await {
                Ok(got) => ensure!(got == body, "read during a delete: {}", difference(&got, &body)),
                Err(error) if error.kind() == StorageErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    };
    let (changed, seen) = futures::join!(changes, reads);
    changed.and(seen)
}
