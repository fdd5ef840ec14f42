//! What listing commands share: giving lines out from another thread, and parts of trees that can't be read.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use backup_engine::query::{QueryError, UnreadParts};

use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::paths;

/// Writes lines from the thread that a listing runs on, and remembers why it stopped.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Option<CliError>>>);

impl Lines {
    /// Goes on as long as lines can be written.
    pub(super) fn written(&self, written: Result<(), CliError>) -> ControlFlow<()> {
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// Why lines could not be written, if they could not.
    pub(super) fn finish(&self) -> Result<(), CliError> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }
}

/// Says which parts of a tree could not be read.
pub(super) fn show(context: &Context, what: &str, unread: &UnreadParts) -> Exit {
    for damage in &unread.parts {
        context.output.warn(CliError::from_error(what, damage).in_one_line());
    }
    let rest = unread.count.saturating_sub(unread.parts.len() as u64);
    if rest > 0 {
        context.output.warn(format!("{what}: {rest} more parts can't be read"));
    }
    if unread.is_empty() { Exit::Done } else { Exit::Corrupt }
}

/// A question about a snapshot that was not answered.
pub(super) fn failed_in(snapshot: &str, message: impl Into<String>, error: &QueryError) -> CliError {
    let failed = failed(message, error);
    match error {
        QueryError::NotInSnapshot(path) => failed.hint(paths::missing_hint(snapshot, path)),
        _ => failed,
    }
}

/// A question that was not answered.
pub(super) fn failed(message: impl Into<String>, error: &QueryError) -> CliError {
    let failed = CliError::from_error(message, error);
    match error {
        QueryError::NotInSnapshot(_) => {
            failed.hint("`backup ls SNAPSHOT` shows what is in it, with paths as they are wanted here")
        }
        _ => failed,
    }
}
