//! The suite as a user runs it, on a server that keeps its promises and on one that keeps fewer than it seems to.

use std::sync::Arc;

use backup_backend_s3::{S3Backend, S3Config};
use backup_conformance::live::{Observed, Open, Options, Profile, run};
use backup_conformance::{Report, Verdict};
use backup_core::registry::ConnectContext;
use backup_core::secret::MapResolver;
use backup_core::{Grade, KeyPrefix, SecretRef, StorageBackend, SystemClock};
use backup_test_servers::RcloneS3;
use futures::TryStreamExt;

use crate::bucket::{Filer, config, context, unique};

fn opening(config: S3Config, context: ConnectContext) -> Arc<Open> {
    let context = Arc::new(context);
    Arc::new(move || {
        let (config, context) = (config.clone(), Arc::clone(&context));
        Box::pin(async move {
            let store: Arc<dyn StorageBackend> = Arc::new(S3Backend::connect(&config, &context).await?);
            Ok(store)
        })
    })
}

fn failed(report: &Report) -> Vec<&str> {
    let failed = report.cases.iter().filter(|case| matches!(case.verdict, Verdict::Failed(_) | Verdict::Flaky(_)));
    failed.map(|case| case.name.as_str()).collect()
}

async fn left(open: &Open) -> Vec<String> {
    let store = open().await.unwrap();
    let all = KeyPrefix::all();
    store.list(&all).map_ok(|meta| meta.key.to_string()).try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_its_promises_passes_and_is_left_empty() {
    let bucket = unique("live");
    let filer = Filer::new(&bucket);
    filer.make().await;
    let open = opening(config(&bucket).with_prefix("some/folder"), context());
    let report = run(Arc::clone(&open), Options::new(Profile::Safe, "live", 1), |_| {}).await.unwrap();
    assert_eq!(failed(&report), [""; 0], "{:#?}", report.cases);
    assert_eq!((report.skipped(), report.overclaims().len(), report.left_behind().len()), (0, 0, 0));
    let expected = Observed {
        put_if_absent: Grade::Atomic,
        reads_show_puts_at_once: true,
        listings_show_puts_at_once: true,
        verifies_sha256: true,
        quota: false,
        tells_times: true,
    };
    assert_eq!(report.observed, Some(expected));
    assert!(report.to_badge().contains("brightgreen"));
    assert_eq!(left(open.as_ref()).await, [""; 0]);
    filer.remove().await;
}

/// A server that nobody of us wrote shows that the cases find what is wrong, and nothing else: it ignores conditions, and refuses a suffix that is
/// longer than the object.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_fewer_promises_is_found_out_by_the_cases_about_them() {
    let server = tokio::task::spawn_blocking(RcloneS3::start).await.unwrap().unwrap();
    server.make_bucket("bucket");
    let mut config = S3Config::new("bucket");
    config.endpoint = Some(server.endpoint());
    config.allow_http = true;
    config.access_key_id = SecretRef::parse("env:ID").ok();
    config.secret_access_key = SecretRef::parse("env:SECRET").ok();
    let secrets =
        MapResolver::new().with("env:ID", RcloneS3::ACCESS_KEY_ID).with("env:SECRET", RcloneS3::SECRET_ACCESS_KEY);
    let open = opening(config, ConnectContext::new(Arc::new(secrets), Arc::new(SystemClock::new())));
    let report = run(Arc::clone(&open), Options::new(Profile::Probe, "rclone", 1), |_| {}).await.unwrap();
    let expected = ["suffix_is_exact", "create_of_existing_changes_nothing", "create_race_has_one_winner"];
    assert_eq!(failed(&report), expected, "{:#?}", report.cases);
    assert_eq!(report.observed.map(|observed| observed.put_if_absent), Some(Grade::None));
    assert!(report.overclaims().contains(&"create-only puts".to_owned()));
    assert!(report.to_badge().contains("\"red\""));
    // What it answers with 500 it may store all the same, and late; nothing but that is left.
    let left = left(open.as_ref()).await;
    assert!(left.iter().all(|key| key.contains("/race")), "{left:?}");
}
