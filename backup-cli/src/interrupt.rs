//! Ctrl-C and termination: once asks to stop, twice stops at once.

use std::sync::Arc;

use backup_core::CancelToken;
use tokio::sync::Notify;

use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::Output;

/// The request to stop.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    token: CancelToken,
    asked: Arc<Notify>,
}

impl Interrupt {
    pub(crate) fn new() -> Self {
        Self { token: CancelToken::new(), asked: Arc::new(Notify::new()) }
    }

    /// What operations look at.
    pub(crate) fn token(&self) -> CancelToken {
        self.token.clone()
    }

    /// Begins to listen. Before that a signal ends the process as usual, which is right while nothing is under way or a
    /// password is being typed.
    pub(crate) fn listen(&self, output: &Output) {
        let (this, output) = (self.clone(), output.clone());
        tokio::spawn(async move {
            if signal().await.is_err() {
                return;
            }
            this.token.cancel();
            this.asked.notify_waiters();
            output.say("stopping at the next safe point; once more to stop at once");
            if signal().await.is_ok() {
                quit();
            }
        });
    }

    /// The result of work that doesn't look at the token, given up when somebody asks to stop.
    pub(crate) async fn or_stop<T>(&self, work: impl Future<Output = T>) -> Result<T, CliError> {
        let asked = self.asked.notified();
        if self.token.is_cancelled() {
            return Err(interrupted());
        }
        tokio::select! {
            biased;
            () = asked => Err(interrupted()),
            done = work => Ok(done),
        }
    }
}

/// The error of a command that was asked to stop before it changed anything.
pub(crate) fn interrupted() -> CliError {
    CliError::new(Exit::Interrupted, "interrupted")
}

#[expect(clippy::disallowed_methods, reason = "a second request to stop must not wait for anything")]
fn quit() -> ! {
    std::process::exit(Exit::Interrupted.code().into())
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
