//! Numbers and times as people read them.

use std::time::Duration;

use backup_core::Timestamp;

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A number of bytes with three digits: `0 B`, `999 B`, `1.00 KiB`, `23.4 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = 0;
    let mut divisor: u64 = 1;
    // 1000 and not 1024, so that no number has four digits.
    while unit + 1 < UNITS.len() && bytes / divisor >= 1000 {
        divisor <<= 10;
        unit += 1;
    }
    if unit == 0 {
        return format!("{bytes} B");
    }
    let hundredths = u128::from(bytes) * 100 / u128::from(divisor);
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    match whole {
        0..10 => format!("{whole}.{rest:02} {}", UNITS[unit]),
        10..100 => format!("{whole}.{} {}", rest / 10, UNITS[unit]),
        _ => format!("{whole} {}", UNITS[unit]),
    }
}

/// A number with its digits in groups of three: `1 234 567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 file`, `2 files`.
pub(crate) fn things(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A span: `0.25 s`, `12.3 s`, `4 min 05 s`, `3 h 07 min`, `2 d 4 h`.
pub(crate) fn span(duration: Duration) -> String {
    let secs = duration.as_secs();
    match secs {
        0..10 => format!("{:.2} s", duration.as_secs_f64()),
        10..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", secs / 60, secs % 60),
        3600..86_400 => format!("{} h {:02} min", secs / 3600, secs / 60 % 60),
        _ => format!("{} d {} h", secs / 86_400, secs / 3600 % 24),
    }
}

/// A rate: bytes of a span, each second.
pub(crate) fn rate(bytes: u64, duration: Duration) -> String {
    format!("{}/s", size(per_second(bytes, duration)))
}

/// Bytes each second, zero for no time at all.
pub(crate) fn per_second(bytes: u64, duration: Duration) -> u64 {
    let millis = duration.as_millis();
    if millis == 0 {
        return 0;
    }
    u64::try_from(u128::from(bytes) * 1000 / millis).unwrap_or(u64::MAX)
}

/// A point in time in the machine's time zone, to the second: `2026-11-21 09:44:17`.
pub(crate) fn time(time: Timestamp) -> String {
    match jiff::Timestamp::from_second(time.secs()) {
        Ok(instant) => instant.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => time.to_string(),
    }
}

/// Lines of columns, each as wide as its widest cell; the last one is not padded.
pub(crate) fn columns(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let pad = widths[column] - cell.chars().count();
                if right.contains(&column) {
                    line.extend(std::iter::repeat_n(' ', pad));
                    line.push_str(cell);
                } else {
                    line.push_str(cell);
                    line.extend(std::iter::repeat_n(' ', pad));
                }
                line.push_str("  ");
            }
            line.trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_never_four() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "0.97 KiB"),
            (1024, "1.00 KiB"),
            (1 << 20, "1.00 MiB"),
            (24_536_700, "23.4 MiB"),
            (1023 << 20, "0.99 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn counts_are_grouped() {
        let counts = [0, 12, 123, 1234, 1_234_567].map(count);
        assert_eq!(counts, ["0", "12", "123", "1 234", "1 234 567"]);
        assert_eq!([things(1, "file", "files"), things(0, "file", "files")], ["1 file", "0 files"]);
    }

    #[test]
    fn spans_show_two_units() {
        let spans = [250, 12_340, 245_000, 11_220_000, 187_200_000].map(|millis| span(Duration::from_millis(millis)));
        assert_eq!(spans, ["0.25 s", "12.3 s", "4 min 05 s", "3 h 07 min", "2 d 4 h"]);
    }

    #[test]
    fn rate_of_no_time_is_no_division_by_zero() {
        assert_eq!(rate(100, Duration::ZERO), "0 B/s");
        assert_eq!(rate(3 << 20, Duration::from_millis(1500)), "2.00 MiB/s");
    }

    #[test]
    fn columns_are_aligned() {
        let row = |a: &str, b: &str, c: &str| vec![a.to_owned(), b.to_owned(), c.to_owned()];
        let lines = columns(&[row("id", "size", "host"), row("abcd", "1 B", "ä")], &[1]);
        assert_eq!(lines, ["id    size  host", "abcd   1 B  ä"]);
    }
}
