//! Which exit code an error of the libraries stands for.

use std::error::Error as StdError;

use backup_core::{SourceError, StorageError, StorageErrorKind};
use backup_engine::check::CheckError;
use backup_engine::create::CreateError;
use backup_engine::error::RepositoryError;
use backup_engine::query::QueryError;
use backup_engine::rebuild::RebuildError;
use backup_engine::repository::{InitError, KeyError, OpenError};
use backup_engine::restore::RestoreError;
use backup_engine::snapshots::FindSnapshotError;

use crate::exit_code::Exit;

/// The code of the first error in the chain that stands for one.
pub(super) fn exit_of(error: &(dyn StdError + 'static)) -> Exit {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(exit) = own_exit(error) {
            return exit;
        }
        next = error.source();
    }
    Exit::Failed
}

/// What an error stands for by itself; `None` leaves the decision to its cause.
fn own_exit(error: &(dyn StdError + 'static)) -> Option<Exit> {
    if let Some(error) = error.downcast_ref::<StorageError>() {
        return storage(error);
    }
    if let Some(error) = error.downcast_ref::<RepositoryError>() {
        return repository(error);
    }
    if let Some(error) = behind(error) {
        return repository(error);
    }
    if let Some(QueryError::WrongContent(_)) = error.downcast_ref::<QueryError>() {
        return Some(Exit::Corrupt);
    }
    if let Some(error) = error.downcast_ref::<OpenError>() {
        return match error {
            OpenError::NotFound | OpenError::NotARepository(_) => Some(Exit::NoRepository),
            OpenError::WrongKey { .. } => Some(Exit::WrongKey),
            OpenError::KeysLost(_) | OpenError::ConfigLost(_) | OpenError::TornConfig(_) => Some(Exit::Corrupt),
            OpenError::NewerVersion(_) => Some(Exit::Failed),
            OpenError::Repository(error) => repository(error),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<InitError>() {
        return match error {
            InitError::Repository(error) => repository(error),
            InitError::DamagedRepository(_) => Some(Exit::Corrupt),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<CreateError>() {
        return match error {
            CreateError::Cancelled { .. } => Some(Exit::Interrupted),
            CreateError::Source(error) => source(error),
            CreateError::Repository(error) => repository(error),
            _ => None,
        };
    }
    if let Some(RestoreError::Cancelled) = error.downcast_ref::<RestoreError>() {
        return Some(Exit::Interrupted);
    }
    if let Some(error) = error.downcast_ref::<SourceError>() {
        return source(error);
    }
    if let Some(FindSnapshotError::Damaged { .. }) = error.downcast_ref::<FindSnapshotError>() {
        return Some(Exit::Corrupt);
    }
    let io = error.downcast_ref::<std::io::Error>()?;
    (io.kind() == std::io::ErrorKind::StorageFull).then_some(Exit::NoSpace)
}

/// The error of the repository that an operation's own error only passes on; it is not in the chain of causes.
fn behind<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a RepositoryError> {
    if let Some(QueryError::Repository(error)) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(CheckError::Repository(error)) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(RebuildError::Repository(error)) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(KeyError::Repository(error)) = error.downcast_ref() {
        return Some(error);
    }
    match error.downcast_ref() {
        Some(RestoreError::Repository(error)) => Some(error),
        _ => None,
    }
}

/// The error of the store that one of the libraries' own is or only passes on.
fn storage_behind<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a StorageError> {
    if let Some(error) = error.downcast_ref::<StorageError>() {
        return Some(error);
    }
    let passed_on = match (error.downcast_ref(), error.downcast_ref(), error.downcast_ref()) {
        (Some(InitError::Repository(error)), _, _) => Some(error),
        (_, Some(OpenError::Repository(error)), _) => Some(error),
        (_, _, Some(CreateError::Repository(error))) => Some(error),
        _ => behind(error).or_else(|| error.downcast_ref()),
    };
    match passed_on {
        Some(RepositoryError::Storage(error)) => Some(error),
        _ => None,
    }
}

fn source(error: &SourceError) -> Option<Exit> {
    match error {
        SourceError::Cancelled => Some(Exit::Interrupted),
        SourceError::Config(_) => Some(Exit::Usage),
        _ => None,
    }
}

fn repository(error: &RepositoryError) -> Option<Exit> {
    match error {
        RepositoryError::Cancelled => Some(Exit::Interrupted),
        RepositoryError::NewerVersion { .. } => Some(Exit::Failed),
        RepositoryError::Storage(error) => storage(error),
        // Storage that can't be reached hides behind a blob that can't be read.
        RepositoryError::UnreadableBlob { source, .. } => repository(source).or(Some(Exit::Corrupt)),
        error if error.is_damage() => Some(Exit::Corrupt),
        _ => None,
    }
}

fn storage(error: &StorageError) -> Option<Exit> {
    match error.kind() {
        StorageErrorKind::Unauthenticated => Some(Exit::CredentialsExpired),
        StorageErrorKind::HostKeyMismatch
        | StorageErrorKind::RateLimited
        | StorageErrorKind::Unavailable
        | StorageErrorKind::Timeout => Some(Exit::Unreachable),
        StorageErrorKind::QuotaExceeded => Some(Exit::NoSpace),
        // The engine asks only for objects that should be there.
        StorageErrorKind::NotFound | StorageErrorKind::RangeNotSatisfiable | StorageErrorKind::Integrity => {
            Some(Exit::Corrupt)
        }
        StorageErrorKind::Cancelled => Some(Exit::Interrupted),
        _ => None,
    }
}

/// Whether a store says that it is not set up as it should be.
fn is_configuration(error: &(dyn StdError + 'static)) -> bool {
    std::iter::successors(Some(error), |error| (*error).source())
        .filter_map(storage_behind)
        .any(|error| error.kind() == StorageErrorKind::Config)
}

/// Whether a server is not the known one.
fn is_stranger(error: &(dyn StdError + 'static)) -> bool {
    std::iter::successors(Some(error), |error| (*error).source())
        .filter_map(storage_behind)
        .any(|error| error.kind() == StorageErrorKind::HostKeyMismatch)
}

/// What can be done about a failure of this kind, whatever the command.
pub(super) fn hint_of(exit: Exit, error: &(dyn StdError + 'static)) -> Option<&'static str> {
    match exit {
        Exit::Failed if is_configuration(error) => {
            Some("look at the address and the options of the repository; `backup backends NAME` tells what they mean")
        }
        Exit::NoSpace => Some("make room and run the same command again: what was stored is kept and used"),
        Exit::Unreachable if is_stranger(error) => {
            Some("`backup backends trust REPOSITORY` shows the key of a server that nobody knows yet, to compare it")
        }
        Exit::Unreachable => Some("run the same command again later: what was stored is kept and used"),
        Exit::CredentialsExpired => Some(
            "give the store new credentials; `backup backends login REPOSITORY` asks for consent where its service wants that",
        ),
        Exit::Corrupt => Some("`backup check --read-data` says what is damaged and which files it hurts"),
        Exit::Interrupted => Some("run the same command again: it goes on from what was finished"),
        Exit::Done
        | Exit::Failed
        | Exit::Usage
        | Exit::Incomplete
        | Exit::VerificationFailed
        | Exit::NoRepository
        | Exit::Held
        | Exit::WrongKey => None,
    }
}
