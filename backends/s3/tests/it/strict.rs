//! What the suite doesn't ask: sizes around parts, wrong servers and credentials, and what is sent.

use backup_core::storage::UploadMaintenance;
use backup_core::{ByteRange, ObjectKey, PutBody, PutOptions, SecretRef, StorageBackend, StorageErrorKind};
use bytes::Bytes;
use std::time::Duration;

use crate::bucket::{Filer, config, context, open, unique};

const MIB: usize = 1 << 20;

/// A body in uneven pieces whose bytes tell where they stand.
fn body(len: usize) -> (Vec<u8>, PutBody) {
    let bytes: Vec<u8> = (0..len).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect();
    let pieces = bytes.chunks(7 * MIB + 13).map(Bytes::copy_from_slice).collect();
    (bytes, PutBody::from_pieces(pieces))
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_around_the_size_of_parts_come_back_whole() {
    let bucket = unique("parts");
    let filer = Filer::new(&bucket);
    filer.make().await;
    let store = open(&config(&bucket)).await.unwrap();
    for (at, len) in [64 * MIB, 64 * MIB + 1, 96 * MIB - 1, 96 * MIB, 96 * MIB + 1].into_iter().enumerate() {
        let key = ObjectKey::new(format!("packs/{at}")).unwrap();
        let (bytes, body) = body(len);
        store.put(&key, body.clone(), &PutOptions::if_absent()).await.unwrap();
        assert_eq!(store.stat(&key).await.unwrap().size_bytes, len as u64);
        assert!(store.get(&key, ByteRange::Full).await.unwrap() == bytes, "{len} bytes came back wrong");
        // The condition holds for uploads in parts, too.
        let error = store.put(&key, body, &PutOptions::if_absent()).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::AlreadyExists, "{len}: {error}");
    }
    assert_eq!(store.abort_older_than(Duration::ZERO).await.unwrap(), 0, "an upload that failed was left");
    // So does what the caller says that the body is.
    let (key, (_, body)) = (ObjectKey::new("packs/wrong").unwrap(), body(64 * MIB + 1));
    let error = store.put(&key, body, &PutOptions::if_absent().with_sha256([7; 32])).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Integrity, "{error}");
    assert_eq!(store.stat(&key).await.unwrap_err().kind(), StorageErrorKind::NotFound);
    filer.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_bucket_is_a_matter_of_configuration() {
    let store = open(&config(&unique("nobody-made-this"))).await.unwrap();
    let error = store.get(&ObjectKey::new("config").unwrap(), ByteRange::Full).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Config, "{error}");
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_or_missing_credentials_are_told_apart_from_a_missing_object() {
    let bucket = unique("credentials");
    let filer = Filer::new(&bucket);
    filer.make().await;
    let key = ObjectKey::new("config").unwrap();
    let mut wrong = config(&bucket);
    wrong.secret_access_key = SecretRef::parse("env:ID").ok();
    let error = open(&wrong).await.unwrap().get(&key, ByteRange::Full).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unauthenticated, "{error}");
    // Nobody gives any: the environment that this context shows is empty, and there is no machine to ask.
    let mut none = config(&bucket);
    (none.access_key_id, none.secret_access_key) = (None, None);
    none.profile = Some("nobody".to_owned());
    let error = open(&none).await.unwrap().get(&key, ByteRange::Full).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unauthenticated, "{error}");
    filer.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listening_is_unavailable_and_plain_http_refused() {
    let [port] = backup_test_servers::free_ports();
    let mut config = config("b");
    config.endpoint = Some(format!("http://127.0.0.1:{port}"));
    let error = open(&config).await.unwrap().stat(&ObjectKey::new("config").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unavailable, "{error}");
    config.allow_http = false;
    let error = backup_backend_s3::S3Backend::connect(&config, &context()).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Config, "{error}");
    assert!(error.to_string().contains("allow_http"), "{error}");
}
