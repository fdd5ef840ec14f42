use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use backup_conformance::CASES;

#[test]
fn every_clause_has_a_case_and_every_case_a_clause() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/storage-contract.md");
    let text = fs::read_to_string(document).unwrap();
    let listed: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("- **")?.split_once("**")).map(|(clause, _)| clause).collect();
    let clauses: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(listed.len(), clauses.len(), "a clause is there twice");
    assert!(listed.is_sorted(), "the clauses are out of order");
    let cases: BTreeSet<&str> = CASES.iter().map(|case| case.clause).collect();
    assert_eq!(clauses, cases);
}

#[test]
fn names_of_cases_are_unique() {
    let names: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), CASES.len());
}
