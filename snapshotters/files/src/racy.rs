//! Telling changes apart that the file system records with the same time.
//!
//! The next capture takes a file for unchanged when its times are the same. A file system's clock moves in steps, so a
//! file that is written, captured and written again within one step has the same times after both writes, and the second
//! one would never be captured. Every file that may still be in its step is marked *racy* and read again next time.

use std::time::Duration;

use backup_core::Timestamp;

/// Steps of file systems that keep fractions of a second: the kernel's tick, at most 10 ms, with room for clocks that
/// are set while they run.
const FINE_STEP: Duration = Duration::from_millis(50);

/// Steps of file systems that keep whole seconds; FAT counts in twos.
const COARSE_STEP: Duration = Duration::from_secs(2);

/// How long a capture may take. A time further ahead of the capture's beginning was set by hand or by a wrong clock, and
/// a change made now can't carry it.
const LONGEST_CAPTURE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Decides whether a file's times were still moving when a capture began.
///
/// It compares with the beginning, not with the moment a file is read: what changes during a capture is racy as well,
/// which costs at most one more reading. A server whose clock is behind ours by more than a step is not seen through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recency {
    began: Timestamp,
}

impl Recency {
    pub(crate) fn at(began: Timestamp) -> Self {
        Self { began }
    }

    /// Whether a later change could leave both times as they are.
    pub(crate) fn is_racy(self, modified: Timestamp, changed: Timestamp) -> bool {
        let coarse = modified.nanos() == 0 && changed.nanos() == 0;
        let step = if coarse { COARSE_STEP } else { FINE_STEP };
        let from = self.began.saturating_sub(step);
        let to = self.began.saturating_add(LONGEST_CAPTURE);
        // Both count: some file systems have no change time of their own.
        [modified, changed].into_iter().any(|time| from <= time && time <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn racy_at(began_secs: i64, modified: (i64, u32), changed: (i64, u32)) -> bool {
        let time = |(secs, nanos)| Timestamp::new(secs, nanos).unwrap();
        Recency::at(Timestamp::from_secs(began_secs)).is_racy(time(modified), time(changed))
    }

    #[test]
    fn fine_times_are_racy_for_fifty_milliseconds() {
        assert!(racy_at(100, (99, 960_000_000), (99, 960_000_000)));
        assert!(!racy_at(100, (99, 940_000_000), (99, 940_000_000)));
    }

    #[test]
    fn whole_seconds_are_racy_for_two() {
        assert!(racy_at(100, (98, 0), (98, 0)));
        assert!(!racy_at(100, (97, 0), (97, 0)));
        assert!(!racy_at(100, (98, 0), (98, 1)), "one time with a fraction shows that the file system keeps them");
    }

    #[test]
    fn changes_during_the_capture_are_racy() {
        assert!(racy_at(100, (5000, 7), (5000, 7)));
        assert!(racy_at(100, (7, 7), (5000, 7)), "a change time alone is enough: times can be set back");
    }

    #[test]
    fn times_that_no_change_of_today_can_carry_are_not_racy() {
        assert!(!racy_at(100, (4_000_000_000, 7), (50, 7)));
    }
}
