//! The storage contract on top of OpenDAL's requests.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backup_backend_http::{HttpClient, HttpOptions, Pieces};
use backup_core::registry::{BackendConfig, ConnectContext};
use backup_core::storage::{ColdStorage, Consistency, Durability, Grade, ObjectLock, UploadMaintenance};
use backup_core::{
    BackendInfo, ByteRange, Capabilities, KeyPrefix, ObjectKey, ObjectMeta, PutBody, PutMode, PutOptions, Quota,
    StorageBackend, StorageError, StorageErrorKind, StorageOperation, StorageResult, Timestamp,
};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use opendal::{Buffer, BytesRange, EntryMode, HttpTransporter, Metadata, OperationContext, Operator, services};

use crate::S3Config;
use crate::address::Address;
use crate::credentials;
use crate::error::from_opendal;
use crate::transport::{SHA256_METADATA, Transport, digest, hex};

/// Objects of more bytes than this are sent in parts. A request of this size is repeated whole when it is cut, which costs no more than
/// the parts' extra requests do.
const MULTIPART_ABOVE_BYTES: u64 = 64 << 20;

/// Size of a part. S3 takes 10,000 of them, of at least 5 MiB.
const PART_BYTES: usize = 32 << 20;

/// Parts that S3 takes.
const MAX_PARTS: u64 = 10_000;

/// How long the parts of an upload that failed may take to go: whoever waits is to hear why it failed.
const ABORT_WITHIN: Duration = Duration::from_secs(5);

/// Requests at once that keep a connection to a distant server busy.
const SUGGESTED_CONCURRENCY: usize = 8;

/// Objects in a bucket; clones share connections and credentials.
///
/// Each call is one request; a put above 64 MiB one for each 32 MiB and two more, a listing one for each 1,000 objects. Bytes are sent as
/// they are, without being copied together, and received into one buffer.
#[derive(Debug, Clone)]
pub struct S3Backend {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    info: BackendInfo,
    operator: Operator,
    pub(crate) transport: Transport,
    pub(crate) address: Address,
    conditional_puts: bool,
}

impl S3Backend {
    /// Opens a bucket; makes no request but the one that finds out a region of AWS that is not told.
    ///
    /// # Errors
    /// `Config` when a value can't be used or a secret can't be had, `Unavailable`.
    pub async fn connect(config: &S3Config, context: &ConnectContext) -> StorageResult<Self> {
        let wrong =
            |detail: String| StorageError::new(StorageErrorKind::Config, StorageOperation::Connect).with_detail(detail);
        config.validate().map_err(|error| wrong(error.to_string()))?;
        let options = HttpOptions {
            ca_file: config.ca_file.clone(),
            proxy: config.proxy.clone(),
            allow_http: config.allow_http,
            connect_timeout: None,
        };
        let making = tokio::task::spawn_blocking(move || HttpClient::new(&options)).await;
        let client = making.map_err(|error| {
            StorageError::new(StorageErrorKind::Cancelled, StorageOperation::Connect).with_source(error)
        })??;
        let address = address(config, &client, context).await?;
        let signer = credentials::signer(config, &address.region, context).await?;
        let transport = Transport::new(client, signer, config.checksums);
        let operator = operator(config, &address).map_err(|error| wrong(error.message().to_owned()))?;
        let operator =
            operator.with_context(OperationContext::new().with_http_transport(HttpTransporter::new(transport.clone())));
        let info = BackendInfo { kind: "s3", location: config.location(), capabilities: capabilities(config) };
        let conditional_puts = config.conditional_puts;
        Ok(Self { inner: Arc::new(Inner { info, operator, transport, address, conditional_puts }) })
    }
}

fn capabilities(config: &S3Config) -> Capabilities {
    let mut capabilities = Capabilities::strict();
    capabilities.put_if_absent = if config.conditional_puts { Grade::Atomic } else { Grade::None };
    capabilities.read_after_write = Consistency::Strong;
    capabilities.list_after_write = Consistency::Strong;
    capabilities.durability = Durability::ServerAck;
    capabilities.verifies_sha256 = true;
    capabilities.max_object_bytes = Some(PART_BYTES as u64 * MAX_PARTS);
    capabilities.suggested_concurrency = SUGGESTED_CONCURRENCY;
    capabilities.wakes_on_progress = true;
    capabilities
}

