//! Ctrl-C leaves what was finished, and the next run goes on from there.

#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::home::Home;

/// So much is more than a machine stores before a signal arrives; doubled while that turns out not to be so.
const FIRST_MEBIBYTES: usize = 96;
const MOST_MEBIBYTES: usize = 1024;

/// So much must be read before the signal that some files are finished, whatever is under way.
const READ_BEFORE_SIGNAL: u64 = 24 << 20;

/// Writes files whose content no compression shrinks and no two of which are alike.
fn fill(home: &Home, mebibytes: usize) {
    let mut seed: u64 = 11;
    eprintln!("seed {seed}");
    for number in 0..mebibytes {
        let mut noise = vec![0; 1 << 20];
        for word in noise.chunks_exact_mut(8) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            word.copy_from_slice(&seed.to_le_bytes());
        }
        home.write(&format!("src/{number:04}"), noise);
    }
}

/// Runs `create` and interrupts it once it has read something; its exit code and lines.
fn interrupted(home: &Home, signal: Signal) -> (i32, Vec<Value>) {
    let mut command = home.command(&["--json", "create", "src"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let mut lines = Vec::new();
    let mut sent = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if !sent && line["phase"] == "capture" && line["bytes"].as_u64() > Some(READ_BEFORE_SIGNAL) {
            kill_process(pid, signal).unwrap();
            sent = true;
        }
        lines.push(line);
    }
    (child.wait().unwrap().code().unwrap(), lines)
}

#[test]
fn interrupted_run_is_130_and_the_next_one_resumes() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut mebibytes = FIRST_MEBIBYTES;
        loop {
            let home = Home::new();
            fill(&home, mebibytes);
            home.done(&["-q", "init"]);
            let (code, lines) = interrupted(&home, signal);
            if code == 0 && mebibytes < MOST_MEBIBYTES {
                mebibytes *= 2;
                continue;
            }
            assert_eq!(code, 130, "{lines:?}");
            let error = lines.last().unwrap();
            assert_eq!((&error["type"], &error["name"]), (&"error".into(), &"interrupted".into()));
            assert!(error["hint"].as_str().unwrap().contains("goes on"), "{error}");
            assert_eq!(home.json(&["snapshots"]).last().unwrap()["snapshots"], 0);
            let lines = home.json(&["create", "src"]);
            let summary = lines.last().unwrap();
            assert_eq!(summary["resumed"], true, "{summary}");
            assert!(summary["files_unchanged"].as_u64().unwrap() > 0, "what was finished is not read again: {summary}");
            home.done(&["check", "--read-data"]);
            home.done(&["-q", "restore", "latest", "--target", "out"]);
            let restored = home.restored("out", "src/0042");
            assert!(std::fs::read(restored).unwrap() == std::fs::read(home.join("src/0042")).unwrap());
            break;
        }
    }
}

#[test]
fn interrupted_restore_is_130_and_the_next_one_finishes_it() {
    let mut mebibytes = FIRST_MEBIBYTES;
    loop {
        let home = Home::new();
        fill(&home, mebibytes);
        home.done(&["-q", "init"]);
        home.done(&["-q", "create", "src"]);
        let mut child = home.command(&["-q", "restore", "latest", "--target", "out"]).spawn().unwrap();
        let pid = Pid::from_child(&child);
        // The first file that is there says that it is under way.
        let first = home.restored("out", "src");
        let begun = || std::fs::read_dir(&first).is_ok_and(|mut names| names.next().is_some());
        while !begun() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let sent = kill_process(pid, Signal::INT).is_ok();
        let code = child.wait().unwrap().code().unwrap();
        if (!sent || code == 0) && mebibytes < MOST_MEBIBYTES {
            mebibytes *= 2;
            continue;
        }
        assert_eq!(code, 130);
        let there = std::fs::read_dir(&first).unwrap().count();
        assert!(there < mebibytes, "it stopped before the end");
        let lines = home.json(&["restore", "latest", "--target", "out", "--conflict", "keep-backup"]);
        let summary = lines.last().unwrap();
        assert!(summary["unchanged"].as_u64().unwrap() > 0, "what is there is not written again: {summary}");
        for number in 0..mebibytes {
            let name = format!("src/{number:04}");
            assert!(std::fs::read(home.restored("out", &name)).unwrap() == std::fs::read(home.join(&name)).unwrap());
        }
        break;
    }
}
