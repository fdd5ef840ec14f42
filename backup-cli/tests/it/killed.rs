//! The binary killed at every call that makes something last.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::home::Home;
use crate::listing::{Listing, assert_holds, list};
use crate::promises::Promises;
use crate::random::Random;
use crate::stepwise::{self, Fault, LASTING};

/// A source of a few small files and one of several chunks.
fn fill(home: &Home, random: &mut Random) {
    home.write("src/text", "some text\n".repeat(100));
    home.write("src/folder/deeper/noise", random.bytes(300_000));
    home.write("src/folder/empty", "");
    home.write("src/large", random.bytes(2 << 20));
    std::os::unix::fs::symlink("text", home.join("src/link")).unwrap();
    fs::hard_link(home.join("src/text"), home.join("src/folder/hard")).unwrap();
}

/// What dead runs leave in a repository: temporary files, and sessions with their folders.
fn litter(repository: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![repository.to_owned()];
    let sessions = repository.join("sessions");
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let is_temporary = path.file_name().unwrap().to_string_lossy().starts_with(".tmp-");
            if is_temporary || folder.starts_with(&sessions) {
                found.push(path.clone());
            }
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// Makes files look as if they had been left two days ago.
fn age(files: &[PathBuf]) {
    const TWO_DAYS: Duration = Duration::from_secs(2 * 24 * 3600);
    for path in files.iter().filter(|path| path.is_file()) {
        let file = File::options().write(true).open(path).unwrap();
        let modified: SystemTime = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified - TWO_DAYS).unwrap();
    }
}

fn bytes_of(folder: &Path) -> u64 {
    list(folder).keys().map(|name| fs::symlink_metadata(folder.join(name)).unwrap().len()).sum()
}

#[test]
fn create_killed_at_any_call_loses_nothing_and_the_next_one_needs_no_help() {
    if !stepwise::is_allowed("create_killed_at_any_call_loses_nothing_and_the_next_one_needs_no_help") {
        return;
    }
    let mut promises = Promises::new();
    let mut random = Random::new(17);
    fill(&promises.home, &mut random);
    promises.done(&["-q", "init"], "at first");
    promises.create("at first");
    let mut kills = BTreeMap::new();
    let mut stored = 0;
    for at in 1.. {
        // Something new each time, so that every run stores packs, and a file that is stored in part already.
        let noise = random.bytes(40_000);
        stored += noise.len();
        promises.home.write("src/new", noise);
        promises.home.write("src/text", format!("version {at}\n").repeat(100));
        let because = format!("killed at call {at}");
        let create = promises.command(&["-q", "create", "src"]);
        let run = stepwise::run(&create, LASTING, Some(Fault::Kill(at)));
        if run.code.is_some() {
            assert_eq!(run.code, Some(0), "{because}: {}", run.stderr);
            break;
        }
        *kills.entry(*run.calls.last().unwrap()).or_insert(0) += 1;
        promises.assert_kept(&because);
        // The recovery is killed at the same place.
        let because = format!("killed at call {at} twice");
        if stepwise::run(&create, LASTING, Some(Fault::Kill(at))).code.is_none() {
            promises.assert_kept(&because);
        }
        promises.create(&because);
        promises.assert_kept(&because);
    }
    eprintln!("killed at {kills:?}");
    // Which call is the n-th differs from run to run: threads take turns, and names of packs decide which folders are made.
    assert!(kills.get("fsync").is_some_and(|count| *count >= 3) && kills.len() >= 3, "{kills:?}");
    promises.assert_all_kept("in the end");

    // What the dead runs left goes once it can't be a living one's.
    let left = litter(promises.repository());
    eprintln!("{} files and folders are left", left.len());
    age(&left);
    promises.create("after two days");
    let left = litter(promises.repository());
    // The folders of sessions go with the sweep after their session, as the one of the last run here.
    promises.create("once more");
    let still = litter(promises.repository());
    assert!(still.len() <= 1 && still.iter().all(|path| path.is_dir()), "{left:#?} {still:#?}");
    promises.assert_all_kept("once more");
    let (needed, used) = (2_400_000 + u64::try_from(stored).unwrap(), bytes_of(promises.repository()));
    assert!(used < needed + needed / 10, "{used} bytes are stored of {needed}");
}

