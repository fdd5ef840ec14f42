//! Decorators: each wraps a store, adds one thing and is itself a store.
//!
//! Backends do the bare operation; everything around it is composed from these. From the inside out a remote store
//! wears: metrics (what the store really does), limit, idle timeout, throttle, retry, prefix. Retry stands outside
//! limit and timeout, so that waiting for the next attempt holds no slot and a timed-out attempt is repeated.

mod around;
pub mod fault;
mod idle;
mod limit;
mod metrics;
mod prefix;
mod read_only;
mod retry;
mod throttle;

pub use around::{Around, Call, Layered, Reply};
pub use fault::{FaultBackend, FaultKind, FaultRule, OperationRecord, Outcome};
pub use idle::IdleTimeout;
pub use limit::Limit;
pub use metrics::{Latency, Metrics, OperationMetrics};
pub use prefix::Prefix;
pub use read_only::ReadOnly;
pub use retry::{Retry, RetryPolicy};
pub use throttle::Throttle;
