//! Each verb does what it says.

use std::fs;

use crate::home::{Home, of_type};

#[test]
fn create_stores_only_what_is_new() {
    let home = Home::with_snapshot();
    home.settle();
    home.done(&["create", "src"]);
    home.write("src/new.txt", "new\n");
    let lines = home.json(&["create", "src", "--tag", "second"]);
    let summary = lines.last().unwrap();
    assert_eq!((&summary["type"], &summary["files"], &summary["files_new"]), (&"summary".into(), &4.into(), &1.into()));
    assert_eq!(summary["files_unchanged"], 3);
    assert!(summary["parent"].is_string());
}

#[test]
fn repository_inside_its_own_source_is_left_out() {
    let home = Home::with_snapshot();
    home.write(".config/backup/config.toml", "[source.home]\ntype = \"files\"\npaths = [\"${HOME}\"]\n");
    for arguments in [&["create", "."][..], &["create", "--source", "home"]] {
        home.done(arguments);
        let listed = home.done(&["ls", "latest"]).stdout;
        assert!(listed.contains("src/a.txt") && !listed.contains("/r/"), "{listed}");
    }
}

#[test]
fn create_reads_everything_again_when_told_to() {
    let home = Home::with_snapshot();
    let lines = home.json(&["create", "src", "--force-read"]);
    assert_eq!(lines.last().unwrap()["files_unchanged"], 0);
}

#[test]
fn create_leaves_out_what_patterns_and_sets_name() {
    let home = Home::with_snapshot();
    home.write("src/x.tmp", "x");
    home.write("src/node_modules/y.js", "y");
    home.write("src/large", vec![0; 400_000]);
    let arguments = ["create", "src", "--exclude", "*.tmp", "--exclude-set", "node", "--exclude-larger-than", "350000"];
    assert_eq!(home.json(&arguments).last().unwrap()["files"], 3);
    let ran = home.run(&["create", "src", "--exclude-set", "nod"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("did you mean `node`?"), "{}", ran.stderr);
}

#[test]
fn snapshots_are_listed_oldest_first_and_filtered() {
    let home = Home::with_snapshot();
    home.done(&["create", "src", "--tag", "b", "--tag", "a"]);
    home.done(&["create", "src", "--host", "other"]);
    let count = |arguments: &[&str]| {
        let lines = home.json(arguments);
        let listed = of_type(&lines, "snapshot").len();
        assert_eq!(lines.last().unwrap()["snapshots"], listed, "{arguments:?}");
        listed
    };
    assert_eq!(count(&["snapshots"]), 3);
    assert_eq!(count(&["snapshots", "--tag", "a"]), 1);
    assert_eq!(count(&["snapshots", "--host", "other"]), 1);
    assert_eq!(count(&["snapshots", "--last", "2"]), 2);
    let lines = home.json(&["snapshots"]);
    let listed = of_type(&lines, "snapshot");
    assert_eq!(listed[1]["tags"], serde_json::json!(["a", "b"]));
    assert_eq!(listed[2]["host"], "other");
    assert!(listed[0]["time"].as_str() < listed[1]["time"].as_str());
    assert_eq!(listed[0]["user"], "ana");
    let text = home.done(&["snapshots"]).stdout;
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(text.lines().nth(2).unwrap().ends_with("a b"), "{text}");
}

#[test]
fn tags_notes_and_pins_are_changed_and_the_id_stays() {
    let home = Home::with_snapshot();
    let first = |home: &Home| of_type(&home.json(&["snapshots"]), "snapshot")[0].clone();
    let id = first(&home)["id"].clone();
    home.done(&["tag", "latest", "--add", "x", "--add", "y", "--note", "before the move"]);
    home.done(&["tag", "latest", "--remove", "x"]);
    home.done(&["pin", "latest"]);
    let snapshot = first(&home);
    assert_eq!(snapshot["id"], id);
    assert_eq!((&snapshot["tags"], &snapshot["pinned"]), (&serde_json::json!(["y"]), &true.into()));
    assert_eq!(snapshot["note"], "before the move");
    home.done(&["unpin", "latest"]);
    home.done(&["tag", "latest", "--set", "only", "--note", ""]);
    let snapshot = first(&home);
    assert_eq!((&snapshot["tags"], &snapshot["pinned"]), (&serde_json::json!(["only"]), &false.into()));
    assert!(snapshot["note"].is_null());
}

#[test]
fn check_is_sound_at_every_level_and_names_what_damage_hurts() {
    let home = Home::with_snapshot();
    for arguments in [
        &["check"][..],
        &["check", "--objects"],
        &["check", "--read-data"],
        &["check", "--subset", "1/3"],
        &["check", "--subset", "next/3"],
    ] {
        let lines = home.json(arguments);
        assert_eq!(lines.last().unwrap()["sound"], true, "{arguments:?}");
        assert!(of_type(&lines, "finding").is_empty());
    }
    let packs = home.files("r/packs");
    let (pack, mut bytes) = packs.into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    let ran = home.run(&["--json", "check", "--read-data"]);
    assert_eq!(ran.code, 4);
    let lines = ran.lines();
    let name = pack.file_name().unwrap().to_str().unwrap();
    let findings = of_type(&lines, "finding");
    assert!(findings.iter().any(|finding| finding["object"].as_str().unwrap().contains(name)), "{findings:?}");
    assert_eq!(lines.last().unwrap()["sound"], false);
    let text = home.run(&["check", "--read-data"]);
    assert_eq!(text.code, 4);
    assert!(text.stderr.contains("lost in "), "{}", text.stderr);
}

#[test]
fn index_is_rebuilt_from_packs_alone() {
    let home = Home::with_snapshot();
    fs::remove_dir_all(home.join("r/index")).unwrap();
    assert_ne!(home.run(&["restore", "latest", "--target", "lost"]).code, 0);
    let dry = home.json(&["repair", "index", "--dry-run"]);
    assert!(dry.last().unwrap()["packs_added"].as_u64().unwrap() > 0);
    assert!(!home.join("r/index").exists(), "a dry run wrote something");
    home.done(&["repair", "index"]);
    home.done(&["restore", "latest", "--target", "out"]);
    assert_eq!(fs::read(home.restored("out", "src/sub/b.txt")).unwrap(), b"beta\n");
    assert_eq!(home.json(&["repair", "index"]).last().unwrap()["written"], 0);
}

#[test]
fn backends_tell_types_options_and_what_is_not_built_in() {
    let home = Home::new();
    let lines = home.json(&["backends"]);
    let names: Vec<_> = of_type(&lines, "plugin").iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"local") && names.contains(&"s3") && names.contains(&"keep_last"), "{names:?}");
    // What no version has yet is not called left out.
    assert_eq!(of_type(&lines, "absent"), [] as [&serde_json::Value; 0]);
    let text = home.done(&["backends", "local"]).stdout;
    assert!(text.contains("path") && text.contains("required") && text.contains("type = \"local\""), "{text}");
    let ran = home.run(&["backends", "locl"]);
    assert_eq!((ran.code, ran.stderr.contains("did you mean `local`?")), (2, true), "{}", ran.stderr);
    assert!(home.run(&["backends", "ftp"]).stderr.contains("there is no plug-in `ftp`"));
}

