//! Sources that change while they are read.
//!
//! Every file here tells from its content alone whether it is one state that it had at one moment.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::home::{Home, Ran, of_type};
use crate::listing::{assert_holds, list};
use crate::random::Random;

/// Runs of `create` under change.
const ROUNDS: u64 = 4;

const RECORD_BYTES: usize = 64;

/// Larger than a chunk, so that reading one takes several calls.
const LARGE_RECORDS: usize = 4 << 14;
const SMALL_RECORDS: usize = 100;

/// A record names its version and its place, over and over.
fn record(version: u64, number: usize) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[..8].copy_from_slice(&version.to_le_bytes());
    record[8..16].copy_from_slice(&u64::try_from(number).unwrap().to_le_bytes());
    record.copy_within(..16, 16);
    record.copy_within(..32, 32);
    record
}

fn version(version: u64, records: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(records * RECORD_BYTES);
    for number in 0..records {
        content.extend_from_slice(&record(version, number));
    }
    content
}

/// The version that the first record names.
fn version_of(content: &[u8]) -> Option<u64> {
    content.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Whether a content is one version whole.
fn is_whole(content: &[u8], records: usize) -> bool {
    version_of(content).is_some_and(|number| content == version(number, records))
}

/// Whether a content is the beginning of a log, of whole records if it is to be.
fn is_log(content: &[u8], of_whole_records: bool) -> bool {
    let whole = content.len().is_multiple_of(RECORD_BYTES);
    let expected = version(0, content.len().div_ceil(RECORD_BYTES));
    expected.starts_with(content) && (whole || !of_whole_records)
}

/// What changes, and how often it did.
struct Writer<'a> {
    root: &'a Path,
    random: Random,
    next_version: u64,
    logged: usize,
    changes: &'a AtomicU64,
}

impl Writer<'_> {
    fn version(&mut self) -> u64 {
        self.next_version += 1;
        self.next_version
    }

    fn change(&mut self) {
        let number = self.random.below(4);
        match self.random.below(8) {
            0 => self.replace(&format!("replaced-{number}"), LARGE_RECORDS),
            1 => self.replace(&format!("small-replaced-{number}"), SMALL_RECORDS),
            2 => self.overwrite(&format!("overwritten-{number}"), LARGE_RECORDS),
            3 => self.overwrite(&format!("small-overwritten-{number}"), SMALL_RECORDS),
            4 => self.truncate(&format!("truncated-{number}")),
            5 => self.append(),
            6 => self.come_and_go(number),
            _ => self.rename_folder(number),
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Another file takes the name: whoever reads has one or the other.
    fn replace(&mut self, name: &str, records: usize) {
        let content = version(self.version(), records);
        let beside = self.root.join(format!("{name}.new"));
        fs::write(&beside, content).unwrap();
        fs::rename(beside, self.root.join(name)).unwrap();
    }

    fn overwrite(&mut self, name: &str, records: usize) {
        overwrite(&self.root.join(name), &version(self.version(), records));
    }

    /// The same file is emptied and filled again.
    fn truncate(&mut self, name: &str) {
        let content = version(self.version(), SMALL_RECORDS);
        let mut file = File::create(self.root.join(name)).unwrap();
        for piece in content.chunks(content.len() / 4) {
            file.write_all(piece).unwrap();
        }
    }

    fn append(&mut self) {
        let mut file = File::options().append(true).create(true).open(self.root.join("log")).unwrap();
        for _ in 0..100 {
            file.write_all(&record(0, self.logged)).unwrap();
            self.logged += 1;
        }
    }

    fn come_and_go(&mut self, number: usize) {
        let path = self.root.join(format!("folder-{number}/comes-and-goes"));
        // The folder may be under its other name.
        if fs::remove_file(&path).is_err() && path.parent().unwrap().is_dir() {
            fs::write(path, version(self.version(), SMALL_RECORDS)).unwrap();
        }
    }

    fn rename_folder(&mut self, number: usize) {
        let (one, other) = (self.root.join(format!("folder-{number}")), self.root.join(format!("moved-{number}")));
        if one.exists() { fs::rename(one, other).unwrap() } else { fs::rename(other, one).unwrap() }
    }
}

/// Gives a file other bytes of the same length, piece by piece.
fn overwrite(path: &Path, content: &[u8]) {
    let mut file = File::options().write(true).open(path).unwrap();
    for piece in content.chunks(content.len() / 16) {
        file.write_all(piece).unwrap();
    }
}

/// A source of which one half rests.
fn prepare(home: &Home, random: &mut Random) {
    for number in 0..300 {
        let len = random.below(20_000);
        home.write(&format!("src/resting/{}/{number}", number % 7), random.bytes(len));
    }
    home.write("src/resting/large", random.bytes(6 << 20));
    for number in 0..4 {
        for name in ["replaced", "overwritten"] {
            home.write(&format!("src/moving/{name}-{number}"), version(0, LARGE_RECORDS));
            home.write(&format!("src/moving/small-{name}-{number}"), version(0, SMALL_RECORDS));
        }
        home.write(&format!("src/moving/hot/overwritten-{number}"), version(0, LARGE_RECORDS));
        home.write(&format!("src/moving/truncated-{number}"), version(0, SMALL_RECORDS));
        for inside in 0..20 {
            home.write(&format!("src/moving/folder-{number}/{inside}"), version(0, SMALL_RECORDS));
        }
    }
}

/// Changes the source until the binary has ended.
fn create_under_change(home: &Home, writer: &mut Writer<'_>) -> Ran {
    let is_over = AtomicBool::new(false);
    let began = writer.changes.load(Ordering::Relaxed);
    let output = std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                writer.change();
            }
            writer.changes.load(Ordering::Relaxed)
        });
        // Files that never rest, so that no number of attempts reads one state of them.
        let hot = home.join("src/moving/hot");
        let is_over = &is_over;
        scope.spawn(move || {
            let states = [version(1, LARGE_RECORDS), version(2, LARGE_RECORDS)];
            for turn in (0..4).cycle() {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                overwrite(&hot.join("overwritten-0"), &states[turn % 2]);
                overwrite(&hot.join(format!("overwritten-{turn}")), &states[turn / 2]);
            }
        });
        let mut create = home.command(&["--json", "create", "src"]);
        let output = create.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        is_over.store(true, Ordering::Relaxed);
        let changes = changing.join().unwrap() - began;
        eprintln!("{changes} changes");
        assert!(changes > 0, "nothing changed meanwhile");
        output
    });
    Ran {
        code: output.status.code().unwrap_or_else(|| panic!("it was ended by {}", output.status)),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Files of which the run said that they may mix two states.
fn torn(home: &Home, ran: &Ran) -> BTreeSet<PathBuf> {
    let moving = home.join("src/moving").canonicalize().unwrap();
    let lines = ran.lines();
    let problems = of_type(&lines, "problem");
    assert_eq!(u64::try_from(problems.len()).unwrap(), lines.last().unwrap()["problems"].as_u64().unwrap());
    assert_eq!(ran.code, if problems.is_empty() { 0 } else { 3 }, "{}", ran.stdout);
    let mut torn = BTreeSet::new();
    for problem in problems {
        let path = Path::new("/").join(problem["path"].as_str().unwrap());
        let name = path.strip_prefix(&moving).unwrap_or_else(|_| panic!("what rests is no problem: {problem}"));
        if problem["action"] == "torn copy of" {
            torn.insert(name.to_owned());
        }
    }
    torn
}

/// Demands that each file of the moving half is one state or was said to be torn; counts how many there are.
fn assert_true(restored: &Path, torn: &BTreeSet<PathBuf>, because: &str) -> usize {
    let mut folders = vec![restored.to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let name = path.strip_prefix(restored).unwrap();
            let text = name.to_string_lossy().into_owned();
            let content = fs::read(&path).unwrap();
            let is_torn = torn.contains(name);
            let is_true = if text == "log" {
                is_log(&content, !is_torn)
            } else if text.starts_with("replaced-")
                || text.contains("/overwritten-")
                || text.starts_with("overwritten-")
            {
                is_whole(&content, LARGE_RECORDS)
            } else {
                is_whole(&content, SMALL_RECORDS)
            };
            // Files that are being written for the first time, or anew, were short at some moment: a true state as well.
            let was_short =
                text.ends_with(".new") || text.starts_with("truncated-") || text.ends_with("comes-and-goes");
            let is_beginning = was_short && is_beginning(&content);
            assert!(is_true || is_torn || is_beginning, "{because}: {text} mixes states and nobody said so");
        }
    }
    files
}