/// Where the bucket is; asks AWS for its region where nobody has told it.
async fn address(config: &S3Config, client: &HttpClient, context: &ConnectContext) -> StorageResult<Address> {
    let wrong =
        |detail: String| StorageError::new(StorageErrorKind::Config, StorageOperation::Connect).with_detail(detail);
    let own = config.own_endpoint().map_err(|error| wrong(error.to_string()))?;
    let told = match &config.region {
        Some(region) => Some(region.clone()),
        None => credentials::region(context).await?,
    };
    let region = match (told, &own) {
        (Some(region), _) => region,
        // What servers of one place call their only region.
        (None, Some(_)) => "us-east-1".to_owned(),
        (None, None) => aws_region(client, &config.bucket).await?,
    };
    // The certificates of AWS are for names without another dot.
    let path_style = config.path_style.unwrap_or(own.is_some() || config.bucket.contains('.'));
    let endpoint = own.unwrap_or_else(|| Address::aws_endpoint(&region));
    let (bucket, prefix) = (config.bucket.clone(), config.folder().to_owned());
    Ok(Address { endpoint, bucket, prefix, region, path_style })
}

/// The region of a bucket of AWS, which tells it to everybody.
async fn aws_region(client: &HttpClient, bucket: &str) -> StorageResult<String> {
    let url = format!("{}/{bucket}", Address::aws_endpoint("us-east-1"));
    let request = http::Request::head(url).body(Pieces::default());
    let config = || StorageError::new(StorageErrorKind::Config, StorageOperation::Connect);
    let request = request.map_err(|error| config().with_source(error))?;
    let answer = client.send(request).await.map_err(|failure| {
        let kind = failure.kind();
        failure.into_error(kind, StorageOperation::Connect)
    })?;
    let region = answer.headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
    region.map(str::to_owned).ok_or_else(|| config().with_detail(format!("AWS knows no bucket `{bucket}`")))
}

