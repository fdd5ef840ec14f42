//! The parts of a file that a download asks for.

/// What a header `Range` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Everything, also where the header is none that is understood.
    Whole,
    /// From the first byte to before the second one.
    Part(usize, usize),
    /// Nothing that is there.
    Nothing,
}

/// Reads the header for a file of so many bytes.
pub(super) fn asked(header: Option<&str>, len: usize) -> Asked {
    let Some((first, last)) = header.and_then(|text| text.strip_prefix("bytes=")?.split_once('-')) else {
        return Asked::Whole;
    };
    match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) if first > last => Asked::Whole,
        (Ok(first), _) if first >= len && (last.is_empty() || last.parse::<usize>().is_ok()) => Asked::Nothing,
        (Ok(first), Ok(last)) => Asked::Part(first, len.min(last.saturating_add(1))),
        (Ok(first), Err(_)) if last.is_empty() => Asked::Part(first, len),
        (Err(_), Ok(suffix)) if first.is_empty() && (suffix == 0 || len == 0) => Asked::Nothing,
        (Err(_), Ok(suffix)) if first.is_empty() => Asked::Part(len.saturating_sub(suffix), len),
        _ => Asked::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        for (header, wanted) in [
            ("bytes=0-", Asked::Part(0, 10)),
            ("bytes=9-9", Asked::Part(9, 10)),
            ("bytes=3-99", Asked::Part(3, 10)),
            ("bytes=-4", Asked::Part(6, 10)),
            ("bytes=-40", Asked::Part(0, 10)),
            ("bytes=10-", Asked::Nothing),
            ("bytes=10-20", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=5-4", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=1-b", Asked::Whole),
            ("lines=1-2", Asked::Whole),
            ("bytes=-", Asked::Whole),
        ] {
            assert_eq!(asked(Some(header), 10), wanted, "{header}");
        }
        assert_eq!(asked(None, 10), Asked::Whole);
        assert_eq!(asked(Some("bytes=0-"), 0), Asked::Nothing);
    }
}
