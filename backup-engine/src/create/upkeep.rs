//! What has to go on however long one piece of work takes: progress, the session's heartbeat, the index of what is stored.

use std::time::Duration;

use backup_core::{Clock, Event, Monitor, Phase, Work};

use super::checkpoint::Session;
use super::counters::Counters;
use crate::error::RepositoryError;
use crate::pack::upload::Uploader;

/// The longest wait for work to be finished before upkeep is seen to: a file of terabytes, a pack on a slow line, or an index of many
/// objects is one piece of work. Real time; whether something is due is up to the repository's clock.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// Progress is reported at most so often.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// Keeps a run visible, alive and findable.
pub(super) struct Upkeep<'a, 's> {
    pub(super) clock: &'a dyn Clock,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) counters: &'a Counters,
    pub(super) uploader: &'a Uploader,
    pub(super) session: &'a mut Session<'s>,
    pub(super) index_every_blobs: usize,
    /// When progress was reported last.
    pub(super) reported: Option<Duration>,
    /// How much there is to read, once everything is read.
    pub(super) total: Option<Work>,
}

impl Upkeep<'_, '_> {
    /// Does what is due; called after each piece of work, and at least every [`TICK`].
    pub(super) fn tick(&mut self) -> Result<(), RepositoryError> {
        if self.uploader.unindexed_blobs() >= self.index_every_blobs {
            self.uploader.write_index()?;
        }
        self.session.keep_alive()?;
        let now = self.clock.monotonic();
        if self.reported.is_none_or(|reported| now.saturating_sub(reported) >= PROGRESS_EVERY) {
            self.reported = Some(now);
            self.report();
        }
        Ok(())
    }

    /// Says that everything is read.
    pub(super) fn all_is_read(&mut self) {
        self.total = Some(self.counters.done());
        self.report();
    }

    /// Waits until every pack is stored.
    pub(super) fn wait_for_uploads(&mut self) -> Result<(), RepositoryError> {
        while !self.uploader.wait_at_most(TICK)? {
            self.tick()?;
        }
        Ok(())
    }

    fn report(&self) {
        let done = self.counters.done();
        self.monitor.event(&Event::Progress { phase: Phase::Capture, done, total: self.total });
    }
}
