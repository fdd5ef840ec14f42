//! The order of system calls, and what is left when one of them fails or the process dies in it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backup_backend_local::LocalBackend;
use backup_core::storage::UploadMaintenance;
use backup_core::{ByteRange, KeyPrefix, StorageBackend};
use futures::stream::TryStreamExt;

use crate::place;
use crate::program::{acknowledged, has_strace, put_objects, traced};

const COUNT: &str = "3";
const SIZE_BYTES: usize = 65_536;
const SIZE: &str = "65536";

/// The calls that matter, by which part of a put they are.
const CALLS: &str = "trace=openat,mkdirat,writev,fsync,linkat,unlinkat,renameat,renameat2,write";

/// Demands that acknowledged objects are there and everything that is listed is whole; then sweeps.
fn check_store(dir: &Path, acknowledged: &[String], because: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = LocalBackend::at(dir).unwrap();
        let all = KeyPrefix::all();
        let listed: BTreeMap<_, _> =
            store.list(&all).map_ok(|meta| (meta.key.to_string(), meta)).try_collect().await.unwrap();
        for key in acknowledged {
            assert!(listed.contains_key(key), "{because}: `{key}` was acknowledged and is not there");
        }
        for meta in listed.values() {
            let number: usize = meta.key.name().parse().unwrap();
            let bytes = store.get(&meta.key, ByteRange::Full).await.unwrap();
            let whole = bytes.len() == SIZE_BYTES && bytes.iter().all(|byte| usize::from(*byte) == number % 256);
            assert!(whole, "{because}: `{}` is not whole: {} bytes", meta.key, bytes.len());
        }
        // Everything but objects is what a sweep finds; the age is that of files which were just written.
        let strays = place::files(dir).len() - listed.len();
        let swept = store.abort_older_than(Duration::ZERO).await.unwrap();
        let left = place::files(dir).len() - listed.len();
        assert!(strays <= 1, "{because}: one process left {strays} strays");
        assert_eq!(usize::try_from(swept).unwrap() + left, strays, "{because}");
    });
}

#[test]
fn a_put_flushes_the_file_before_and_the_directory_after_publishing() {
    if cfg!(feature = "portable") || !has_strace("a_put_flushes_the_file_before_and_the_directory_after_publishing") {
        return;
    }
    for (mode, publish) in [("if-absent", "linkat("), ("overwrite", "renameat(")] {
        let dir = tempfile::tempdir().unwrap();
        let traced = traced(&dir.path().join("new/store"), &["2", SIZE, mode], &[CALLS]);
        assert!(traced.output.status.success());
        let calls = &traced.calls;
        let at = |from: usize, what: &dyn Fn(&str) -> bool| {
            from + calls[from..].iter().position(|call| what(call)).unwrap_or_else(|| panic!("{calls:#?}"))
        };
        let fd_of = |call: &str| call.rsplit_once("= ").unwrap().1.trim().to_owned();
        let argument = |call: &str| call.split_once('(').unwrap().1.split([',', ')']).next().unwrap().to_owned();

        // Each directory that is made is flushed into the one above it before anything else happens.
        let made: Vec<usize> = (0..calls.len()).filter(|n| calls[*n].starts_with("mkdirat(")).collect();
        assert_eq!(made.len(), 3, "new, store, objects: {calls:#?}");
        for n in made {
            assert_eq!(calls[n + 1], format!("fsync({})                          = 0", argument(&calls[n])));
        }

        let mut from = 0;
        for _ in 0..2 {
            let create = at(from, &|call| call.contains("O_CREAT"));
            assert!(calls[create].contains("\".tmp-"), "{}", calls[create]);
            let (dir_fd, file_fd) = (argument(&calls[create]), fd_of(&calls[create]));
            let expected =
                [format!("writev({file_fd},"), format!("fsync({file_fd})"), format!("{publish}{dir_fd}, \".tmp-")];
            for (n, expected) in expected.iter().enumerate() {
                assert!(calls[create + 1 + n].starts_with(expected.as_str()), "{expected}: {calls:#?}");
            }
            let mut next = create + 4;
            if mode == "if-absent" {
                assert!(calls[next].starts_with(&format!("unlinkat({dir_fd}, \".tmp-")), "{calls:#?}");
                next += 1;
            }
            assert!(calls[next].starts_with(&format!("fsync({dir_fd})")), "{calls:#?}");
            // Only then is it acknowledged.
            assert!(calls[next + 1].starts_with("write(1, \"objects/"), "{calls:#?}");
            from = next + 1;
        }
    }
}

#[test]
fn a_process_killed_at_any_call_leaves_whole_objects_only() {
    if !has_strace("a_process_killed_at_any_call_leaves_whole_objects_only") {
        return;
    }
    for mode in ["if-absent", "overwrite"] {
        for call in ["mkdirat,mkdir", "writev", "fsync", "linkat,link", "unlinkat,unlink", "renameat,rename"] {
            for n in 1.. {
                let dir = tempfile::tempdir().unwrap();
                let inject = format!("inject={call}:signal=SIGKILL:when={n}");
                let traced = traced(dir.path(), &[COUNT, SIZE, mode], &[&inject]);
                let because = format!("{mode}, killed at {call} {n}");
                check_store(dir.path(), &traced.acknowledged(), &because);
                if traced.output.status.success() {
                    let expected = match (call, mode) {
                        ("linkat,link" | "unlinkat,unlink", "overwrite") | ("renameat,rename", "if-absent") => 1,
                        _ => 2,
                    };
                    assert!(n >= expected, "{because}: nothing was killed");
                    break;
                }
            }
        }
    }
}

