use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use backup_conformance::CASES;

/// Checks that were collected from other suites.
const COLLECTED_CHECKS: usize = 97;

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
fn names_of_cases_are_unique_and_no_groups() {
    let names: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), CASES.len());
    let groups: BTreeSet<&str> = CASES.iter().map(|case| case.group).collect();
    assert_eq!(names.intersection(&groups).count(), 0);
}

#[test]
fn every_collected_check_has_cases_that_exist_or_a_reason() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    let text = fs::read_to_string(document).unwrap();
    let (_, table) = text.split_once("| check | cases |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows: Vec<(&str, &str)> =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | ")).collect();
    let checks: BTreeSet<&str> = rows.iter().map(|(check, _)| *check).collect();
    assert_eq!((rows.len(), checks.len()), (COLLECTED_CHECKS, COLLECTED_CHECKS));
    let names: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
    for (check, home) in rows {
        let cases: Vec<&str> = home.split(", ").filter_map(|case| case.strip_prefix('`')?.strip_suffix('`')).collect();
        assert!(cases.iter().all(|case| names.contains(case)), "{check}: {home}");
        assert!(!cases.is_empty() || home.len() > 10, "{check} has neither a case nor a reason");
    }
}