#[test]
fn files_larger_than_a_size_are_left_out() {
    let home = Home::new();
    home.write("src/small", vec![1; 10_000]);
    home.write("src/large", vec![2; 10_001]);
    home.done(&["-q", "init"]);
    for size in ["10000", "10kB"] {
        let lines = home.json(&["create", "src", "--exclude-larger-than", size]);
        assert_eq!(lines.last().unwrap()["files"], 1, "{size}");
        let lines = home.json(&["find", "small", "large", "--snapshot", "latest"]);
        assert_eq!(of_type(&lines, "match").len(), 1, "{size}");
    }
    let lines = home.json(&["create", "src", "--exclude-larger-than", "10KiB"]);
    assert_eq!(lines.last().unwrap()["files"], 2);
    let ran = home.run(&["create", "src", "--exclude-larger-than", "big"]);
    assert!(ran.code == 2 && ran.stderr.contains("`500MB`"), "{}", ran.stderr);
}

#[test]
fn completions_and_manual_know_every_verb() {
    let home = Home::new();
    let script = home.done(&["completions", "bash"]).stdout;
    assert!(script.contains("quickstart") && script.contains("--password-file"));
    assert!(home.done(&["man"]).stdout.contains("quickstart"));
    home.done(&["man", "--out", "man1"]);
    let pages: Vec<_> = fs::read_dir(home.join("man1")).unwrap().map(|page| page.unwrap().file_name()).collect();
    for page in ["backup.1", "backup-restore.1", "backup-key-list.1"] {
        assert!(pages.iter().any(|name| name == page), "{page} of {pages:?}");
    }
    assert_eq!(home.run(&["completions", "basch"]).code, 2);
}

#[test]
fn default_repository_lies_in_the_data_folder_of_the_user() {
    let home = Home::new();
    home.write("src/a", "a");
    let run = |arguments: &[&str]| {
        let code = crate::home::ran(home.bare(arguments).env("BACKUP_PASSWORD", "x")).code;
        assert_eq!(code, 0, "{arguments:?}");
    };
    run(&["init"]);
    run(&["create", "src"]);
    assert!(home.join(".local/share/backup/backups/config").exists());
    let data = home.join("data");
    let code = crate::home::ran(home.bare(&["init"]).env("BACKUP_PASSWORD", "x").env("XDG_DATA_HOME", &data)).code;
    assert_eq!(code, 0);
    assert!(data.join("backup/backups/config").exists());
}

#[test]
fn quiet_commands_say_nothing() {
    let home = Home::new();
    home.write("src/a", "a");
    for arguments in [
        &["-q", "init"][..],
        &["-q", "create", "src"],
        &["-q", "restore", "latest", "--target", "out"],
        &["-q", "check", "--read-data"],
        &["-q", "pin", "latest"],
        &["-q", "repair", "index"],
    ] {
        let ran = home.done(arguments);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""), "{arguments:?}");
    }
}

#[test]
fn create_leaves_out_the_repository_itself() {
    let home = Home::with_snapshot();
    let summary = home.json(&["create", "."]).last().unwrap().clone();
    assert_eq!(summary["files"], 3, "{summary}");
    assert_eq!(home.json(&["create", "."]).last().unwrap()["files_new"], 0);
}