fn operator(config: &S3Config, address: &Address) -> opendal::Result<Operator> {
    let mut builder = services::S3::default()
        .bucket(&address.bucket)
        .root(&format!("/{}", address.prefix))
        .endpoint(&address.endpoint)
        .region(&address.region)
        // The transport signs.
        .skip_signature()
        .disable_config_load()
        .disable_ec2_metadata();
    if !address.path_style {
        builder = builder.enable_virtual_host_style();
    }
    if let Some(class) = &config.storage_class {
        builder = builder.default_storage_class(class);
    }
    Operator::new(builder)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageBackend for S3Backend {
    fn info(&self) -> &BackendInfo {
        &self.inner.info
    }

    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
        let if_absent = options.mode == PutMode::IfAbsent;
        let refused = |kind| Err(StorageError::new(kind, StorageOperation::Put).with_key(key));
        if if_absent && !self.inner.conditional_puts {
            return refused(StorageErrorKind::Unsupported);
        }
        if body.len_bytes() > PART_BYTES as u64 * MAX_PARTS {
            return refused(StorageErrorKind::TooLarge);
        }
        let failed = |error| from_opendal(&error, StorageOperation::Put, Some(key));
        let mut writer = self.inner.operator.writer_with(key.as_str()).if_not_exists(if_absent);
        if body.len_bytes() > MULTIPART_ABOVE_BYTES {
            if let Some(sha256) = options.sha256 {
                // Each part is signed with its own hash, which says nothing about the whole.
                let whole = body.clone();
                let digest = tokio::task::spawn_blocking(move || digest(whole.pieces())).await;
                if digest.is_ok_and(|digest| digest != sha256) {
                    return refused(StorageErrorKind::Integrity);
                }
            }
            // One after the other: parts that tasks of their own send wake nobody who watches this call.
            writer = writer.chunk(PART_BYTES);
        } else if let Some(sha256) = &options.sha256 {
            writer = writer.user_metadata([(SHA256_METADATA.to_owned(), hex(sha256))]);
        }
        let mut writer = writer.await.map_err(failed)?;
        let pieces = body.pieces().iter().filter(|piece| !piece.is_empty()).cloned();
        let written = match writer.write(pieces.collect::<Buffer>()).await {
            Ok(()) => writer.close().await.map(|_| ()),
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => Ok(()),
            Err(error) => {
                // Parts that are there are nobody's: best effort, a sweep finds the rest.
                let _ = tokio::time::timeout(ABORT_WITHIN, writer.abort()).await;
                Err(failed(error))
            }
        }
    }

    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
        let error = |kind| StorageError::new(kind, StorageOperation::Get).with_key(key);
        let wanted = match range {
            ByteRange::Full => BytesRange::default(),
            ByteRange::Span { offset_bytes, len_bytes: 1.. } if offset_bytes.checked_add(len_of(range)).is_none() => {
                return Err(error(StorageErrorKind::RangeNotSatisfiable));
            }
            ByteRange::Span { offset_bytes, len_bytes: len @ 1.. } => {
                BytesRange::from(offset_bytes..offset_bytes + len)
            }
            ByteRange::Suffix { len_bytes: len @ 1.. } => BytesRange::suffix(len),
            // No range of HTTP is empty.
            ByteRange::Span { .. } | ByteRange::Suffix { .. } => {
                let size = self.stat(key).await.map_err(|failed| as_get(&failed, key))?.size_bytes;
                return match range.resolve(size) {
                    Some(_) => Ok(Bytes::new()),
                    None => Err(error(StorageErrorKind::RangeNotSatisfiable)),
                };
            }
        };
        let read = self.inner.operator.read_with(key.as_str()).range(wanted).await;
        let bytes = match read.map_err(|error| from_opendal(&error, StorageOperation::Get, Some(key))) {
            Ok(buffer) => buffer.to_bytes(),
            // An empty object has no last byte.
            Err(failed)
                if failed.kind() == StorageErrorKind::RangeNotSatisfiable
                    && matches!(range, ByteRange::Suffix { .. }) =>
            {
                let size = self.stat(key).await.map_err(|failed| as_get(&failed, key))?.size_bytes;
                return if size == 0 { Ok(Bytes::new()) } else { Err(failed) };
            }
            Err(failed) => return Err(failed),
        };
        let (got, asked) = (bytes.len() as u64, len_of(range));
        match range {
            ByteRange::Span { .. } if got < asked => Err(error(StorageErrorKind::RangeNotSatisfiable)),
            ByteRange::Span { .. } | ByteRange::Suffix { .. } if got > asked => {
                Err(error(StorageErrorKind::Integrity).with_detail(format!("asked for {asked} bytes, got {got}")))
            }
            _ => Ok(bytes),
        }
    }

    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
        let stat = self.inner.operator.stat(key.as_str()).await;
        let metadata = stat.map_err(|error| from_opendal(&error, StorageOperation::Stat, Some(key)))?;
        Ok(meta(key.clone(), &metadata))
    }

    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        let failed = |error| from_opendal(&error, StorageOperation::List, None);
        let listing = async move {
            let lister = self.inner.operator.lister_with(prefix.as_str()).recursive(true).await;
            match lister {
                Ok(lister) => lister.map(move |entry| entry.map_err(failed)).boxed(),
                Err(error) => stream::once(async move { Err(failed(error)) }).boxed(),
            }
        };
        let objects = stream::once(listing).flatten().filter_map(move |entry| {
            let item = match entry {
                Ok(entry) if entry.metadata().mode() == EntryMode::FILE => {
                    // What is no key is not ours.
                    let key = ObjectKey::new(entry.path()).ok().filter(|key| prefix.contains(key));
                    key.map(|key| Ok(meta(key, entry.metadata())))
                }
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            };
            futures::future::ready(item)
        });
        // Nothing comes behind an error.
        objects
            .scan(false, |ended, item| {
                let item = if *ended { None } else { Some(item) };
                *ended = matches!(item, Some(Err(_)));
                futures::future::ready(item)
            })
            .boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
        match self.inner.operator.delete(key.as_str()).await {
            Ok(()) => Ok(()),
            Err(error) => match from_opendal(&error, StorageOperation::Delete, Some(key)) {
                // Some servers say so.
                gone if gone.kind() == StorageErrorKind::NotFound => Ok(()),
                failed => Err(failed),
            },
        }
    }

    async fn quota(&self) -> StorageResult<Quota> {
        Err(self.unsupported(StorageOperation::Quota))
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        None
    }

    fn uploads(&self) -> Option<&dyn UploadMaintenance> {
        Some(self)
    }

    fn cold(&self) -> Option<&dyn ColdStorage> {
        None
    }

    fn unsupported(&self, operation: StorageOperation) -> StorageError {
        StorageError::new(StorageErrorKind::Unsupported, operation)
    }
}

fn len_of(range: ByteRange) -> u64 {
    match range {
        ByteRange::Full => u64::MAX,
        ByteRange::Span { len_bytes, .. } | ByteRange::Suffix { len_bytes } => len_bytes,
    }
}

/// The same failure, as one of a read.
fn as_get(failed: &StorageError, key: &ObjectKey) -> StorageError {
    let error = StorageError::new(failed.kind(), StorageOperation::Get).with_key(key).with_retry(failed.retry());
    match failed.detail() {
        Some(detail) => error.with_detail(detail),
        None => error,
    }
}

fn meta(key: ObjectKey, metadata: &Metadata) -> ObjectMeta {
    let stored_at = metadata.last_modified().and_then(|time| {
        let time = time.into_inner();
        Timestamp::new(time.as_second(), u32::try_from(time.subsec_nanosecond()).unwrap_or(0))
    });
    ObjectMeta { key, size_bytes: metadata.content_length(), stored_at }
}
