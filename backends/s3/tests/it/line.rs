//! Bad lines: connections that are cut, held up or carry other bits, with TLS around what passes.

use std::sync::Arc;
use std::time::Duration;

use backup_backend_s3::S3Config;
use backup_core::storage::layer::{IdleTimeout, Retry, RetryPolicy};
use backup_core::{ByteRange, KeyPrefix, ObjectKey, PutOptions, StorageBackend, StorageErrorKind};
use backup_test_servers::{BadLine, SeaweedFs, Trouble};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use crate::bucket::{Filer, config, open, unique};

const SEED: u64 = 20_261_122;

/// The server over TLS at some port.
fn over_tls(bucket: &str, port: u16) -> S3Config {
    let mut config = config(bucket);
    config.allow_http = false;
    config.endpoint = Some(format!("https://127.0.0.1:{port}"));
    config.ca_file = Some(SeaweedFs::shared().certificate().to_owned());
    config
}

fn content(number: usize) -> Bytes {
    // A few of every size, up to what meets trouble more often than not.
    let len = [0, 1, 1_000, 70_000, 1 << 20, 3 << 20, 7 << 20][number % 7];
    (0..len).map(|at| u8::try_from((at * 7 + number) % 251).unwrap()).collect::<Vec<u8>>().into()
}

async fn everything_arrives_over(trouble: Trouble) {
    let bucket = unique("line");
    let filer = Filer::new(&bucket);
    filer.make().await;
    let server = SeaweedFs::shared();
    let line = BadLine::to(server.https_port(), trouble, 2, 3 << 20, SEED);
    let bad = open(&over_tls(&bucket, line.port())).await.unwrap();
    let bad = IdleTimeout { idle: Duration::from_secs(2), slowest_bytes_per_sec: 4 << 20 }.around(Arc::new(bad));
    let policy = RetryPolicy { max_attempts: 20, first_wait: Duration::from_millis(5), ..RetryPolicy::default() };
    let bad = Retry::new(policy, SEED).around(Arc::new(bad));
    let good = open(&over_tls(&bucket, server.https_port())).await.unwrap();

    let key = |number: usize| ObjectKey::new(format!("packs/{number:02}")).unwrap();
    let puts = futures::stream::iter(0..14).map(|number| {
        let bad = &bad;
        // Create-only: a repetition must tell its own work from another's.
        async move { bad.put(&key(number), content(number).into(), &PutOptions::if_absent()).await }
    });
    puts.buffer_unordered(3).try_collect::<Vec<()>>().await.unwrap();
    for number in 0..14 {
        assert!(good.get(&key(number), ByteRange::Full).await.unwrap() == content(number), "{number} was stored wrong");
        let got = bad.get(&key(number), ByteRange::Full).await.unwrap();
        assert!(got == content(number), "{number} came back wrong");
    }
    assert_eq!(bad.list(&KeyPrefix::all()).try_collect::<Vec<_>>().await.unwrap().len(), 14);
    assert!(line.met() > 5, "only {} connections met trouble", line.met());
    filer.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_over_connections_that_are_cut() {
    everything_arrives_over(Trouble::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_over_connections_that_stand_still() {
    everything_arrives_over(Trouble::Stall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_over_connections_that_change_bits() {
    everything_arrives_over(Trouble::Flip).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_that_nobody_vouches_for_is_refused() {
    let mut config = over_tls("b", SeaweedFs::shared().https_port());
    config.ca_file = None;
    let error = open(&config).await.unwrap().stat(&ObjectKey::new("config").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unavailable, "{error}");
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
}
