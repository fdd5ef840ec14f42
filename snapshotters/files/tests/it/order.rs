//! The listing is in canonical order, whatever the names.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use backup_core::entry::canonical_order;
use backup_snapshotter_files::FilesOptions;
use proptest::prelude::*;

fn listed(root: &Path) -> Vec<Vec<u8>> {
    let view = crate::view(FilesOptions::new([root]));
    let skip = root.canonicalize().unwrap().as_os_str().len();
    let paths = view.entries().map(|item| item.unwrap().path.as_bytes().to_vec());
    paths.filter_map(|path| path.get(skip - 1..).map(<[u8]>::to_vec)).filter(|path| !path.is_empty()).collect()
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    // Bytes around the slash, where byte order and canonical order part, and some that are no text.
    let byte = prop::sample::select(vec![1, b'\n', b' ', b'-', b'.', b'0', b'a', b'b', 0x7f, 0x80, 0xff]);
    prop::collection::vec(byte, 1..4).prop_filter("no name", |name| !matches!(name.as_slice(), b"." | b".."))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn listing_is_all_paths_sorted_canonically(files in prop::collection::vec(prop::collection::vec(name(), 1..5), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        let mut expected = BTreeSet::new();
        for names in files {
            let path = names.join(&b'/');
            let full = dir.path().join(OsStr::from_bytes(&path));
            // A file may be in the way of a directory, or the other way round; whatever is there counts.
            if std::fs::create_dir_all(full.parent().unwrap()).is_ok() && std::fs::write(&full, "").is_ok() {
                for end in 1..=names.len() {
                    expected.insert(names[..end].join(&b'/'));
                }
            } else {
                let made = (1..names.len()).map(|end| names[..end].join(&b'/'));
                expected.extend(made.filter(|path| dir.path().join(OsStr::from_bytes(path)).exists()));
            }
        }
        let mut expected: Vec<Vec<u8>> = expected.into_iter().collect();
        expected.sort_by(|a, b| canonical_order(a, b));
        let found: Vec<Vec<u8>> = listed(dir.path()).into_iter().map(|path| path[1..].to_vec()).collect();
        prop_assert_eq!(found, expected);
    }
}
