//! Bad lines: connections that are cut, held up or carry other bits.

use std::sync::Arc;
use std::time::Duration;

use backup_core::storage::layer::{IdleTimeout, Retry, RetryPolicy};
use backup_core::{ByteRange, KeyPrefix, ObjectKey, PutOptions, StorageBackend, StorageErrorKind};
use backup_test_servers::{BadLine, Disturbance, Sshd, SwitchedLine, Trouble};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use crate::place::{config, files, open, unique};

const SEED: u64 = 20_261_122;

/// Much longer than a cut takes to be noticed, and shorter than anything that waits for a time to run out.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

fn content(number: usize) -> Bytes {
    // A few of every size, up to what meets trouble more often than not.
    let len = [0, 1, 1_000, 70_000, 1 << 20, 3 << 20, 7 << 20][number % 7];
    (0..len).map(|at| u8::try_from((at * 7 + number) % 251).unwrap()).collect::<Vec<u8>>().into()
}

async fn everything_arrives_over(trouble: Trouble) {
    let server = Sshd::shared();
    let folder = server.files().join(unique("line"));
    let line = BadLine::to(server.port(), trouble, 2, 4 << 20, SEED);
    let good = open(&config(server, &folder)).await.unwrap();
    let mut over_bad = config(server, &folder);
    over_bad.port = Some(line.port());
    over_bad.known_hosts = None;
    over_bad.host_key = Some(server.host_key());
    let bad = open(&over_bad).await.unwrap();
    let bad = IdleTimeout { idle: Duration::from_secs(2), slowest_bytes_per_sec: 4 << 20 }.around(Arc::new(bad));
    let policy = RetryPolicy { max_attempts: 20, first_wait: Duration::from_millis(5), ..RetryPolicy::default() };
    let bad = Retry::new(policy, SEED).around(Arc::new(bad));

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
    assert!(line.met() > 3, "only {} connections met trouble", line.met());
    // What was left half is found, whether the server closed it or not.
    let unfinished = files(&folder).into_iter().filter(|(name, _)| name.contains(".tmp-")).count();
    let swept = good.uploads().unwrap().abort_older_than(Duration::ZERO).await.unwrap();
    assert!(swept <= unfinished as u64, "{swept} of {unfinished}");
    assert_eq!(files(&folder).into_iter().filter(|(name, _)| !name.contains(".tmp-")).count(), 14);
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

/// Nobody around the backend looks at the clock here: the end of a connection must be noticed by itself.
#[tokio::test(flavor = "multi_thread")]
async fn large_put_over_a_line_that_is_cut_ends_at_once_and_the_next_one_arrives() {
    let server = Sshd::shared();
    let folder = server.files().join(unique("cut"));
    let line = SwitchedLine::to(server.port());
    let mut config = config(server, &folder);
    config.port = Some(line.port());
    config.known_hosts = None;
    config.host_key = Some(server.host_key());
    let store = open(&config).await.unwrap();
    let key = ObjectKey::new("packs/large").unwrap();
    let body = Bytes::from(vec![7; 32 << 20]);
    for cut_after in [100_000, 3 << 20, 9 << 20] {
        line.disturb(Disturbance::CutAfter(cut_after));
        let options = PutOptions::if_absent();
        let put = store.put(&key, body.clone().into(), &options);
        let ended = tokio::time::timeout(ENDS_WITHIN, put).await.expect("it hangs");
        assert_eq!(ended.unwrap_err().kind(), StorageErrorKind::Unavailable);
        line.mend();
    }
    store.put(&key, body.clone().into(), &PutOptions::if_absent()).await.unwrap();
    assert!(store.get(&key, ByteRange::Full).await.unwrap() == body);
}
