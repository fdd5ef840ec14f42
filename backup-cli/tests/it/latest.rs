//! `latest` is the newest of the snapshots that count: those of a host, a source, a path, with a tag.

use std::fs;

use serde_json::Value;

use crate::home::{Home, of_type};

/// Four snapshots, each of another file, from two hosts, one of them of a configured source.
struct Several {
    home: Home,
    /// The snapshots' ids, oldest first.
    ids: Vec<String>,
}

const NAMES: [&str; 4] = ["a", "b", "sub/c", "d"];

impl Several {
    fn new() -> Self {
        let home = Home::new();
        home.write(".config/backup/config.toml", "[source.notes]\ntype = \"files\"\npaths = [\"${HOME}/d\"]\n");
        home.done(&["-q", "init"]);
        let captured: [&[&str]; 4] = [
            &["create", "a", "--host", "laptop", "--tag", "first", "--tag", "kept"],
            &["create", "b", "--host", "laptop", "--tag", "kept"],
            &["create", "sub", "--host", "desktop"],
            &["create", "--source", "notes", "--host", "desktop"],
        ];
        let mut ids = Vec::new();
        for (name, arguments) in NAMES.iter().zip(captured) {
            home.write(name, format!("content of {name}"));
            let lines = home.json(arguments);
            ids.push(lines.last().unwrap()["snapshot"].as_str().unwrap().to_owned());
        }
        Self { home, ids }
    }

    fn path(&self, name: &str) -> String {
        self.home.path().canonicalize().unwrap().join(name).display().to_string()
    }

    /// What narrows, and the only number of a snapshot that then is the latest.
    fn cases(&self) -> Vec<(Vec<String>, usize)> {
        let case = |arguments: &[&str], number| (arguments.iter().map(|&word| word.to_owned()).collect(), number);
        vec![
            case(&[], 3),
            case(&["--host", "laptop"], 1),
            case(&["--tag", "first"], 0),
            case(&["--tag", "kept"], 1),
            case(&["--tag", "kept", "--tag", "first"], 0),
            case(&["--source", "notes"], 3),
            case(&["--path", &self.path("a")], 0),
            // What lies below a root belongs to it, and it need not be there.
            case(&["--path", &self.path("sub/c/no such file")], 2),
            case(&["--path", &self.path("sub/")], 2),
            case(&["--path", "/", "--host", "laptop"], 1),
        ]
    }

    fn json(&self, arguments: &[&str], narrow: &[String]) -> Vec<Value> {
        self.home.json(&arguments.iter().copied().chain(narrow.iter().map(String::as_str)).collect::<Vec<_>>())
    }
}

#[test]
fn latest_is_the_newest_snapshot_that_counts_for_every_command() {
    let several = Several::new();
    for (narrow, number) in several.cases() {
        let (id, name) = (&several.ids[number], NAMES[number]);
        let of_summary = |lines: &[Value]| lines.last().unwrap()["snapshot"].as_str().unwrap().to_owned();
        assert_eq!(of_summary(&several.json(&["ls", "latest"], &narrow)), *id, "{narrow:?}");
        assert_eq!(of_summary(&several.json(&["restore", "latest", "--target", "out"], &narrow)), *id, "{narrow:?}");
        assert!(several.home.restored("out", name).exists(), "{narrow:?}");
        fs::remove_dir_all(several.home.join("out")).unwrap();
        let file = several.path(name);
        assert_eq!(of_summary(&several.json(&["dump", "latest", &file, "--out", "file"], &narrow)), *id, "{narrow:?}");
        fs::remove_file(several.home.join("file")).unwrap();
        let lines = several.json(&["diff", "latest", "latest"], &narrow);
        assert_eq!(lines.last().unwrap()["after"], **id, "{narrow:?}");
        let lines = several.json(&["find", "?", "--snapshot", "latest"], &narrow);
        let matches = of_type(&lines, "match");
        assert!(!matches.is_empty() && matches.iter().all(|line| line["snapshot"] == **id), "{narrow:?}");
        let lines = several.json(&["tag", "latest", "--note", "found"], &narrow);
        assert_eq!(lines[0]["id"], **id, "{narrow:?}");
        assert_eq!(several.json(&["pin", "latest"], &narrow)[0]["id"], **id, "{narrow:?}");
    }
}

#[test]
fn what_lists_several_snapshots_leaves_out_those_that_do_not_count() {
    let several = Several::new();
    let narrow = ["--host".to_owned(), "laptop".to_owned()];
    let expected = &several.ids[..2];
    let ids = |lines: &[&Value], key: &str| -> Vec<String> {
        lines.iter().map(|line| line[key].as_str().unwrap().to_owned()).collect()
    };
    let lines = several.json(&["snapshots"], &narrow);
    assert_eq!(ids(&of_type(&lines, "snapshot"), "id"), expected);
    let lines = several.json(&["find", "?"], &narrow);
    assert_eq!(ids(&of_type(&lines, "match"), "snapshot"), expected);
    let lines = several.json(&["stats", "--usage"], &narrow);
    let stats = lines.last().unwrap();
    let usage: Vec<_> = stats["usage"]["snapshots"].as_array().unwrap().iter().collect();
    assert_eq!(ids(&usage, "id"), expected);
    assert_eq!(stats["snapshots"], 4, "the sums are those of all");
    assert_eq!(several.home.run(&["stats", "--host", "laptop"]).code, 2);
}

#[test]
fn snapshot_that_does_not_count_is_not_found_and_the_hint_says_why() {
    let several = Several::new();
    for named in ["latest", &several.ids[0]] {
        let ran = several.home.run(&["ls", named, "--host", "server"]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("cannot find the snapshot"), "{}", ran.stderr);
        assert!(ran.stderr.contains("--host"), "{}", ran.stderr);
    }
    let ran = several.home.run(&["ls", "latest", "--path", "/a/../b"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}

#[test]
fn pin_changes_nothing_when_one_of_its_names_is_wrong() {
    let several = Several::new();
    for verb in ["pin", "unpin"] {
        let ran = several.home.run(&[verb, "latest", "nosuch"]);
        assert!(ran.code == 1 && ran.stderr.contains("`nosuch`"), "{}", ran.stderr);
        assert!(!several.home.join("r/marks").exists() || several.home.files("r/marks").is_empty());
    }
    several.home.done(&["pin", "latest", &several.ids[0]]);
    let pinned = several.home.json(&["snapshots"]);
    let pinned: Vec<_> = of_type(&pinned, "snapshot").into_iter().filter(|line| line["pinned"] == true).collect();
    assert_eq!(pinned.len(), 2);
}
