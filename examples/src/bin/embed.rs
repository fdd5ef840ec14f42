//! Protects a folder and restores it, through the libraries alone: `embed FOLDER REPOSITORY TARGET`.
#![expect(clippy::print_stdout, reason = "a program talks to its user")]

use std::error::Error;
use std::sync::Arc;

use backup_backend_local::LocalBackend;
use backup_core::conflict::KeepBackup;
use backup_core::{CancelToken, Silent, Snapshotter, SystemClock, TargetOptions};
use backup_engine::create::CreateOptions;
use backup_engine::repository::{InitError, InitOptions, NewKey, Repository, Unlock};
use backup_engine::restore::RestoreOptions;
use backup_snapshotter_files::{FilesOptions, FilesSnapshotter};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, repository, target] = arguments.as_slice() else {
        return Err("embed FOLDER REPOSITORY TARGET".into());
    };
    let backend = Arc::new(LocalBackend::create(repository)?);
    let (password, clock) = ("correct horse battery staple", Arc::new(SystemClock::new()));
    let (key, new) = (NewKey::password(password), InitOptions::default());
    let repository = match Repository::init(backend.clone(), &key, &new, clock.clone()).await {
        Err(InitError::AlreadyExists) => Repository::open(backend, &Unlock::password(password), clock).await?,
        made => made?,
    };
    let source = Arc::new(FilesSnapshotter::new(FilesOptions::new([folder]))?);
    let target: Arc<_> = source.target(&TargetOptions::under(target))?.into();
    let created = repository.create(source, CreateOptions::default(), Arc::new(Silent), CancelToken::new()).await?;

    let snapshot = repository.list_snapshots().await?.find("latest")?;
    let options = RestoreOptions::default();
    let restored = repository
        .restore(&snapshot, target, Arc::new(KeepBackup {}), options, Arc::new(Silent), CancelToken::new())
        .await?;
    println!("stored {} bytes, restored {} files", created.record.statistics.stored_bytes, restored.restored_files);
    Ok(())
}
