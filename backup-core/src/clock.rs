//! Time as it is handed to the libraries, so that tests own it.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time: seconds and nanoseconds since 1970-01-01T00:00:00Z, leap seconds ignored.
///
/// Holds any file time a 64-bit system can express. Order is chronological.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp {
    secs: i64,
    nanos: u32,
}

impl Timestamp {
    /// The first instant of 1970, UTC.
    pub const EPOCH: Self = Self { secs: 0, nanos: 0 };

    /// A point in time from seconds and the nanoseconds after them.
    ///
    /// Returns `None` when `nanos` is a second or more.
    pub const fn new(secs: i64, nanos: u32) -> Option<Self> {
        if nanos < 1_000_000_000 { Some(Self { secs, nanos }) } else { None }
    }

    /// A point in time at a whole second.
    pub const fn from_secs(secs: i64) -> Self {
        Self { secs, nanos: 0 }
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.secs
    }

    /// Nanoseconds after [`Self::secs`], below 1 000 000 000.
    pub const fn nanos(self) -> u32 {
        self.nanos
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        if self <= earlier {
            return Duration::ZERO;
        }
        let secs = u64::try_from(i128::from(self.secs) - i128::from(earlier.secs)).unwrap_or(u64::MAX);
        match self.nanos.checked_sub(earlier.nanos) {
            Some(nanos) => Duration::new(secs, nanos),
            None => Duration::new(secs - 1, self.nanos + 1_000_000_000 - earlier.nanos),
        }
    }

    /// This time moved forward, stopping at the last representable second.
    pub fn saturating_add(self, by: Duration) -> Self {
        let nanos = self.nanos + by.subsec_nanos();
        let carry = i64::from(nanos >= 1_000_000_000);
        let secs = self.secs.saturating_add(i64::try_from(by.as_secs()).unwrap_or(i64::MAX)).saturating_add(carry);
        Self { secs, nanos: nanos % 1_000_000_000 }
    }

    /// This time moved back, stopping at the first representable second.
    pub fn saturating_sub(self, by: Duration) -> Self {
        let mut secs = self.secs.saturating_sub(i64::try_from(by.as_secs()).unwrap_or(i64::MAX));
        let nanos = match self.nanos.checked_sub(by.subsec_nanos()) {
            Some(nanos) => nanos,
            None => {
                secs = secs.saturating_sub(1);
                self.nanos + 1_000_000_000 - by.subsec_nanos()
            }
        };
        Self { secs, nanos }
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::EPOCH.saturating_add(after),
            Err(before) => Self::EPOCH.saturating_sub(before.duration()),
        }
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the second: `2026-11-21T08:44:17Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.secs) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{}s", self.secs),
        }
    }
}

/// Where the libraries take the time from.
///
/// A composition root passes [`SystemClock`]; a test passes [`ManualClock`].
pub trait Clock: fmt::Debug + Send + Sync {
    /// The wall-clock time.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary fixed moment; never goes back, for measuring spans.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// The machine's clock; its monotonic time starts at zero now.
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock enters")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock enters")]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still until it is moved.
///
/// ```
/// use std::time::Duration;
/// use backup_core::{Clock, ManualClock, Timestamp};
///
/// let clock = ManualClock::new(Timestamp::from_secs(100));
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.now(), Timestamp::from_secs(105));
/// ```
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<(Timestamp, Duration)>,
}

impl ManualClock {
    /// A clock showing `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { state: Mutex::new((now, Duration::ZERO)) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, (Timestamp, Duration)> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Moves wall-clock and monotonic time forward.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state();
        state.0 = state.0.saturating_add(by);
        state.1 += by;
    }

    /// Sets the wall clock, as an operator or a time server would; monotonic time is not touched.
    pub fn set(&self, now: Timestamp) {
        self.state().0 = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state().0
    }

    fn monotonic(&self) -> Duration {
        self.state().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_carries_nanoseconds_both_ways() {
        let t = Timestamp::new(10, 900_000_000).unwrap();
        let later = t.saturating_add(Duration::new(1, 200_000_000));
        assert_eq!(later, Timestamp::new(12, 100_000_000).unwrap());
        assert_eq!(later.saturating_since(t), Duration::new(1, 200_000_000));
        assert_eq!(later.saturating_sub(Duration::new(1, 200_000_000)), t);
        assert_eq!(t.saturating_since(later), Duration::ZERO);
    }

    #[test]
    fn time_is_shown_as_rfc_3339() {
        assert_eq!(Timestamp::from_secs(1_795_250_657).to_string(), "2026-11-21T08:44:17Z");
    }
}
