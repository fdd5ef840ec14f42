//! What `restore` brings back, and what it does where something is in the way.

use std::fs;

use crate::home::{Home, of_type, ran};

#[test]
fn entries_stand_under_the_target_as_under_their_absolute_path() {
    let home = Home::with_snapshot();
    home.done(&["restore", "latest", "--target", "out"]);
    assert_eq!(fs::read(home.restored("out", "src/a.txt")).unwrap(), b"alpha\n");
    assert_eq!(fs::read(home.restored("out", "src/big")).unwrap(), vec![7; 300_000]);
    let depth = home.path().canonicalize().unwrap().components().count();
    let strip = depth.to_string();
    home.done(&["restore", "latest", "--target", "short", "--strip", &strip]);
    assert_eq!(fs::read(home.join("short/a.txt")).unwrap(), b"alpha\n");
}

#[test]
fn only_named_paths_come_back() {
    let home = Home::with_snapshot();
    let path = home.path().canonicalize().unwrap().join("src/sub");
    home.done(&["restore", "latest", "--target", "out", path.to_str().unwrap()]);
    assert!(home.restored("out", "src/sub/b.txt").exists());
    assert!(!home.restored("out", "src/a.txt").exists());
    let ran = home.run(&["restore", "latest", "--target", "out", "no/such/path"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("`no/such/path` is not in the snapshot"), "{}", ran.stderr);
}

#[test]
fn taking_off_every_folder_of_every_path_is_an_error_and_makes_nothing() {
    let home = Home::with_snapshot();
    let sub = home.path().canonicalize().unwrap().join("src/sub");
    let depth = sub.components().count() - 1;
    let (all_but_name, all) = (depth.to_string(), (depth + 1).to_string());
    for arguments in [&["--strip", "100"][..], &["--strip", &all], &["--strip", &all, sub.to_str().unwrap()]] {
        let ran = home.run(&[&["restore", "latest", "--target", "out"], arguments].concat());
        assert_eq!(ran.code, 1, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("nothing is left to restore") && ran.stderr.contains("--strip"), "{}", ran.stderr);
        assert!(!home.join("out").exists(), "{arguments:?}");
    }
    home.done(&["restore", "latest", "--target", "out", "--strip", &all_but_name, sub.to_str().unwrap()]);
    assert_eq!(fs::read(home.join("out/b.txt")).unwrap(), b"beta\n");
}

#[test]
fn dry_run_writes_nothing() {
    let home = Home::with_snapshot();
    let lines = home.json(&["restore", "latest", "--target", "out", "--dry-run"]);
    assert_eq!((&lines.last().unwrap()["files"], &lines.last().unwrap()["dry_run"]), (&3.into(), &true.into()));
    assert!(!home.restored("out", "src/a.txt").exists());
}

#[test]
fn each_way_of_resolving_a_conflict_does_what_it_says() {
    let home = Home::with_snapshot();
    let local = "local and newer\n";
    let restore = |way: Option<&str>| {
        let target = way.unwrap_or("nothing");
        home.done(&["-q", "restore", "latest", "--target", target]);
        let file = home.restored(target, "src/a.txt");
        fs::write(&file, local).unwrap();
        let mut arguments = vec!["restore", "latest", "--target", target];
        arguments.extend(way.iter().flat_map(|way| ["--conflict", *way]));
        let lines = home.json(&arguments);
        let conflicts: Vec<_> = of_type(&lines, "conflict").into_iter().cloned().collect();
        assert_eq!(conflicts.len(), 1, "{conflicts:?}");
        let beside = file.with_file_name("a.txt.from-backup");
        let resolution = conflicts[0]["resolution"].as_str().unwrap().to_owned();
        (resolution, fs::read_to_string(file).unwrap(), fs::read_to_string(beside).ok())
    };
    let result = |resolution: &str, here: &str, beside: Option<&str>| {
        (resolution.to_owned(), here.to_owned(), beside.map(str::to_owned))
    };
    assert_eq!(restore(Some("keep-local")), result("keep_local", local, None));
    assert_eq!(restore(Some("keep-backup")), result("keep_backup", "alpha\n", None));
    assert_eq!(restore(Some("keep-both")), result("keep_both", local, Some("alpha\n")));
    assert_eq!(restore(Some("newest")), result("keep_local", local, None));
    assert_eq!(restore(None), result("keep_both", local, Some("alpha\n")), "nothing is lost where nobody can be asked");
    let ran = home.run(&["restore", "latest", "--target", "out", "--conflict", "ask"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("nobody to ask"), "{}", ran.stderr);
}

#[test]
fn in_place_brings_back_what_was_changed_and_lost() {
    let home = Home::with_snapshot();
    fs::remove_file(home.join("src/sub/b.txt")).unwrap();
    fs::write(home.join("src/a.txt"), "spoiled").unwrap();
    let path = home.path().canonicalize().unwrap().join("src");
    home.done(&["restore", "latest", path.to_str().unwrap(), "--in-place", "--conflict", "keep-backup"]);
    assert_eq!(fs::read(home.join("src/a.txt")).unwrap(), b"alpha\n");
    assert_eq!(fs::read(home.join("src/sub/b.txt")).unwrap(), b"beta\n");
    assert_eq!(home.run(&["restore", "latest"]).code, 2, "neither target nor in place");
    assert_eq!(home.run(&["restore", "latest", "--in-place", "--target", "x"]).code, 2);
}

#[test]
fn extra_entries_go_only_when_asked_for() {
    let home = Home::with_snapshot();
    home.done(&["restore", "latest", "--target", "out"]);
    let extra = home.restored("out", "src/extra");
    fs::write(&extra, "x").unwrap();
    home.done(&["restore", "latest", "--target", "out"]);
    assert!(extra.exists());
    home.done(&["restore", "latest", "--target", "out", "--delete", "-n"]);
    assert!(extra.exists(), "a dry run removed something");
    assert_eq!(home.json(&["restore", "latest", "--target", "out", "--delete"]).last().unwrap()["deleted"], 1);
    assert!(!extra.exists());
}

#[test]
fn removal_spares_what_was_excluded_what_lies_outside_and_the_repository() {
    let home = Home::new();
    home.write("src/in/a.txt", "alpha");
    home.write("src/logs/a.txt", "alpha");
    home.write("src/logs/a.log", "log");
    home.done(&["-q", "init"]);
    home.done(&["-q", "create", "src", "--exclude", "*.log"]);
    let root = home.path().canonicalize().unwrap();
    // Since then the repository has moved into what it protects.
    fs::rename(home.join("r"), home.join("src/in/moved")).unwrap();
    let spared = ["src/logs/a.log", "src/in/moved/config", "beside.txt"];
    home.write("beside.txt", "beside");
    home.write("src/in/extra", "x");
    let mut command = home.command(&["restore", "latest", "--in-place", "--delete", "--conflict", "keep-backup"]);
    command.env("BACKUP_REPOSITORY", root.join("src/in/moved"));
    let restored = ran(&mut command);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert!(restored.stderr.contains("src/in/extra: removed"), "{}", restored.stderr);
    assert!(!home.join("src/in/extra").exists());
    for path in spared {
        assert!(home.join(path).exists(), "{path}");
    }
}

#[test]
fn snapshot_is_named_by_the_beginning_of_its_id() {
    let home = Home::with_snapshot();
    let lines = home.json(&["snapshots"]);
    let id = of_type(&lines, "snapshot")[0]["id"].as_str().unwrap().to_owned();
    home.done(&["restore", &id[..8], "--target", "out"]);
    let ran = home.run(&["restore", "00000000", "--target", "out"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("there is no snapshot `00000000`"), "{}", ran.stderr);
}

#[test]
fn restore_from_a_damaged_repository_counts_what_is_missing_and_says_how_it_heals() {
    let home = Home::new();
    let big: Vec<u8> = (0..1_u32 << 18).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    home.write("src/big", &big);
    home.write("src/empty", "");
    home.done(&["init"]);
    home.done(&["create", "src"]);
    let (pack, mut bytes) = home.files("r/packs").into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    let ran = home.run(&["restore", "latest", "--target", "out"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stdout.contains("1 with problems"), "{}", ran.stdout);
    assert!(ran.stderr.contains("backup check --read-data"), "{}", ran.stderr);
    assert!(home.restored("out", "src/empty").exists() && !home.restored("out", "src/big").exists());
    // That advice heals.
    assert_eq!(home.run(&["check", "--read-data"]).code, 4);
    home.done(&["create", "src"]);
    home.done(&["restore", "latest", "--target", "out"]);
    assert_eq!(fs::read(home.restored("out", "src/big")).unwrap(), big);
}
