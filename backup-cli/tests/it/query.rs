//! The verbs that only look.

use std::fs;

use serde_json::Value;

use crate::home::{Home, of_type};

fn path_of(home: &Home, name: &str) -> String {
    home.path().canonicalize().unwrap().join(name).display().to_string()
}

#[test]
fn ls_shows_everything_or_one_folder() {
    let home = Home::with_snapshot();
    let all = home.done(&["ls", "latest"]).stdout;
    for name in ["src/", "src/a.txt", "src/sub/b.txt"] {
        assert!(
            all.lines().any(|line| line
                == path_of(&home, name).trim_end_matches('/').to_owned() + if name.ends_with('/') { "/" } else { "" }),
            "{name}: {all}"
        );
    }
    let folder = home.done(&["ls", "latest", &path_of(&home, "src")]).stdout;
    assert_eq!(folder.lines().count(), 3, "{folder}");
    let below = home.done(&["ls", "-R", "latest", &path_of(&home, "src")]).stdout;
    assert_eq!(below.lines().count(), 4, "{below}");
    let long = home.done(&["ls", "-l", "latest", &path_of(&home, "src/a.txt")]).stdout;
    assert!(long.starts_with("-rw") && long.contains("6 B"), "{long}");
    let ran = home.run(&["ls", "latest", "/no/such"]);
    assert_eq!((ran.code, ran.stderr.contains("`no/such` is not in the snapshot")), (1, true), "{}", ran.stderr);
}

#[test]
fn ls_in_json_has_the_checksum_that_sha256sum_gives() {
    let home = Home::with_snapshot();
    let lines = home.json(&["ls", "latest", &path_of(&home, "src/a.txt")]);
    let entry = of_type(&lines, "entry")[0];
    // printf 'alpha\n' | sha256sum
    assert_eq!(entry["sha256"], "b6a98d9ce9a2d9149288fa3df42d377c3e42737afdcdaf714e33c0a100b51060");
    assert_eq!((&entry["kind"], &entry["size_bytes"]), (&"file".into(), &6.into()));
}

#[test]
fn find_looks_through_all_snapshots_by_name_and_path() {
    let home = Home::with_snapshot();
    home.write("src/sub/Later.TXT", "x");
    home.done(&["-q", "create", "src"]);
    let matches = |arguments: &[&str]| -> Vec<Value> {
        let lines = home.json(arguments);
        let found: Vec<Value> = of_type(&lines, "match").into_iter().cloned().collect();
        assert_eq!(lines.last().unwrap()["matches"], found.len());
        found
    };
    assert_eq!(matches(&["find", "*.txt"]).len(), 4, "two files in two snapshots");
    assert_eq!(matches(&["find", "*.txt", "--snapshot", "latest"]).len(), 2);
    assert_eq!(matches(&["find", "sub/*.txt", "--ignore-case"]).len(), 3);
    assert_eq!(matches(&["find", "Later*"]).len(), 1);
    assert!(matches(&["find", "nothing"]).is_empty());
    let text = home.done(&["find", "a.txt"]).stdout;
    assert_eq!(text.lines().filter(|line| line.starts_with("snapshot ")).count(), 2, "{text}");
    assert_eq!(home.run(&["find", "["]).code, 2);
}

#[test]
fn diff_tells_what_was_added_removed_and_changed() {
    let home = Home::with_snapshot();
    let lines = home.json(&["snapshots"]);
    let first = of_type(&lines, "snapshot")[0]["id"].as_str().unwrap().to_owned();
    home.write("src/new", "x");
    home.write("src/a.txt", "changed");
    fs::remove_file(home.join("src/big")).unwrap();
    home.done(&["-q", "create", "src"]);
    let text = home.done(&["diff", &first, "latest"]).stdout;
    let wanted = [
        format!("M {}", path_of(&home, "src/a.txt")),
        format!("- {}", path_of(&home, "src/big")),
        format!("+ {}", path_of(&home, "src/new")),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), wanted);
    let lines = home.json(&["diff", &first, "latest", "--metadata"]);
    let changes = of_type(&lines, "change");
    assert!(
        changes.iter().any(|change| change["change"] == "modified" && change["content"] == false),
        "the folder's time"
    );
    let summary = lines.last().unwrap();
    assert_eq!((&summary["added"], &summary["removed"]), (&1.into(), &1.into()));
    assert_eq!(home.done(&["diff", "latest", "latest"]).stdout, "");
    let below = home.done(&["diff", &first, "latest", &path_of(&home, "src/sub")]).stdout;
    assert_eq!(below, "");
}

