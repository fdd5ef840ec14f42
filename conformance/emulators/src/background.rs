//! A thread with a runtime of its own, which ends when its owner is dropped.

use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Work that goes on in a thread of its own, whatever the test is: plain, asynchronous, or waiting for another program.
#[derive(Debug)]
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts the work that `begin` makes within the new runtime.
    ///
    /// # Panics
    /// When the system gives no thread or no runtime.
    pub(crate) fn start<W: Future<Output = ()>>(name: &str, begin: impl FnOnce() -> W + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build().expect("the system gives a runtime");
        let serve = move || {
            runtime.block_on(async {
                // Tasks that the work began end with the runtime, which is dropped next.
                tokio::select! {
                    () = begin() => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(serve);
        Self { stop: Some(stop), thread: Some(thread.expect("the system gives a thread")) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, that was printed; another panic here would hide the test's own.
            let _ = thread.join();
        }
    }
}