#[test]
fn init_killed_at_any_call_is_done_by_the_next_one() {
    if !stepwise::is_allowed("init_killed_at_any_call_is_done_by_the_next_one") {
        return;
    }
    for at in 1.. {
        let because = format!("killed at call {at}");
        let mut promises = Promises::new();
        promises.home.write("src/text", "text");
        let run = stepwise::run(&promises.command(&["-q", "init"]), LASTING, Some(Fault::Kill(at)));
        if run.code.is_some() {
            assert!(at > 8, "nothing was killed: {run:?}");
            break;
        }
        let again = promises.run(&["-q", "init"]);
        let is_there = again.code == 1 && again.stderr.contains("there is a repository already");
        assert!(again.code == 0 || is_there, "{because}: {}", again.stderr);
        promises.create(&because);
        promises.assert_kept(&because);
    }
}

/// Kills a restore of the latest snapshot at each of its calls, each time after `prepare` has made the target ready, and demands
/// that the next one leaves exactly what was in the source. Returns where it was killed.
fn restores_after_kills(
    promises: &Promises,
    expected: &Listing,
    prepare: impl Fn(&Path),
) -> BTreeMap<&'static str, usize> {
    let repository = list(promises.repository());
    let mut kills = BTreeMap::new();
    for at in 1.. {
        let because = format!("killed at call {at}");
        let target = format!("target-{at}");
        prepare(&promises.home.restored(&target, "src"));
        let arguments = ["--json", "restore", "latest", "--target", &target, "--conflict", "keep-backup"];
        let run = stepwise::run(&promises.command(&arguments), LASTING, Some(Fault::Kill(at)));
        if run.code.is_some() {
            assert_eq!(run.code, Some(0), "{because}: {}", run.stderr);
            break;
        }
        *kills.entry(*run.calls.last().unwrap()).or_insert(0) += 1;
        let lines = promises.done(&arguments, &because).lines();
        assert_eq!(lines.last().unwrap()["kept_both"], 0, "{because}: {lines:?}");
        // Exactly what was in the source: no half file, and no temporary one beside.
        assert_holds(&promises.home.restored(&target, "src"), expected, &because);
        assert_holds(promises.repository(), &repository, &because);
    }
    eprintln!("killed at {kills:?}");
    kills
}

/// A snapshot of a filled source, and what is in it.
fn protected(seed: u64) -> (Promises, Listing) {
    let mut promises = Promises::new();
    fill(&promises.home, &mut Random::new(seed));
    promises.done(&["-q", "init"], "at first");
    promises.create("at first");
    let expected = list(&promises.home.join("src"));
    (promises, expected)
}

#[test]
fn restore_killed_at_any_call_is_finished_by_the_next_one() {
    if !stepwise::is_allowed("restore_killed_at_any_call_is_finished_by_the_next_one") {
        return;
    }
    let (promises, expected) = protected(18);
    let kills = restores_after_kills(&promises, &expected, |_| {});
    // A new file has no name until it is whole; elsewhere than in such a file system it is renamed.
    for call in ["mkdirat", "linkat", "syncfs"] {
        assert!(kills.contains_key(call), "{call}: {kills:?}");
    }
}

#[test]
fn restore_over_other_files_killed_at_any_call_is_finished_by_the_next_one() {
    if !stepwise::is_allowed("restore_over_other_files_killed_at_any_call_is_finished_by_the_next_one") {
        return;
    }
    let (promises, expected) = protected(19);
    let large = fs::read(promises.home.join("src/large")).unwrap();
    let kills = restores_after_kills(&promises, &expected, |folder| {
        // Shorter, partly the same, of another kind, a folder in the way of a link.
        fs::create_dir_all(folder.join("folder/deeper")).unwrap();
        fs::write(folder.join("text"), "mine").unwrap();
        fs::write(folder.join("large"), [&large[..1 << 20], b"mine"].concat()).unwrap();
        std::os::unix::fs::symlink("elsewhere", folder.join("folder/empty")).unwrap();
        fs::write(folder.join("link"), "no link").unwrap();
        fs::write(folder.join("folder/hard"), "no other name of text").unwrap();
    });
    assert!(kills.contains_key("renameat"), "{kills:?}");
}
