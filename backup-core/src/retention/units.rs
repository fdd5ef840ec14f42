//! The values policies are made of: counts, lengths of time, sizes and time zones.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo};
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;

/// How many to keep: a number or `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    /// So many.
    Exactly(u32),
    /// However many there are.
    All,
}

impl Count {
    /// Whether `have` are still fewer.
    pub(super) fn exceeds(self, have: usize) -> bool {
        match self {
            Self::Exactly(count) => usize::try_from(count).is_ok_and(|count| have < count),
            Self::All => true,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(count) => write!(f, "{count}"),
            Self::All => f.write_str("all"),
        }
    }
}

/// A length of time: `90d`, `12h`, `1y 6mo`, always more than nothing.
///
/// Days are 24 hours and months those of the calendar, both in UTC. A bare `m` is refused: it stands for minutes in some
/// programs and for months in others.
///
/// ```
/// use backup_core::Timestamp;
/// use backup_core::retention::Age;
///
/// let age: Age = "1mo".parse()?;
/// assert_eq!(age.before(Timestamp::from_secs(5_097_600)), Timestamp::from_secs(2_678_400));
/// assert!("6m".parse::<Age>().is_err() && "0d".parse::<Age>().is_err());
/// # Ok::<(), backup_core::retention::InvalidAge>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Age(Span);

/// A text that is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {EXPECTED_AGE}")]
pub struct InvalidAge;

const EXPECTED_AGE: &str =
    "a length of time such as `90d`, `12h`, `30min` or `1y 6mo` (`min` for minutes, `mo` for months)";

impl Age {
    /// This long before a time, or the earliest time there is.
    pub fn before(&self, time: Timestamp) -> Timestamp {
        let earlier = zoned(time, &TimeZone::UTC).checked_sub(self.0).map(|earlier| earlier.timestamp());
        match earlier {
            Ok(earlier) => timestamp(earlier),
            Err(_) => Timestamp::from_secs(i64::MIN),
        }
    }

    /// The same length wherever it begins, `None` when it holds months or years.
    pub fn fixed(&self) -> Option<Duration> {
        let calendar = self.0.get_years() != 0 || self.0.get_months() != 0;
        let length = self.0.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        if calendar { None } else { Duration::try_from(length).ok() }
    }
}

impl FromStr for Age {
    type Err = InvalidAge;

    fn from_str(text: &str) -> Result<Self, InvalidAge> {
        let words = text.split(|c: char| !c.is_alphabetic());
        if words.into_iter().any(|unit| unit == "m" || unit == "M") {
            return Err(InvalidAge);
        }
        let span: Span = text.parse().map_err(|_| InvalidAge)?;
        if span.is_positive() { Ok(Self(span)) } else { Err(InvalidAge) }
    }
}

impl PartialEq for Age {
    fn eq(&self, other: &Self) -> bool {
        self.0.fieldwise() == other.0.fieldwise()
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not jiff's own way of writing: its compact form has the bare `m` that is refused here.
        let parts = [
            (i64::from(self.0.get_years()), "y"),
            (i64::from(self.0.get_months()), "mo"),
            (i64::from(self.0.get_weeks()), "w"),
            (i64::from(self.0.get_days()), "d"),
            (i64::from(self.0.get_hours()), "h"),
            (self.0.get_minutes(), "min"),
            (self.0.get_seconds(), "s"),
            (self.0.get_milliseconds(), "ms"),
            (self.0.get_microseconds(), "us"),
            (self.0.get_nanoseconds(), "ns"),
        ];
        let mut between = "";
        for (count, unit) in parts.into_iter().filter(|(count, _)| *count != 0) {
            write!(f, "{between}{count}{unit}")?;
            between = " ";
        }
        Ok(())
    }
}

/// A time zone by its name in the IANA database: `Europe/Berlin`, `UTC`.
///
/// ```
/// use backup_core::retention::ZoneName;
///
/// assert_eq!("Europe/Berlin".parse::<ZoneName>()?.to_string(), "Europe/Berlin");
/// assert!("Europe/Nowhere".parse::<ZoneName>().is_err());
/// # Ok::<(), backup_core::retention::InvalidZone>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneName {
    name: String,
    zone: TimeZone,
}

/// A text that is no time zone's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {EXPECTED_ZONE}")]
pub struct InvalidZone;

const EXPECTED_ZONE: &str = "a time zone such as `Europe/Berlin` or `UTC`";

impl ZoneName {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

impl FromStr for ZoneName {
    type Err = InvalidZone;

