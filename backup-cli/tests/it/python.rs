//! What the binary wrote, `read_repo.py` reads: a program that was written from the format's document alone.

#[path = "../../../examples/tests/it/python_reader/script.rs"]
#[expect(dead_code, reason = "the tests of the examples use all of it")]
mod script;
#[path = "../../../examples/tests/it/python_reader/tree.rs"]
#[expect(dead_code, reason = "the tests of the examples use all of it")]
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::home::{Home, of_type};
use script::Reader;

/// Exit codes of the program.
const WRONG_KEY: i32 = 12;
const DAMAGED: i32 = 16;

/// Small files beside what is nasty.
const FILES: usize = 30;

/// A repository in which everything was done that the binary does, and the folder of which it is.
fn written() -> (Home, PathBuf) {
    let home = Home::new();
    let source = tree::nasty(home.path(), FILES);
    home.done(&["-q", "init"]);
    home.done(&["-q", "create", "source", "--tag", "first"]);
    home.done(&["-q", "tag", "latest", "--add", "kept"]);
    home.done(&["-q", "pin", "latest"]);
    fs::write(source.join("late"), "written after the first snapshot").unwrap();
    home.done(&["-q", "create", "source"]);
    let made = home.done(&["key", "generate-escrow", "--out", "escrow.key"]);
    home.done(&["-q", "key", "add", "--escrow-recipient", made.stdout.trim()]);
    home.done(&["-q", "key", "recovery-kit", "--kit", "kit.txt"]);
    let mut add = home.command(&["-q", "key", "add"]);
    assert!(add.env("BACKUP_NEW_PASSWORD", crate::home::PASSWORD).status().unwrap().success());
    home.done(&["-q", "check", "--read-data"]);
    (home, source)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The code in a recovery kit: two lines of seven groups.
fn code(kit: &str) -> String {
    let lines = kit.lines().map(str::trim).skip_while(|line| !line.starts_with("Recovery code")).skip(2);
    lines.take(2).collect()
}

#[test]
fn what_the_binary_wrote_is_listed_restored_and_verified() {
    let Some(reader) = Reader::find() else { return };
    let (home, source) = written();
    let repository = home.join("r");
    let password = [("SECRET", crate::home::PASSWORD)];
    let run = |arguments: &[&str]| {
        reader.command(&repository, &[&["--password-env", "SECRET"], arguments].concat(), &password)
    };
    let listed = run(&["list"]).succeeds();
    let lines = home.json(&["snapshots"]);
    let snapshots = of_type(&lines, "snapshot");
    let first = snapshots[0]["id"].as_str().unwrap();
    assert_eq!(listed.lines().count(), 2);
    for (line, snapshot) in listed.lines().zip(&snapshots) {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields[0], &snapshot["id"].as_str().unwrap()[..12]);
        assert_eq!(fields[1], snapshot["time"], "{line}");
        assert_eq!(fields[3], snapshot["size_bytes"].to_string(), "{line}");
    }
    assert!(listed.lines().next().unwrap().ends_with("first,kept pinned"), "{listed}");

    let entries = run(&["ls", "latest"]).succeeds();
    let lines = home.json(&["ls", "latest"]);
    let sizes = |entries: Vec<String>| entries.join(" ");
    let ours = of_type(&lines, "entry").iter().map(|entry| entry["size_bytes"].to_string()).collect();
    let theirs = entries.lines().map(|line| line[10..].split_whitespace().next().unwrap().to_owned()).collect();
    assert_eq!(sizes(theirs), sizes(ours));

    let below = |target: &str| home.join(target).join(source.canonicalize().unwrap().strip_prefix("/").unwrap());
    run(&["restore", "latest", text(&home.join("latest"))]).succeeds();
    assert_eq!(tree::differences(&source, &below("latest")), [] as [&str; 0]);
    run(&["restore", &first[..8], text(&home.join("first"))]).succeeds();
    fs::remove_file(source.join("late")).unwrap();
    tree::settle(&source);
    assert_eq!(tree::differences(&source, &below("first")), [] as [&str; 0]);
    assert!(run(&["verify"]).succeeds().ends_with("sound\n"));
}

#[test]
fn every_key_that_the_binary_added_opens_and_no_other_does() {
    let Some(reader) = Reader::find() else { return };
    let (home, _) = written();
    let kit = fs::read_to_string(home.join("kit.txt")).unwrap();
    let code = code(&kit);
    let with = |option: &str, value: &str| {
        let variables = [("PASSWORD", crate::home::PASSWORD), ("CODE", code.as_str()), ("WRONG", "wrong")];
        reader.command(&home.join("r"), &[option, value, "list"], &variables)
    };
    with("--password-env", "PASSWORD").succeeds();
    with("--recovery-code-env", "CODE").succeeds();
    with("--escrow-key-file", text(&home.join("escrow.key"))).succeeds();
    with("--key-file", text(&home.key_file())).succeeds();
    with("--password-env", "WRONG").refuses(WRONG_KEY, "key slots");
    with("--key-file", text(&home.join("kit.txt"))).refuses(WRONG_KEY, "key slots");
}

#[test]
fn what_was_tampered_with_is_refused_and_named() {
    let Some(reader) = Reader::find() else { return };
    let (home, _) = written();
    let repository = home.join("r");
    let key = home.key_file();
    let verify = || reader.command(&repository, &["--key-file", text(&key), "verify"], &[]);
    verify().succeeds();
    let objects = home.files("r");
    for folder in ["config", "keys", "packs", "index", "snapshots", "marks", "verify"] {
        assert!(objects.iter().any(|(path, _)| path.starts_with(repository.join(folder))), "no {folder}");
    }
    for (path, sound) in &objects {
        let name = path.strip_prefix(&repository).unwrap().to_str().unwrap();
        let mut tampered = sound.clone();
        tampered[sound.len() * 2 / 3] ^= 1;
        fs::remove_file(path).unwrap();
        fs::write(path, tampered).unwrap();
        verify().refuses(DAMAGED, name);
        fs::write(path, sound).unwrap();
    }
    verify().succeeds();
    let lines: Vec<Value> = home.json(&["check", "--read-data"]);
    assert_eq!(of_type(&lines, "finding"), [] as [&Value; 0]);
}
