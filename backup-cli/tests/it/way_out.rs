//! What is said where somebody took a wrong turn: the words that lead back to the way.

use std::fs;

use crate::home::{Home, PASSWORD, of_type, ran};

#[test]
fn nobody_named_a_repository_and_the_hint_says_how_to() {
    let home = Home::new();
    let ran = ran(home.bare(&["snapshots"]).env("BACKUP_PASSWORD", PASSWORD));
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("`-r PATH`") && ran.stderr.contains("BACKUP_REPOSITORY"), "{}", ran.stderr);
}

#[test]
fn restore_without_a_place_names_both_ways() {
    let home = Home::with_snapshot();
    let ran = home.run(&["restore", "latest", "src"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("`--target DIR`") && ran.stderr.contains("`--in-place`"), "{}", ran.stderr);
}

#[test]
fn path_that_the_newest_snapshot_lacks_is_looked_for_in_others() {
    let home = Home::with_snapshot();
    home.write("other/c.txt", "gamma\n");
    home.done(&["create", "other"]);
    let wanted = home.path().canonicalize().unwrap().join("src/a.txt");
    let wanted = wanted.to_str().unwrap();
    for verb in [&["restore", "latest", wanted, "--target", "out"][..], &["dump", "latest", wanted]] {
        let ran = home.run(verb);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("`--path {wanted}`")), "{}", ran.stderr);
        // As it says.
        home.done(&[verb, &["--path", wanted]].concat());
    }
}

#[test]
fn snapshots_that_do_not_match_are_not_said_to_be_missing() {
    let home = Home::with_snapshot();
    let ran = home.run(&["ls", "latest", "--host", "elsewhere"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("none of 1 snapshot matches"), "{}", ran.stderr);
    let ran = home.run(&["ls", "latest", "--source", "/home/ana"]);
    assert!(ran.stderr.contains("`--path /home/ana`"), "{}", ran.stderr);
    let ran = home.run(&["snapshots", "--host", "elsewhere"]);
    assert!(ran.stderr.contains("none of 1 snapshot matches"), "{}", ran.stderr);
    let empty = Home::new();
    empty.done(&["-q", "init"]);
    let ran = empty.run(&["ls", "latest"]);
    assert!(ran.stderr.contains("there are no snapshots") && ran.stderr.contains("backup create"), "{}", ran.stderr);
}

/// The form in which names with odd bytes are shown is the one that the shell's own quoting takes back.
#[cfg(unix)]
#[test]
fn name_as_it_is_shown_leads_back_to_the_entry() {
    let home = Home::with_snapshot();
    home.write("src/two\nlines", "odd\n");
    home.done(&["create", "src"]);
    let listed = home.done(&["ls", "latest"]).stdout;
    let shown = listed.lines().find(|line| line.contains("two")).unwrap();
    assert!(shown.ends_with("src/two\\x0alines"), "{shown}");
    let ran = home.run(&["dump", "latest", shown]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("$'...\\x0a...'"), "{}", ran.stderr);
    let taken_back =
        std::process::Command::new("bash").args(["-c", &format!("printf %s $'{shown}'")]).output().unwrap();
    let path = String::from_utf8(taken_back.stdout).unwrap();
    assert_eq!(home.done(&["dump", "latest", &path]).stdout, "odd\n");
}

#[test]
fn conflict_is_told_with_the_name_that_the_file_got() {
    let home = Home::with_snapshot();
    home.done(&["-q", "restore", "latest", "--target", "out"]);
    let file = home.restored("out", "src/a.txt");
    for name in ["a.txt.from-backup", "a.txt.from-backup-2"] {
        fs::write(&file, "local\n").unwrap();
        let arguments = ["restore", "latest", "--target", "out", "--conflict", "keep-both"];
        let said = home.run(&[&arguments[..], &["--dry-run"]].concat()).stderr;
        assert!(said.contains(&format!("/src/{name}`")), "{said}");
        let lines = home.json(&arguments);
        let told = of_type(&lines, "conflict")[0]["beside"].as_str().unwrap().to_owned();
        assert!(told.ends_with(&format!("src/{name}")), "{told}");
        assert_eq!(fs::read(file.with_file_name(name)).unwrap(), b"alpha\n");
    }
}

#[cfg(unix)]
#[test]
fn comparison_says_what_it_does_not_list() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::with_snapshot();
    fs::set_permissions(home.join("src/a.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    home.done(&["create", "src"]);
    let ids = home.json(&["snapshots"]);
    let first = of_type(&ids, "snapshot")[0]["id"].as_str().unwrap().to_owned();
    let ran = home.done(&["diff", &first, "latest"]);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("0 modified, 1 in metadata only (`--metadata` shows them)"), "{}", ran.stderr);
    let ran = home.done(&["diff", &first, "latest", "--metadata"]);
    assert!(ran.stdout.starts_with("m ") && ran.stdout.lines().count() == 1, "{}", ran.stdout);
    let summary = home.json(&["diff", &first, "latest"]).pop().unwrap();
    assert_eq!((&summary["modified"], &summary["metadata_only"]), (&1.into(), &1.into()));
}
