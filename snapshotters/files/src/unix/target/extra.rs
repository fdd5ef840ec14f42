//! What a directory has besides the names that belong there, as the directory itself compares names.

use std::collections::HashSet;
use std::io;

/// Where an entry lies: two names of one entry have the same, where the file system numbers its entries for good.
pub(super) type Identity = (u64, u64);

/// The names of `listed` that are none of `keep`, in their order.
///
/// Some file systems (exFAT, NTFS, ext4 with folded names) take `Foo` for `foo` and list what stood there first. Such a directory
/// shows itself: a name to keep is not listed, and yet `stand` finds it. The listed name that it goes by is one with the same
/// identity, or one that differs in case only, since file systems in user space may number each spelling on its own.
///
/// Costs one look-up for each name to keep that is not listed; none where all are.
///
/// # Errors
/// What `stand` says; `InvalidData` where no listed name is known to be one that is to be kept, as none is then safe to remove.
pub(super) fn beyond<'a>(
    listed: impl Iterator<Item = &'a [u8]>,
    keep: &[Vec<u8>],
    stand: impl Fn(&[u8]) -> io::Result<Option<Identity>>,
) -> io::Result<Vec<Vec<u8>>> {
    let mut unlisted: HashSet<&[u8]> = keep.iter().map(Vec::as_slice).collect();
    let mut extra: Vec<Vec<u8>> = listed.filter(|&name| !unlisted.remove(name)).map(<[u8]>::to_vec).collect();
    if extra.is_empty() {
        return Ok(extra);
    }
    for name in unlisted {
        let Some(identity) = stand(name)? else { continue };
        let mut others = Vec::with_capacity(extra.len());
        let before = extra.len();
        for other in extra {
            if folded(&other) != folded(name) && stand(&other)? != Some(identity) {
                others.push(other);
            }
        }
        if others.len() == before {
            let name = String::from_utf8_lossy(name);
            let reason = format!("it has `{name}` under another name, and which one can't be told: nothing is removed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        extra = others;
    }
    Ok(extra)
}

fn folded(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extra(listed: &[&str], keep: &[&str], stand: &[(&str, u64)]) -> io::Result<Vec<String>> {
        let keep: Vec<Vec<u8>> = keep.iter().map(|name| name.as_bytes().to_vec()).collect();
        let found = beyond(listed.iter().map(|name| name.as_bytes()), &keep, |name| {
            Ok(stand.iter().find(|(other, _)| other.as_bytes() == name).map(|&(_, inode)| (1, inode)))
        })?;
        Ok(found.into_iter().map(|name| String::from_utf8(name).unwrap()).collect())
    }

    #[test]
    fn names_that_differ_in_case_are_two_names_where_the_directory_says_so() {
        assert_eq!(extra(&["Foo", "foo"], &["Foo"], &[]).unwrap(), ["foo"]);
        assert_eq!(extra(&["foo"], &["Foo"], &[("foo", 1)]).unwrap(), ["foo"], "`Foo` was not restored");
    }

    #[test]
    fn name_to_keep_that_is_listed_in_another_case_is_not_extra() {
        assert_eq!(extra(&["foo", "zoo"], &["Foo"], &[("Foo", 7), ("foo", 8), ("zoo", 9)]).unwrap(), ["zoo"]);
    }

    #[test]
    fn name_to_keep_that_is_listed_in_another_spelling_is_told_by_identity() {
        let (composed, decomposed) = ("\u{e9}", "e\u{301}");
        let stand = [(composed, 7), (decomposed, 7), ("zoo", 9)];
        assert_eq!(extra(&[decomposed, "zoo"], &[composed], &stand).unwrap(), ["zoo"]);
    }

    #[test]
    fn nothing_is_extra_where_a_name_to_keep_cannot_be_told_from_the_others() {
        let (composed, decomposed) = ("\u{e9}", "e\u{301}");
        let error =
            extra(&[decomposed, "zoo"], &[composed], &[(composed, 7), (decomposed, 8), ("zoo", 9)]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("nothing is removed"), "{error}");
    }
}