    fn from_str(text: &str) -> Result<Self, InvalidZone> {
        let zone = TimeZone::get(text).map_err(|_| InvalidZone)?;
        Ok(Self { name: text.to_owned(), zone })
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A number of bytes, written as `500MB` (millions), `16MiB` (1024 × 1024) or a bare number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const EXPECTED_SIZE: &str = "a size such as `500MB`, `16MiB` or a number of bytes";

impl FromStr for ByteSize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        text.parse::<bytesize::ByteSize>().map(|size| Self(size.as_u64())).map_err(|_| EXPECTED_SIZE)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", bytesize::ByteSize(self.0).display().si())
    }
}

/// A time in a time zone; times that the calendar doesn't reach become its first or last.
pub(super) fn zoned(time: Timestamp, zone: &TimeZone) -> jiff::Zoned {
    let nanos = i32::try_from(time.nanos()).unwrap_or_default();
    let end = if time.secs() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::new(time.secs(), nanos).unwrap_or(end).to_zoned(zone.clone())
}

fn timestamp(time: jiff::Timestamp) -> Timestamp {
    let second = time.as_nanosecond().div_euclid(1_000_000_000);
    let nanos = time.as_nanosecond().rem_euclid(1_000_000_000);
    let parts = (i64::try_from(second), u32::try_from(nanos));
    match parts {
        (Ok(second), Ok(nanos)) => Timestamp::new(second, nanos).unwrap_or(Timestamp::from_secs(second)),
        _ => Timestamp::from_secs(i64::MIN),
    }
}

macro_rules! read_as_text {
    ($type:ty, $expected:expr, { $($number:tt)* }) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
                    }

                    $($number)*
                }
                deserializer.deserialize_any(Text)
            }
        }
    };
}

read_as_text! { Age, EXPECTED_AGE, {} }
read_as_text! { ZoneName, EXPECTED_ZONE, {} }
read_as_text! { ByteSize, EXPECTED_SIZE, {
    fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(bytes))
    }

    fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
        u64::try_from(bytes).map(ByteSize).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
    }
} }
read_as_text! { Count, "a whole number or `all`", {
    fn visit_u64<E: serde::de::Error>(self, count: u64) -> Result<Count, E> {
        u32::try_from(count).map(Count::Exactly).map_err(|_| E::invalid_value(Unexpected::Unsigned(count), &self))
    }

    fn visit_i64<E: serde::de::Error>(self, count: i64) -> Result<Count, E> {
        u32::try_from(count).map(Count::Exactly).map_err(|_| E::invalid_value(Unexpected::Signed(count), &self))
    }
} }

impl FromStr for Count {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(Self::Exactly) }
    }
}

macro_rules! written_as_text {
    ($($type:ty)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

written_as_text!(Age ZoneName);

impl Serialize for ByteSize {
    /// The exact number of bytes.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Exactly(count) => serializer.serialize_u32(*count),
            Self::All => serializer.serialize_str("all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_reads_units_and_refuses_what_is_ambiguous_or_nothing() {
        let secs = |text: &str| text.parse::<Age>().unwrap().fixed().map(|length| length.as_secs());
        assert_eq!(secs("90d"), Some(90 * 86_400));
        assert_eq!(secs("1w 2h 30min 5s"), Some(7 * 86_400 + 9_005));
        assert_eq!(secs("3 days"), Some(3 * 86_400));
        assert_eq!(secs("1mo"), None);
        for bad in ["", "90", "d", "6m", "1y6m", "6M", "0d", "-3d", "3d ago", "x", "99999999999999999999d"] {
            assert_eq!(bad.parse::<Age>(), Err(InvalidAge), "{bad}");
        }
    }

    #[test]
    fn age_goes_back_by_the_calendar_and_stops_at_the_beginning_of_time() {
        let march_31 = Timestamp::from_secs(1_774_915_200);
        assert_eq!(march_31.to_string(), "2026-03-31T00:00:00Z");
        assert_eq!("1mo".parse::<Age>().unwrap().before(march_31).to_string(), "2026-02-28T00:00:00Z");
        assert_eq!("1y".parse::<Age>().unwrap().before(march_31).to_string(), "2025-03-31T00:00:00Z");
        let half = Timestamp::new(-1, 500_000_000).unwrap();
        assert_eq!("1s".parse::<Age>().unwrap().before(half), Timestamp::new(-2, 500_000_000).unwrap());
        assert_eq!("19000y".parse::<Age>().unwrap().before(march_31), Timestamp::from_secs(i64::MIN));
        let age: Age = "1d".parse().unwrap();
        assert_eq!(age.before(Timestamp::from_secs(i64::MIN)), Timestamp::from_secs(i64::MIN));
        assert!(age.before(Timestamp::from_secs(i64::MAX)) > march_31);
    }

    #[test]
    fn values_are_written_as_they_can_be_read() {
        for text in ["90d", "1y 6mo", "12h", "1w 2d 30min 5s", "7ms 8us 9ns"] {
            let age: Age = text.parse().unwrap();
            assert_eq!(age.to_string(), text);
            let again: Age = serde_json::from_str(&serde_json::to_string(&age).unwrap()).unwrap();
            assert_eq!(again, age, "{text}");
        }
        for size in ["500MB", "16MiB", "1024", "0"] {
            let size: ByteSize = size.parse().unwrap();
            assert_eq!(serde_json::from_str::<ByteSize>(&serde_json::to_string(&size).unwrap()).unwrap(), size);
        }
        assert_eq!("500MB".parse(), Ok(ByteSize(500_000_000)));
        assert_eq!("16MiB".parse(), Ok(ByteSize(16 << 20)));
        assert_eq!(serde_json::from_str::<Count>("\"all\"").unwrap(), Count::All);
        assert_eq!(serde_json::from_str::<Count>("7").unwrap(), Count::Exactly(7));
        for bad in ["-1", "\"none\"", "4294967296", "1.5"] {
            assert!(serde_json::from_str::<Count>(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<ByteSize>("-1").is_err());
    }
}