#[test]
fn a_failed_flush_is_final_and_nothing_of_the_object_is_acknowledged() {
    if !has_strace("a_failed_flush_is_final_and_nothing_of_the_object_is_acknowledged") {
        return;
    }
    // The first flush is of the new directory's name, the second of the first object, the third of its directory.
    for n in if cfg!(feature = "portable") { 1..=3 } else { 1..=7 } {
        let dir = tempfile::tempdir().unwrap();
        let inject = format!("inject=fsync:error=EIO:when={n}");
        let traced = traced(dir.path(), &[COUNT, SIZE, "if-absent"], &["trace=fsync,linkat,link", &inject]);
        assert_eq!(traced.output.status.code(), Some(1), "flush {n} failed and the program went on");
        let failed = traced.calls.iter().position(|call| call.contains("EIO")).unwrap();
        let after: Vec<_> = traced.calls[failed + 1..].iter().filter(|call| !call.starts_with("+++")).collect();
        assert!(after.is_empty(), "after a failed flush: {after:?}");
        check_store(dir.path(), &traced.acknowledged(), &format!("EIO at flush {n}"));
        let strays = place::files(dir.path()).iter().filter(|(name, _)| name.contains(".tmp-")).count();
        assert_eq!(strays, 0, "flush {n}");
    }
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    if !has_strace("a_full_disk_leaves_nothing_behind") {
        return;
    }
    for error in ["ENOSPC", "EDQUOT"] {
        for call in ["writev", "fsync"] {
            let dir = tempfile::tempdir().unwrap();
            let inject = format!("inject={call}:error={error}:when=3+");
            let traced = traced(dir.path(), &[COUNT, SIZE, "if-absent"], &[&inject]);
            assert_eq!(traced.output.status.code(), Some(1));
            let message = String::from_utf8_lossy(&traced.output.stderr).into_owned();
            assert!(message.contains("QuotaExceeded"), "{message}");
            assert!(message.contains("Never"), "{message}");
            let acknowledged = traced.acknowledged();
            check_store(dir.path(), &acknowledged, error);
            assert!(place::files(dir.path()).iter().all(|(name, _)| !name.contains(".tmp-")));
        }
    }
}

#[test]
fn without_hard_links_objects_are_still_created_once() {
    let test = "without_hard_links_objects_are_still_created_once";
    if cfg!(feature = "portable") || !has_strace(test) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let no_links = "inject=linkat:error=EPERM";
    let first = traced(dir.path(), &["3", SIZE, "if-absent"], &[no_links]);
    assert!(first.output.status.success());
    check_store(dir.path(), &first.acknowledged(), "no hard links");
    assert_eq!(first.acknowledged().len(), 3);
    let renames = first.calls.iter().filter(|call| call.starts_with("renameat2(")).count();
    assert_eq!(renames, 3);
    let again = traced(dir.path(), &["3", SIZE, "if-absent"], &[no_links]);
    assert!(String::from_utf8_lossy(&again.output.stderr).contains("AlreadyExists"));

    // With neither of the two there is no safe way, and it says so.
    let dir = tempfile::tempdir().unwrap();
    let neither = traced(dir.path(), &["1", SIZE, "if-absent"], &[no_links, "inject=renameat2:error=EINVAL"]);
    assert!(String::from_utf8_lossy(&neither.output.stderr).contains("Unsupported"));
    assert!(place::files(dir.path()).is_empty());
}

#[test]
fn processes_that_race_without_hard_links_share_the_keys_out() {
    let test = "processes_that_race_without_hard_links_share_the_keys_out";
    if cfg!(feature = "portable") || !has_strace(test) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let racers: Vec<_> = (0..4)
        .map(|_| {
            let mut command = Command::new("strace");
            command.args(["-f", "-o", "/dev/null", "-e", "trace=linkat", "-e", "inject=linkat:error=EPERM"]);
            command.arg(put_objects()).arg(dir.path()).args(["150", SIZE, "claim"]).stdout(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let mut claimed: Vec<String> = Vec::new();
    for racer in racers {
        let output = racer.wait_with_output().unwrap();
        assert!(output.status.success());
        claimed.extend(acknowledged(&output.stdout));
    }
    claimed.sort();
    let expected: Vec<_> = (0..150).map(|number| format!("objects/{number:06}")).collect();
    assert_eq!(claimed, expected, "a key was created twice or not at all");
    check_store(dir.path(), &claimed, "race");
}

/// Kills with SIGKILL a process that was heard to store so many objects.
fn kill_after(child: &mut Child, objects: usize) -> Vec<u8> {
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut said = Vec::new();
    for _ in 0..objects {
        reader.read_until(b'\n', &mut said).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said before it died counts too.
    std::io::Read::read_to_end(&mut reader, &mut said).unwrap();
    said
}

#[test]
fn a_process_killed_while_it_writes_keeps_what_it_acknowledged() {
    for objects in [0, 1, 2, 5, 10, 20, 40] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(put_objects());
        command.arg(dir.path()).args(["100000", SIZE, "if-absent"]).stdout(Stdio::piped());
        let said = kill_after(&mut command.spawn().unwrap(), objects);
        let acknowledged = acknowledged(&said);
        assert!(acknowledged.len() >= objects);
        check_store(dir.path(), &acknowledged, &format!("killed after {objects}"));
    }
}
