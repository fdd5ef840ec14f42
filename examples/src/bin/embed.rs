//! Protects a folder and restores it, through the libraries alone: `embed FOLDER REPOSITORY TARGET`.
#![expect(clippy::print_stdout, reason = "a program talks to its user")]

use std::error::Error;
use std::sync::Arc;

use backup_backend_local::LocalBackend;
use backup_core::conflict::KeepBackup;
use backup_core::{CancelToken, Silent, Snapshotter, SystemClock, TargetOptions};
use backup_engine::create::CreateOptions;
use backup_engine::repository::{InitOptions, NewKey, Repository};
use backup_engine::restore::RestoreOptions;
use backup_snapshotter_files::{FilesOptions, FilesSnapshotter};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, repository, target] = arguments.as_slice() else {
        return Err("embed FOLDER REPOSITORY TARGET".into());
    };

    let backend = Arc::new(LocalBackend::create(repository)?);
    let key = NewKey::password("correct horse battery staple");
    let repository = Repository::init(backend, &key, &InitOptions::default(), Arc::new(SystemClock::new())).await?;

    let source = Arc::new(FilesSnapshotter::new(FilesOptions::new([folder]))?);
    let target: Arc<_> = source.target(&TargetOptions::under(target))?.into();
    let monitor = Arc::new(Silent);
    let created = repository.create(source, CreateOptions::default(), monitor.clone(), CancelToken::new()).await?;

    let snapshot = repository.list_snapshots().await?.find("latest")?;
    let options = RestoreOptions::default();
    let restored =
        repository.restore(&snapshot, target, Arc::new(KeepBackup {}), options, monitor, CancelToken::new()).await?;
    println!("stored {} bytes, restored {} files", created.record.statistics.stored_bytes, restored.restored_files);
    Ok(())
}
