//! What an emulator was asked and what it answered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Exchanges that are kept: more than any test makes, so that a long run doesn't fill the memory.
const MAX_KEPT: usize = 100_000;

/// One request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The host that was asked, without a port.
    pub host: String,
    /// The method.
    pub method: String,
    /// The path as it was sent.
    pub path: String,
    /// The query as it was sent.
    pub query: String,
    /// The header `Content-Range` of the request.
    pub content_range: Option<String>,
    /// Bytes of the request's body that arrived.
    pub request_bytes: u64,
    /// The status of the reply; `None` where the connection was cut before there was one.
    pub status: Option<u16>,
    /// Bytes of the reply's body, as far as it was to be sent.
    pub reply_bytes: u64,
}

/// The exchanges of an emulator, oldest first; the oldest are forgotten when there are very many.
#[derive(Debug, Clone, Default)]
pub struct Trace(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    exchanges: VecDeque<Exchange>,
    running: usize,
    most_at_once: usize,
}

impl Trace {
    fn kept<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All exchanges that are kept.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.kept(|kept| kept.exchanges.iter().cloned().collect())
    }

    /// How many exchanges `wanted` picks.
    pub fn count(&self, wanted: impl Fn(&Exchange) -> bool) -> usize {
        self.kept(|kept| kept.exchanges.iter().filter(|exchange| wanted(exchange)).count())
    }

    /// The most requests that were answered at the same time.
    pub fn most_at_once(&self) -> usize {
        self.kept(|kept| kept.most_at_once)
    }

    /// Forgets everything up to now.
    pub fn clear(&self) {
        self.kept(|kept| {
            kept.exchanges.clear();
            kept.most_at_once = kept.running;
        });
    }

    /// A request begins. It ends, and is kept as far as it came, when the result is dropped: also where the client goes away.
    pub(crate) fn begin(&self, exchange: Exchange) -> Running {
        self.kept(|kept| {
            kept.running += 1;
            kept.most_at_once = kept.most_at_once.max(kept.running);
        });
        Running { trace: self.clone(), exchange }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Running {
    trace: Trace,
    pub(crate) exchange: Exchange,
}

impl Drop for Running {
    fn drop(&mut self) {
        let exchange = self.exchange.clone();
        self.trace.kept(|kept| {
            kept.running -= 1;
            if kept.exchanges.len() == MAX_KEPT {
                kept.exchanges.pop_front();
            }
            kept.exchanges.push_back(exchange);
        });
    }
}