#[test]
fn dump_writes_the_bytes_and_nothing_else() {
    let home = Home::with_snapshot();
    let output = home.command(&["dump", "latest", &path_of(&home, "src/big")]).output().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == vec![7; 300_000]);
    assert_eq!(output.stderr, b"");
    home.done(&["dump", "latest", &path_of(&home, "src/a.txt"), "--out", "a"]);
    assert_eq!(fs::read(home.join("a")).unwrap(), b"alpha\n");
    assert_eq!(home.run(&["dump", "latest", &path_of(&home, "src/a.txt"), "--out", "a"]).code, 1, "never replaces");
    let ran = home.run(&["dump", "latest", &path_of(&home, "src")]);
    assert_eq!((ran.code, ran.stderr.contains("no regular file")), (1, true), "{}", ran.stderr);
    assert_eq!(home.run(&["--json", "dump", "latest", &path_of(&home, "src/a.txt")]).code, 2);
}

/// What lies in a folder.
fn names(home: &Home, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(home.join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn dump_that_fails_leaves_nothing_and_the_next_one_writes_the_file() {
    let home = Home::with_snapshot();
    fs::create_dir(home.join("out")).unwrap();
    let big = path_of(&home, "src/big");
    let packs: Vec<_> = home.files("r/packs");
    for (pack, bytes) in &packs {
        fs::remove_file(pack).unwrap();
        let half = bytes.len() / 2;
        fs::write(pack, [&bytes[..half], &[bytes[half] ^ 1], &bytes[half + 1..]].concat()).unwrap();
    }
    let ran = home.run(&["dump", "latest", &big, "--out", "out/big"]);
    assert_eq!(ran.code, 16, "{}", ran.stderr);
    assert_eq!(names(&home, "out"), [] as [&str; 0]);
    for (pack, bytes) in &packs {
        fs::remove_file(pack).unwrap();
        fs::write(pack, bytes).unwrap();
    }
    home.done(&["dump", "latest", &big, "--out", "out/big"]);
    assert_eq!(names(&home, "out"), ["big"]);
    assert!(fs::read(home.join("out/big")).unwrap() == vec![7; 300_000]);
    let ran = home.run(&["dump", "latest", &big, "--out", "no/such/folder"]);
    assert!(ran.code == 1 && ran.stderr.contains("cannot write `no/such/folder`"), "{}", ran.stderr);
}

/// What is stopped half-way has not got its name yet.
#[cfg(target_os = "linux")]
#[test]
fn dump_that_is_interrupted_is_130_and_leaves_nothing() {
    use rustix::process::{Pid, Signal, kill_process};
    let home = Home::new();
    // So much is more than a disk takes before the signal arrives.
    const HOLE_BYTES: u64 = 64 << 30;
    home.write("src/hole", "");
    fs::File::options().write(true).open(home.join("src/hole")).unwrap().set_len(HOLE_BYTES).unwrap();
    home.done(&["-q", "init"]);
    home.done(&["-q", "create", "src"]);
    fs::create_dir(home.join("out")).unwrap();
    let mut child =
        home.command(&["dump", "latest", &path_of(&home, "src/hole"), "--out", "out/hole"]).spawn().unwrap();
    let begun = || {
        let mut entries = fs::read_dir(home.join("out")).unwrap().map(Result::unwrap);
        entries.any(|entry| entry.metadata().is_ok_and(|metadata| metadata.len() > 0))
    };
    while !begun() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it wrote anything");
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(names(&home, "out"), [] as [&str; 0]);
}

#[test]
fn stats_add_up() {
    let home = Home::with_snapshot();
    home.done(&["-q", "create", "src"]);
    let lines = home.json(&["stats", "--usage"]);
    let stats = lines.last().unwrap();
    assert_eq!((&stats["snapshots"], &stats["logical_bytes"]), (&2.into(), &(2 * 300_011).into()));
    assert_eq!(stats["unique_bytes"], 300_011);
    assert_eq!(stats["usage"]["snapshots"].as_array().unwrap().len(), 2);
    let on_disk: usize = home.files("r").iter().map(|(_, content)| content.len()).sum();
    assert_eq!(stats["stored_bytes"], on_disk);
    assert!(home.done(&["stats"]).stdout.contains("times less by deduplication"));
}

#[test]
fn catalog_is_a_file_that_lists_every_snapshot_with_its_integrity() {
    let home = Home::with_snapshot();
    home.done(&["check", "--read-data"]);
    home.done(&["catalog"]);
    let catalog: Value = serde_json::from_slice(&fs::read(home.join("backup_index.json")).unwrap()).unwrap();
    assert_eq!((&catalog["version"], catalog["snapshots"].as_array().unwrap().len()), (&1.into(), 1));
    assert_eq!(catalog["snapshots"][0]["integrity"]["state"], "verified");
    let listed = home.json(&["snapshots"]);
    assert_eq!(of_type(&listed, "snapshot")[0]["integrity"]["level"], "data");
    home.done(&["catalog"]);
    assert!(home.done(&["catalog", "--out", "-"]).stdout.contains("\"integrity\""));
}
