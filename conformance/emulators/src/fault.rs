//! A script of faults: which requests meet which trouble.

use std::sync::{Arc, Mutex, PoisonError};

use crate::gate::Gate;
use crate::message::{Reply, Request};

/// What happens to a request that a rule picks. `F` is what only one vendor's emulator can do wrong.
#[derive(Debug, Clone)]
pub enum Effect<F> {
    /// It is answered with this and changes nothing.
    Answer(Reply),
    /// It is done, and then answered with this: the server says that it failed, and it did not.
    DoAndAnswer(Reply),
    /// It is done, and the connection is closed without a reply.
    DoAndCut,
    /// The connection is closed when so many bytes of the request's body have arrived.
    CutRequest {
        /// Bytes of the body that arrive.
        after_bytes: usize,
    },
    /// It is done, and the connection is closed when so many bytes of the reply's body are sent.
    CutReply {
        /// Bytes of the body that are sent.
        after_bytes: usize,
    },
    /// It is done, and nothing comes any more when so many bytes of the reply's body are sent, until the gate is opened; then it is cut.
    StallReply {
        /// Bytes of the body that are sent.
        after_bytes: usize,
        /// What it waits for.
        gate: Gate,
    },
    /// It is done, and the reply ends as if it were whole after so many bytes of its body.
    ShortenReply {
        /// Bytes of the body that are sent.
        to_bytes: usize,
    },
    /// It is done, and one bit of this byte of the reply's body is another one.
    FlipReply {
        /// The byte's position.
        at_byte: usize,
    },
    /// Nothing is done before the gate is opened.
    Hold(Gate),
    /// It is done, and there is no reply before the gate is opened.
    DoAndHold(Gate),
    /// Something that only this vendor does.
    Vendor(F),
}

/// Which requests meet an effect, and how often.
#[derive(Debug, Clone)]
pub struct Rule<F> {
    host: Option<String>,
    method: Option<String>,
    path_part: Option<String>,
    query_part: Option<String>,
    skip: u64,
    every: u64,
    times: u64,
    effect: Effect<F>,
}

impl<F> Rule<F> {
    /// A rule that picks every request, once.
    pub fn once(effect: Effect<F>) -> Self {
        Self { host: None, method: None, path_part: None, query_part: None, skip: 0, every: 1, times: 1, effect }
    }

    /// A rule that picks every request, always.
    pub fn always(effect: Effect<F>) -> Self {
        Self { times: u64::MAX, ..Self::once(effect) }
    }

    /// Only requests to this host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only requests whose path, as it is sent, has this in it.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path_part = Some(part.to_owned());
        self
    }

    /// Only requests whose query, as it is sent, has this in it.
    #[must_use]
    pub fn query(mut self, part: &str) -> Self {
        self.query_part = Some(part.to_owned());
        self
    }

    /// Leaves the first ones alone.
    #[must_use]
    pub fn after(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    /// Of those that are left picks every n-th, beginning with the n-th.
    ///
    /// # Panics
    /// When it is 0.
    #[must_use]
    pub fn every(mut self, every: u64) -> Self {
        assert!(every > 0, "every 0th request is none");
        self.every = every;
        self
    }

    /// Picks so many.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    fn matches(&self, request: &Request) -> bool {
        let holds = |part: &Option<String>, whole: &str| part.as_ref().is_none_or(|part| whole.contains(part.as_str()));
        self.host.as_ref().is_none_or(|host| *host == request.host)
            && self.method.as_ref().is_none_or(|method| method == request.method.as_str())
            && holds(&self.path_part, &request.path)
            && holds(&self.query_part, &request.query)
    }
}

/// A rule that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleId(usize);

/// The script of an emulator. Of several rules that pick a request the oldest takes effect, and only that one counts it.
#[derive(Debug)]
pub struct Faults<F>(Arc<Mutex<Vec<Script<F>>>>);

#[derive(Debug)]
struct Script<F> {
    rule: Rule<F>,
    seen: u64,
    met: u64,
    is_removed: bool,
}

impl<F> Clone for Faults<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> Default for Faults<F> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<F: Clone> Faults<F> {
    fn scripts<T>(&self, look: impl FnOnce(&mut Vec<Script<F>>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a rule.
    pub fn add(&self, rule: Rule<F>) -> RuleId {
        self.scripts(|scripts| {
            scripts.push(Script { rule, seen: 0, met: 0, is_removed: false });
            RuleId(scripts.len() - 1)
        })
    }

    /// How many requests a rule has taken effect on.
    ///
    /// # Panics
    /// When it is another emulator's rule.
    pub fn met(&self, rule: RuleId) -> u64 {
        self.scripts(|scripts| scripts[rule.0].met)
    }

    /// Ends one rule.
    ///
    /// # Panics
    /// When it is another emulator's rule.
    pub fn remove(&self, rule: RuleId) {
        self.scripts(|scripts| scripts[rule.0].is_removed = true);
    }

    /// Ends all rules.
    pub fn clear(&self) {
        self.scripts(|scripts| scripts.iter_mut().for_each(|script| script.is_removed = true));
    }

    /// What happens to a request, which this counts.
    pub(crate) fn effect(&self, request: &Request) -> Option<Effect<F>> {
        self.scripts(|scripts| {
            for script in scripts.iter_mut().filter(|script| !script.is_removed && script.rule.matches(request)) {
                script.seen += 1;
                let due = script.seen.saturating_sub(script.rule.skip);
                if due > 0 && due.is_multiple_of(script.rule.every) && script.met < script.rule.times {
                    script.met += 1;
                    return Some(script.rule.effect.clone());
                }
            }
            None
        })
    }
}
