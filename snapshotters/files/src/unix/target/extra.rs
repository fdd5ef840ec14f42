//! What a directory has besides the names that belong there, as the directory itself compares names.

use std::collections::{HashMap, HashSet};
use std::io;

/// Where an entry lies: two names of one entry have the same, where the file system numbers its entries for good.
pub(super) type Identity = (u64, u64);

/// The names of `listed` that are none of `keep`, sorted and each once.
///
/// Some file systems (exFAT, NTFS, ext4 with folded names) take `Foo` for `foo` and list what stood there first. Such a directory
/// shows itself: a name to keep is not listed, and yet `stand` finds it. The listed names that it may go by are those that differ
/// in case only, since file systems in user space may number each spelling on its own, and those with its identity.
///
/// Where all names to keep are listed, nothing is looked up; otherwise those that are not, and where one of them stands, every
/// name that is left.
///
/// # Errors
/// What `stand` says; `InvalidData` where no listed name is known to be one that is to be kept, as none is then safe to remove.
pub(super) fn beyond(
    mut listed: Vec<&[u8]>,
    keep: &[Vec<u8>],
    stand: impl Fn(&[u8]) -> io::Result<Option<Identity>>,
) -> io::Result<Vec<Vec<u8>>> {
    // A listing may give a name twice when somebody renames meanwhile.
    listed.sort_unstable();
    listed.dedup();
    let wanted: HashSet<&[u8]> = keep.iter().map(Vec::as_slice).collect();
    let (kept, mut extra): (Vec<&[u8]>, Vec<&[u8]>) = listed.into_iter().partition(|name| wanted.contains(name));
    if extra.is_empty() || kept.len() == wanted.len() {
        return Ok(extra.into_iter().map(<[u8]>::to_vec).collect());
    }
    let mut folding = Vec::new();
    for name in wanted.into_iter().filter(|name| kept.binary_search(name).is_err()) {
        folding.extend(stand(name)?.map(|identity| (name, identity)));
    }
    if !folding.is_empty() {
        let mut by_fold: HashMap<Vec<u8>, Vec<&[u8]>> = HashMap::new();
        let mut by_identity: HashMap<Identity, Vec<&[u8]>> = HashMap::new();
        for &name in kept.iter().chain(&extra) {
            by_fold.entry(folded(name)).or_default().push(name);
            by_identity.entry(stand(name)?.unwrap_or_default()).or_default().push(name);
        }
        let mut spared: HashSet<&[u8]> = HashSet::new();
        for (name, identity) in folding {
            let known: Vec<&[u8]> = [by_fold.get(&folded(name)), by_identity.get(&identity)]
                .into_iter()
                .flatten()
                .flatten()
                .copied()
                .collect();
            if known.is_empty() {
                let name = String::from_utf8_lossy(name);
                let reason =
                    format!("it has `{name}` under another name, and which one can't be told: nothing is removed");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            spared.extend(known);
        }
        extra.retain(|name| !spared.contains(name));
    }
    Ok(extra.into_iter().map(<[u8]>::to_vec).collect())
}

/// A name as a file system that doesn't tell capitals apart may see it.
pub(super) fn folded(name: &[u8]) -> Vec<u8> {
    std::str::from_utf8(name).map_or_else(|_| name.to_ascii_lowercase(), |name| name.to_lowercase().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extra(listed: &[&str], keep: &[&str], stand: &[(&str, u64)]) -> io::Result<Vec<String>> {
        let keep: Vec<Vec<u8>> = keep.iter().map(|name| name.as_bytes().to_vec()).collect();
        let found = beyond(listed.iter().map(|name| name.as_bytes()).collect(), &keep, |name| {
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
    fn name_that_a_listing_gives_twice_is_kept_or_extra_once() {
        assert_eq!(extra(&["a", "b", "a", "b"], &["a"], &[]).unwrap(), ["b"]);
    }

    #[test]
    fn name_to_keep_that_is_listed_in_another_case_is_not_extra() {
        assert_eq!(extra(&["foo", "zoo"], &["Foo"], &[("Foo", 7), ("foo", 8), ("zoo", 9)]).unwrap(), ["zoo"]);
    }

    #[test]
    fn two_names_to_keep_that_became_one_entry_hinder_nothing() {
        let stand = [("Foo", 7), ("foo", 8), ("zoo", 9)];
        assert_eq!(extra(&["Foo", "zoo"], &["Foo", "foo"], &stand).unwrap(), ["zoo"]);
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

    #[test]
    fn names_that_are_no_text_are_told_apart() {
        assert_ne!(folded(b"a\xff"), folded(b"a\xfe"));
        assert_eq!(folded("\u{c4}B".as_bytes()), folded("\u{e4}b".as_bytes()));
    }
}
