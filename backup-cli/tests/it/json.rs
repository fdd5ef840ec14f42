//! Every line of every verb with `--json` is an object with a schema and a type; the last one sums up or names the error.

use std::fs;

use crate::home::{Home, of_type};

#[test]
fn every_verb_writes_lines_of_json_and_nothing_else() {
    let home = Home::with_snapshot();
    home.write(".config/backup/config.toml", "[retention.mine]\ntype = \"forever\"\n");
    let file = home.path().canonicalize().unwrap().join("src/a.txt").display().to_string();
    for (arguments, last) in [
        (&["create", "src"][..], "summary"),
        (&["snapshots"], "summary"),
        (&["ls", "latest"], "summary"),
        (&["find", "*.txt"], "summary"),
        (&["diff", "latest", "latest"], "summary"),
        (&["dump", "latest", &file, "--out", "dumped"], "summary"),
        (&["restore", "latest", "--target", "out"], "summary"),
        (&["check", "--read-data"], "summary"),
        (&["stats"], "summary"),
        (&["stats", "--usage"], "summary"),
        (&["catalog"], "summary"),
        (&["catalog", "--out", "-"], "catalog"),
        (&["tag", "latest", "--add", "x"], "snapshot"),
        (&["pin", "latest"], "snapshot"),
        (&["unpin", "latest"], "snapshot"),
        (&["key", "list"], "key"),
        (&["key", "add", "--new-key-file", "k"], "summary"),
        (&["key", "recovery-kit", "--kit", "kit.txt"], "summary"),
        (&["backends"], "plugin"),
        (&["backends", "local"], "plugin"),
        (&["config", "validate"], "summary"),
        (&["config", "show"], "summary"),
        (&["config", "schema"], "config_schema"),
        (&["repair", "index"], "summary"),
        (&["completions", "zsh"], "completions"),
        (&["man"], "man"),
        (&["quickstart", "src", "--to", "q"], "summary"),
    ] {
        let ran = home.done(&[&["--json"], arguments].concat());
        let lines = ran.lines();
        assert_eq!(lines.last().unwrap()["type"], last, "{arguments:?}");
        assert_eq!(ran.stderr, "", "{arguments:?}");
    }
}

#[test]
fn configuration_in_which_nothing_is_set_is_a_line_too() {
    let home = Home::new();
    let ran = crate::home::ran(&mut home.bare(&["--json", "config", "show"]));
    let lines = ran.lines();
    assert_eq!((ran.code, lines.len()), (0, 1), "{}", ran.stdout);
    assert_eq!((&lines[0]["type"], &lines[0]["settings"]), (&"summary".into(), &0.into()));
}

#[test]
fn long_commands_tell_how_far_they_are() {
    let home = Home::with_snapshot();
    for (arguments, phase) in [
        (&["create", "src"][..], "capture"),
        (&["restore", "latest", "--target", "out"], "restore"),
        (&["check", "--read-data"], "check_data"),
    ] {
        let lines = home.json(arguments);
        let status = of_type(&lines, "status");
        assert!(status.iter().any(|line| line["phase"] == phase), "{arguments:?}: {status:?}");
        assert!(status.iter().all(|line| line["bytes_per_second"].is_u64() && line["elapsed_seconds"].is_f64()));
    }
}

#[test]
fn error_is_an_object_with_its_code() {
    let home = Home::new();
    let ran = home.run(&["--json", "snapshots"]);
    let lines = ran.lines();
    let error = lines.last().unwrap();
    assert_eq!((ran.code, &error["code"], &error["name"]), (10, &10.into(), &"no_repository".into()));
    assert!(error["message"].is_string() && error["causes"].is_array() && error["hint"].is_string());
    assert_eq!(ran.stderr, "");
    let ran = home.run(&["--json", "snapshot"]);
    assert_eq!((ran.code, &ran.lines()[0]["code"]), (2, &2.into()));
}

#[cfg(unix)]
#[test]
fn path_that_is_no_text_has_an_exact_twin() {
    use std::os::unix::ffi::OsStrExt;
    let home = Home::with_snapshot();
    let name = std::ffi::OsStr::from_bytes(b"odd\xff");
    fs::write(home.join("src").join(name), "odd").unwrap();
    home.done(&["create", "src"]);
    home.done(&["-q", "restore", "latest", "--target", "out"]);
    fs::write(home.restored("out", "src").join(name), "changed").unwrap();
    let lines = home.json(&["restore", "latest", "--target", "out", "--conflict", "keep-local"]);
    let conflict = of_type(&lines, "conflict")[0];
    assert!(conflict["path"].as_str().unwrap().ends_with("src/odd\\xff"));
    assert!(conflict["path_base64"].is_string());
}
