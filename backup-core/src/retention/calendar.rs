//! Policies by the calendar: grandfather, father, son; and rolling tiers.

use std::collections::BTreeSet;

use jiff::Zoned;
use serde::{Deserialize, Serialize};

use super::group::{Scope, decide_groups};
use super::units::{Age, Count, ZoneName, zoned};
use super::{RetentionDecision, RetentionPolicy, SnapshotFacts};
use crate::clock::Timestamp;

/// Keeps the newest snapshot of each hour, day, week, month, quarter and year, so many of each.
///
/// Hours and days without a snapshot don't count. A snapshot that several rules keep counts in each. As long as a rule
/// has fewer than its number, it keeps the oldest snapshot too, which later becomes one of its own; so the first backup
/// of all isn't lost while the years fill up. A rule set to zero is as good as left out, and a policy without a rule
/// keeps everything.
///
/// Days, weeks (ISO 8601, from Monday), months, quarters and years are those of `time_zone`; an hour that comes twice
/// when clocks are set back is two hours.
///
/// ```
/// use backup_core::retention::{Count, Gfs};
///
/// let policy = Gfs { daily: Some(Count::Exactly(7)), monthly: Some(Count::Exactly(12)), ..Gfs::default() };
/// assert!(policy.weekly.is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gfs {
    /// The newest of all, so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Count>,
    /// The newest of an hour, so many hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<Count>,
    /// The newest of a day, so many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<Count>,
    /// The newest of a week, so many weeks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<Count>,
    /// The newest of a month, so many months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<Count>,
    /// The newest of a quarter, so many quarters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarterly: Option<Count>,
    /// The newest of a year, so many years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yearly: Option<Count>,
    /// The time zone of the calendar; UTC unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<ZoneName>,
}

#[derive(Clone, Copy)]
enum Period {
    Last,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Period {
    fn word(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Quarter => "quarterly",
            Self::Year => "yearly",
        }
    }

    /// Two times have the same key when they lie in the same period.
    fn key(self, place: usize, time: &Zoned) -> (i64, i64) {
        let (year, month) = (i64::from(time.year()), i64::from(time.month()));
        let offset = i64::from(time.offset().seconds());
        match self {
            Self::Last => (i64::try_from(place).unwrap_or(i64::MAX), 0),
            // With the offset: the hour before clocks are set back and the one after have the same name.
            Self::Hour => ((time.timestamp().as_second() + offset).div_euclid(3600), offset),
            Self::Day => (year, i64::from(time.day_of_year())),
            Self::Week => {
                let week = time.date().iso_week_date();
                (i64::from(week.year()), i64::from(week.week()))
            }
            Self::Month => (year, month),
            Self::Quarter => (year, (month - 1) / 3),
            Self::Year => (year, 0),
        }
    }

    /// The period in words: `2026-11-20`, `2026-W47`, `2026-Q4`.
    fn name(self, time: &Zoned) -> String {
        match self {
            Self::Last => String::new(),
            Self::Hour => format!(" {} {:02}:00{}", time.date(), time.hour(), time.offset()),
            Self::Day => format!(" {}", time.date()),
            Self::Week => {
                let week = time.date().iso_week_date();
                format!(" {:04}-W{:02}", week.year(), week.week())
            }
            Self::Month => format!(" {:04}-{:02}", time.year(), time.month()),
            Self::Quarter => format!(" {:04}-Q{}", time.year(), (time.month() - 1) / 3 + 1),
            Self::Year => format!(" {:04}", time.year()),
        }
    }
}

impl Gfs {
    /// The rules that are set, finest first.
    fn rules(&self) -> impl Iterator<Item = (Period, Count)> + Clone {
        let rules = [
            (Period::Last, self.last),
            (Period::Hour, self.hourly),
            (Period::Day, self.daily),
            (Period::Week, self.weekly),
            (Period::Month, self.monthly),
            (Period::Quarter, self.quarterly),
            (Period::Year, self.yearly),
        ];
        rules.into_iter().filter_map(|(period, count)| Some((period, count?))).filter(|(_, count)| count.exceeds(0))
    }