/// Whether a content is the beginning of one version, such as none of it.
fn is_beginning(content: &[u8]) -> bool {
    let records = content.len().div_ceil(RECORD_BYTES);
    content.is_empty() || version_of(content).is_some_and(|number| version(number, records).starts_with(content))
}

#[test]
fn source_that_changes_under_the_reader_gives_true_states_and_says_which_are_not() {
    let home = Home::in_memory();
    let mut random = Random::new(29);
    prepare(&home, &mut random);
    home.done(&["-q", "init"]);
    let resting = list(&home.join("src/resting"));
    let changes = AtomicU64::new(0);
    let moving = home.join("src/moving");
    let mut writer = Writer { root: &moving, random, next_version: 0, logged: 0, changes: &changes };
    let (mut seen, mut torn_files) = (0, 0);
    for round in 0..ROUNDS {
        let because = format!("round {round}");
        let ran = create_under_change(&home, &mut writer);
        assert!([0, 3].contains(&ran.code), "{because}: {}{}", ran.stdout, ran.stderr);
        let torn = torn(&home, &ran);
        eprintln!("{} torn", torn.len());
        torn_files += torn.len();
        home.done(&["-q", "restore", "latest", "--target", "out"]);
        let restored = home.restored("out", "src");
        assert_holds(&restored.join("resting"), &resting, &because);
        seen += assert_true(&restored.join("moving"), &torn, &because);
        fs::remove_dir_all(home.join("out")).unwrap();

        // Now that everything rests, the next one has it exactly, whatever the last one thought it knew.
        home.done(&["-q", "create", "src"]);
        home.done(&["-q", "restore", "latest", "--target", "out"]);
        assert_holds(&restored, &list(&home.join("src")), &format!("{because}, at rest"));
        fs::remove_dir_all(home.join("out")).unwrap();
    }
    home.done(&["check", "--read-data"]);
    assert!(seen > 200 && torn_files > 0, "{seen} files, {torn_files} torn: nothing was tried");
}

#[test]
fn states_are_told_apart() {
    assert!(is_whole(&version(7, 3), 3) && !is_whole(&version(7, 2), 3));
    let mixed = [&version(7, 4)[..2 * RECORD_BYTES], &version(8, 4)[2 * RECORD_BYTES..]].concat();
    assert!(!is_whole(&mixed, 4) && !is_beginning(&mixed));
    assert!(is_beginning(&version(7, 4)[..100]) && is_beginning(b""));
    assert!(is_log(&version(0, 4)[..100], false) && !is_log(&version(0, 4)[..100], true));
    assert!(!is_log(&version(1, 4), false));
}
