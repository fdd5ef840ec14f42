//! Every case finds the bug that is named after it, and no other case does.

use std::collections::BTreeSet;

use backup_conformance::{Runner, Verdict};

use crate::rich::Rich;

/// Runs the whole suite on a store with a bug; the names of the cases that failed, with their reasons.
fn failures(make: impl Fn() -> Rich + Send) -> Vec<(String, String)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let report = runtime.block_on(Runner::new(make).run());
    let failed = report.cases.into_iter().filter_map(|case| match case.verdict {
        Verdict::Failed(reason) => Some((case.name, reason)),
        _ => None,
    });
    failed.collect()
}

fn only_its_own_case_finds(bug: &'static str) {
    // These bugs need a store that declares less.
    let weak = ["undeclared_create_has_no_effect", "undeclared_digest_is_harmless"].contains(&bug);
    let failed = failures(move || if weak { Rich::weak(Some(bug)) } else { Rich::new(Some(bug)) });
    let names: BTreeSet<&str> = failed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from([bug]), "{failed:#?}");
}

macro_rules! one_test_a_bug {
    (@cases $($group:ident::$name:ident $clause:literal,)*) => {$(
        #[test]
        fn $name() {
            only_its_own_case_finds(stringify!($name));
        }
    )*};
}

backup_conformance::for_each_case! { [one_test_a_bug] }

mod without_a_bug {
    use super::*;

    backup_conformance::suite! { Rich::new(None) }
}

mod weak_without_a_bug {
    use super::*;

    backup_conformance::suite! { Rich::weak(None) }
}
