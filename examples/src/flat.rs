//! A whole third-party backend: every object a file in one directory, the `/` of its key a comma.
//!
//! `docs/writing-a-backend.md` walks through it. It keeps the storage contract with nothing but the standard library:
//! `examples/tests/it/flat.rs` runs the public suite against it, and the program `flat-backup` uses it by URL.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use backup_core::registry::{BackendConfig, ConnectContext, Descriptor, InvalidConfig, OptionDoc, OptionKind};
use backup_core::{
    BackendInfo, ByteRange, Capabilities, KeyPrefix, ObjectKey, ObjectMeta, PutBody, PutMode, PutOptions,
    StorageBackend, StorageError, StorageErrorKind as Kind, StorageOperation as Op, StorageResult,
};
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

/// The configuration: `type = "flat"`, or a URL `flat:///directory`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlatConfig {
    /// The directory; it is made when it is missing.
    pub path: PathBuf,
}

#[async_trait]
#[typetag::serde(name = "flat")]
impl BackendConfig for FlatConfig {
    fn validate(&self) -> Result<(), InvalidConfig> {
        if self.path.is_absolute() { Ok(()) } else { Err(InvalidConfig::at("path", "is not absolute")) }
    }

    fn location(&self) -> String {
        format!("flat://{}", self.path.display())
    }

    async fn connect(&self, _context: &ConnectContext) -> StorageResult<Arc<dyn StorageBackend>> {
        Ok(Arc::new(FlatBackend::open(&self.path)?))
    }
}

inventory::submit! {
    Descriptor::backend::<FlatConfig>("flat", env!("CARGO_PKG_NAME"))
        .summary("an example: one flat directory")
        .urls(&["flat"], |url| Ok(url.options()?.with_text("path", url.path())))
        .options(&[OptionDoc::required("path", OptionKind::Path, "The directory.")])
        .example("path = \"/srv/flat\"")
}

/// Objects as files of one directory.
#[derive(Debug, Clone)]
pub struct FlatBackend {
    directory: Arc<Path>,
    info: Arc<BackendInfo>,
}

/// Makes the names of temporary files differ within this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl FlatBackend {
    /// Opens a directory, or makes it.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(directory: &Path) -> StorageResult<Self> {
        fs::create_dir_all(directory).map_err(|error| failed(Op::Connect, None, error))?;
        let location = format!("flat://{}", directory.display());
        let info = BackendInfo { kind: "flat", location, capabilities: Capabilities::strict() };
        Ok(Self { directory: directory.into(), info: Arc::new(info) })
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.directory.join(key.as_str().replace('/', ","))
    }

    /// Writes a temporary file and publishes it under its name, both durable.
    fn put_now(&self, key: &ObjectKey, body: &PutBody, mode: PutMode) -> std::io::Result<()> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Keys have no capitals, so no object can have this name.
        let temporary = self.directory.join(format!("T{}-{number}", std::process::id()));
        let written = File::create_new(&temporary).and_then(|mut file| {
            body.pieces().iter().try_for_each(|piece| file.write_all(piece))?;
            file.sync_all()?;
            match mode {
                PutMode::Overwrite => fs::rename(&temporary, self.path(key)),
                PutMode::IfAbsent => fs::hard_link(&temporary, self.path(key)),
            }
        });
        if written.is_err() || mode == PutMode::IfAbsent {
            fs::remove_file(&temporary)?;
        }
        written?;
        File::open(&self.directory)?.sync_all()
    }

    fn meta(path: &Path, key: ObjectKey) -> std::io::Result<ObjectMeta> {
        let found = fs::metadata(path)?;
        Ok(ObjectMeta { key, size_bytes: found.len(), stored_at: Some(found.modified()?.into()) })
    }

    fn list_now(&self, prefix: &KeyPrefix) -> std::io::Result<Vec<ObjectMeta>> {
        let mut objects = Vec::new();
        for file in fs::read_dir(&self.directory)? {
            let file = file?;
            let name = file.file_name().into_string().unwrap_or_default().replace(',', "/");
            if let Some(key) = ObjectKey::new(name).ok().filter(|key| prefix.contains(key)) {
                match Self::meta(&file.path(), key) {
                    Ok(meta) => objects.push(meta),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(objects)
    }
}

fn failed(operation: Op, key: Option<&ObjectKey>, error: std::io::Error) -> StorageError {
    let kind = match error.kind() {
        ErrorKind::NotFound => Kind::NotFound,
        ErrorKind::AlreadyExists => Kind::AlreadyExists,
        ErrorKind::PermissionDenied => Kind::PermissionDenied,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Kind::QuotaExceeded,
        _ => Kind::Other,
    };
    let found = StorageError::new(kind, operation).with_source(error);
    if let Some(key) = key { found.with_key(key) } else { found }
}

#[async_trait]
impl StorageBackend for FlatBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
        let (this, owned, mode) = (self.clone(), key.clone(), options.mode);
        run(Op::Put, Some(key), move || this.put_now(&owned, &body, mode)).await
    }

    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
        let path = self.path(key);
        let whole = Bytes::from(run(Op::Get, Some(key), move || fs::read(path)).await?);
        let outside = || StorageError::new(Kind::RangeNotSatisfiable, Op::Get).with_key(key);
        let (from, to) = range.resolve(whole.len() as u64).ok_or_else(outside)?;
        let index = |at: u64| usize::try_from(at).map_err(|_| outside());
        Ok(whole.slice(index(from)?..index(to)?))
    }

    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
        let (path, owned) = (self.path(key), key.clone());
        run(Op::Stat, Some(key), move || Self::meta(&path, owned)).await
    }

    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.clone());
        let listed = run(Op::List, None, move || this.list_now(&prefix));
        futures::stream::once(listed)
            .flat_map(|listed| {
                futures::stream::iter(match listed {
                    Ok(objects) => objects.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                })
            })
            .boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
        let path = self.path(key);
        let removed = run(Op::Delete, Some(key), move || fs::remove_file(path)).await;
        removed.or_else(|error| if error.kind() == Kind::NotFound { Ok(()) } else { Err(error) })
    }
}

/// Runs what blocks on a thread that may.
async fn run<T: Send + 'static>(
    operation: Op,
    key: Option<&ObjectKey>,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> StorageResult<T> {
    let done = spawn_blocking(work).await.unwrap_or_else(|died| Err(std::io::Error::other(died)));
    done.map_err(|error| failed(operation, key, error))
}
