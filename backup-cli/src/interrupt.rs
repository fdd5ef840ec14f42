//! Ctrl-C and termination: once asks to stop, twice stops at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    listening: Arc<AtomicBool>,
}

impl Interrupt {
    pub(crate) fn new() -> Self {
        Self { token: CancelToken::new(), asked: Arc::new(Notify::new()), listening: Arc::default() }
    }

    /// What operations look at.
    pub(crate) fn token(&self) -> CancelToken {
        self.token.clone()
    }

    /// Begins to listen, unless it does already. Before that a signal ends the process as usual, which is right while
    /// nothing is under way.
    pub(crate) fn listen(&self, output: &Output) {
        if self.listening.swap(true, Ordering::AcqRel) {
            return;
        }
        let (this, output) = (self.clone(), output.clone());
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return output.warn(format!("Ctrl-C will stop this at once and not tidily: {error}")),
        };
        tokio::spawn(async move {
            signals.next().await;
            this.token.cancel();
            this.asked.notify_waiters();
            output.say("stopping at the next safe point; once more to stop at once");
            signals.next().await;
            quit();
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

/// What asks a process to stop.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        // Not the hang-up: catching it would undo `nohup`.
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What asks a process to stop.
#[cfg(windows)]
struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
    close: tokio::signal::windows::CtrlClose,
}

#[cfg(windows)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: tokio::signal::windows::ctrl_c()?, close: tokio::signal::windows::ctrl_close()? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.close.recv() => {}
        }
    }
}
