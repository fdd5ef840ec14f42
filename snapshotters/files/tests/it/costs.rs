//! What one more file costs in system calls.

use std::path::Path;

use backup_core::EntryKind;
use backup_snapshotter_files::FilesOptions;

use crate::fidelity::target;
use crate::pump::pump;
use crate::tree::write;

const FEW: u64 = 1_000;
const MANY: u64 = 3_000;

/// Calls about files and descriptors; memory and threads are not counted.
const COUNTED: &str = "trace=%file,getdents64,fstat,close,read,write,pread64,pwrite64,lseek,flock,ftruncate,fchmod,\
                       fchown,utimensat,flistxattr,fgetxattr,fsetxattr,fremovexattr,fsync,fdatasync";

/// How many counted calls a test makes on a directory with so many small files.
fn calls(test: &str, files: u64) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    for index in 0..files {
        write(&dir.path().join(format!("source/file{index}")), b"content");
    }
    // Not so new that times could still be moving; and away from the tree that is worked on.
    let trace = tempfile::NamedTempFile::new().unwrap();
    let out = trace.path().to_str().unwrap();
    crate::run_apart(&["strace", "-f", "-qq", "-c", "-U", "calls,name", "-e", COUNTED, "-o", out], test, dir.path());
    let summary = std::fs::read_to_string(trace.path()).unwrap();
    let total = summary.lines().rev().find_map(|line| line.trim().strip_suffix("total"));
    total.unwrap_or_else(|| panic!("no total in {summary}")).trim().parse().unwrap()
}

fn calls_for_one_more_file(test: &str) -> f64 {
    (calls(test, MANY) - calls(test, FEW)) / (MANY - FEW) as f64
}

#[test]
fn one_more_file_costs_one_call_to_list_six_to_read_and_five_to_restore() {
    if !crate::can_trace() {
        return crate::skip("system calls for a file", "strace can't be used");
    }
    // A directory's listing itself adds a call for every few thousand names, and threads' beginnings vary by a few.
    const SLACK: f64 = 0.1;
    let is_about = |measured: f64, calls: f64| (measured - calls).abs() < SLACK;
    let list = calls_for_one_more_file("costs::list");
    assert!(is_about(list, 1.0), "{list} calls to list a file");
    let read = calls_for_one_more_file("costs::read");
    assert!(is_about(read, 7.0), "{read} calls to list and read a file");
    let copy = calls_for_one_more_file("costs::copy");
    assert!(is_about(copy, 12.0), "{copy} calls to list, read and restore a file");
}

fn options(directory: &Path) -> FilesOptions {
    FilesOptions::new([directory.join("source")])
}

#[test]
#[ignore = "runs under strace, by the test above"]
fn list() {
    assert!(crate::view(options(&std::env::current_dir().unwrap())).entries().count() as u64 > FEW);
}

#[test]
#[ignore = "runs under strace, by the test above"]
fn read() {
    let view = crate::view(options(&std::env::current_dir().unwrap()));
    let mut buffer = [0; 4096];
    for mut entry in view.entries().map(Result::unwrap).filter(|entry| entry.kind == EntryKind::File) {
        let mut reader = view.open(&mut entry).unwrap();
        assert_eq!(reader.read(&mut buffer).unwrap(), 7);
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
        reader.stability().unwrap();
    }
}

#[test]
#[ignore = "runs under strace, by the test above"]
fn copy() {
    let dir = std::env::current_dir().unwrap();
    let report = pump(&*crate::view(options(&dir)), &*target(&dir.join("out")));
    assert_eq!(report.problems, []);
}
