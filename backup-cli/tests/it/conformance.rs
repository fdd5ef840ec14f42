//! Trying a place with the suite, through the binary.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::home::{Home, of_type};

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_run_writes_its_reports_and_removes_its_objects() {
    let home = Home::with_snapshot();
    let before = home.files("r");
    let (report, junit, badge) = (home.join("report.json"), home.join("junit.xml"), home.join("badge.json"));
    let lines = home.json(&[
        "conformance",
        "--profile",
        "safe",
        "--replay",
        "77",
        "--report",
        report.to_str().unwrap(),
        "--junit",
        junit.to_str().unwrap(),
        "--badge",
        badge.to_str().unwrap(),
    ]);
    assert_eq!(home.files("r"), before, "the repository is as before");
    let cases = of_type(&lines, "case");
    let summary = of_type(&lines, "summary")[0];
    assert_eq!((&summary["failed"], &summary["flaky"], &summary["skipped"]), (&0.into(), &0.into(), &0.into()));
    assert_eq!(summary["seed"], 77);
    assert_eq!(summary["observed"]["put_if_absent"], "atomic");
    assert_eq!(summary["declared"]["put_if_absent"], "atomic");
    let passed = cases.iter().filter(|case| case["verdict"] == "passed").count();
    assert!(passed > 30 && summary["passed"] == passed, "{summary}");

    let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    assert_eq!((&report["kind"], &report["run"]["profile"]), (&"local".into(), &"safe".into()));
    assert_eq!(report["cases"].as_array().unwrap().len(), cases.len());
    let badge: Value = serde_json::from_slice(&fs::read(badge).unwrap()).unwrap();
    assert_eq!((&badge["schemaVersion"], &badge["color"]), (&1.into(), &"brightgreen".into()));
    let junit = fs::read_to_string(junit).unwrap();
    assert_eq!(junit.matches("<testcase ").count(), cases.len());
    assert!(!junit.contains("<failure"), "{junit}");
    // It is still a repository.
    home.done(&["check"]);
}

#[test]
fn a_place_that_is_no_repository_can_be_tried_without_a_password() {
    let home = Home::new();
    let place = home.join("empty");
    let ran = crate::home::ran(&mut home.bare(&["backends", "test", place.to_str().unwrap()]));
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("one of several at once wins"), "{}", ran.stdout);
    assert!(ran.stdout.contains("room: "), "{}", ran.stdout);
    assert!(ran.stdout.contains("12 cases passed, 0 failed"), "{}", ran.stdout);
    assert!(files(&place).is_empty());
}

#[test]
fn a_spent_budget_is_no_success_and_no_failure() {
    let home = Home::new();
    let ran = home.run(&["conformance", "--max-requests", "300"]);
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("were not run: the budget is spent: 300 requests"), "{}", ran.stderr);
    let left = files(&home.join("r"));
    assert!(left.is_empty(), "{left:?}");
    // What says nothing about the place is no success either.
    assert_eq!(home.run(&["conformance", "--only", "no-such-case"]).code, 1);
    assert_eq!(home.run(&["conformance", "--profile", "none"]).code, 2);
}

#[test]
fn a_place_that_can_not_be_opened_is_told_as_by_every_verb() {
    let home = Home::new();
    let file = home.write("a-file", "no folder");
    let ran = home.run(&["backends", "test", file.to_str().unwrap()]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.starts_with("error: cannot try"), "{}", ran.stderr);
    let tried = home.run(&["-r", file.to_str().unwrap(), "conformance"]);
    assert_eq!((tried.code, tried.stdout.as_str()), (ran.code, ""));
}

#[cfg(unix)]
#[test]
fn a_place_that_refuses_to_store_fails_the_run() {
    use std::os::unix::fs::PermissionsExt;
    if crate::home::is_root() {
        eprintln!("SKIPPED a_place_that_refuses_to_store_fails_the_run: root may write everywhere");
        return;
    }
    let home = Home::new();
    let place = home.join("read-only");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o555)).unwrap();
    let ran = home.run(&["backends", "test", place.to_str().unwrap()]);
    assert_eq!(ran.code, 4, "{}{}", ran.stdout, ran.stderr);
}