    /// Whether any rule is set.
    pub fn has_rules(&self) -> bool {
        self.rules().next().is_some()
    }

    fn decide_group(&self, group: &[&SnapshotFacts]) -> Vec<RetentionDecision> {
        let utc = ZoneName::utc();
        let zone = self.time_zone.as_ref().unwrap_or(&utc).zone();
        let times: Vec<Zoned> = group.iter().map(|snapshot| zoned(snapshot.received, zone)).collect();
        let mut keep: Vec<Vec<String>> = vec![Vec::new(); group.len()];
        let mut forget = keep.clone();
        for (period, count) in self.rules() {
            let word = period.word();
            // A set, and not only the last period: where clocks are set back across midnight, a day comes twice.
            let mut seen = BTreeSet::new();
            for (place, time) in times.iter().enumerate() {
                let key = period.key(place, time);
                let (full, fresh) = (!count.exceeds(seen.len()), !seen.contains(&key));
                let name = period.name(time);
                let oldest = place + 1 == times.len();
                match (full, fresh) {
                    (false, true) => {
                        seen.insert(key);
                        let reason = if name.is_empty() { format!("{word} {count}") } else { format!("{word}{name}") };
                        keep[place].push(reason);
                    }
                    (false, false) if oldest => {
                        keep[place].push(format!("{word}, the oldest until there are {count}"));
                    }
                    (_, false) => forget[place].push(format!("{word}{name} has a newer one")),
                    (true, true) => forget[place].push(format!("{word}, there are {count} newer")),
                }
            }
        }
        let decide = |(keep, forget): (Vec<String>, Vec<String>)| match keep.is_empty() {
            false => RetentionDecision { keep: true, reasons: keep },
            true => RetentionDecision { keep: false, reasons: forget },
        };
        keep.into_iter().zip(forget).map(decide).collect()
    }
}

impl RetentionPolicy for Gfs {
    fn decide(&self, snapshots: &[SnapshotFacts], _: Timestamp) -> Vec<RetentionDecision> {
        if !self.has_rules() {
            return vec![RetentionDecision::keep("no count is set"); snapshots.len()];
        }
        decide_groups(snapshots, Scope::Group, |group| self.decide_group(group))
    }
}

/// Keeps the newest snapshot of each stretch of `interval`, so many stretches: every five minutes, the last ten.
///
/// Stretches are counted from 1970 in UTC, so that they lie the same way whatever snapshots there are; those without a
/// snapshot don't count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rolling {
    /// How long a stretch is, at least a second, without months and years.
    pub interval: Age,
    /// How many stretches; zero sets no rule and so keeps everything.
    pub count: Count,
}

impl Rolling {
    /// The stretch in whole seconds, `None` when it has no fixed length or is shorter than one.
    pub(super) fn interval_secs(&self) -> Option<i64> {
        i64::try_from(self.interval.fixed()?.as_secs()).ok().filter(|secs| *secs > 0)
    }
}

impl RetentionPolicy for Rolling {
    fn decide(&self, snapshots: &[SnapshotFacts], _: Timestamp) -> Vec<RetentionDecision> {
        let Self { interval, count } = *self;
        let Some(interval_secs) = self.interval_secs().filter(|_| count.exceeds(0)) else {
            return vec![RetentionDecision::keep("no usable interval or count is set"); snapshots.len()];
        };
        decide_groups(snapshots, Scope::Group, |group| {
            let (mut stretches, mut last) = (0_usize, None);
            let decide = |snapshot: &&SnapshotFacts| {
                let stretch = Some(snapshot.received.secs().div_euclid(interval_secs));
                let (fresh, full) = (stretch != last, !count.exceeds(stretches));
                if fresh && !full {
                    (stretches, last) = (stretches + 1, stretch);
                    RetentionDecision::keep(format!("every {interval}, the last {count}"))
                } else if fresh {
                    RetentionDecision::forget(format!("every {interval}, there are {count} newer"))
                } else {
                    RetentionDecision::forget(format!("a newer one within the same {interval}"))
                }
            };
            group.iter().map(decide).collect()
        })
    }
}

#[cfg(test)]
mod tests;
