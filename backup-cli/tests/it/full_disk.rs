//! Disks that fill up, at twenty different moments.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::home::Ran;
use crate::listing::{assert_holds, list};
use crate::promises::Promises;
use crate::random::Random;

const PAGE: u64 = 4096;
const MOMENTS: u64 = 20;

/// How many of the moments are a page apart at the end, where the small objects are stored.
const LAST: u64 = 8;

/// A small file system, gone with this.
struct Disk(tempfile::TempDir);

impl Disk {
    /// Mounts one; says why it can't.
    fn mount(test: &str, size_bytes: u64) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let options = format!("size={size_bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(place.path()).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED {test}: mounting is not allowed");
            return None;
        }
        Some(Self(place))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.path()).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Fills it up but for so many bytes; the file that does is what makes room when it goes.
    fn fill_up_to(&self, free_bytes: u64) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap();
        let filler = usize::try_from(self.free_bytes() - free_bytes).unwrap();
        std::io::Write::write_all(&mut file, &vec![1; filler]).unwrap();
        assert_eq!(self.free_bytes(), free_bytes);
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.path().display());
    }
}

/// Free bytes that are not enough where so many are: some spread over the whole, and the last ones a page apart.
fn too_few(needed_bytes: u64) -> Vec<u64> {
    let needed = needed_bytes / PAGE;
    let spread = (0..MOMENTS - LAST).map(|moment| moment * (needed - LAST) / (MOMENTS - LAST));
    spread.chain(needed - LAST..needed).map(|pages| pages * PAGE).collect()
}

#[track_caller]
fn assert_says(ran: &Ran, words: &[&str], because: &str) {
    assert_eq!(ran.code, 15, "{because}: {}{}", ran.stdout, ran.stderr);
    for words in words {
        assert!(ran.stderr.contains(words), "{because}: `{words}` is not in: {}", ran.stderr);
    }
}

#[test]
fn create_on_a_full_disk_is_15_and_succeeds_once_there_is_room() {
    let test = "create_on_a_full_disk_is_15_and_succeeds_once_there_is_room";
    let prepare = |disk: &Disk| {
        let mut promises = Promises::at(disk.path().join("r"));
        let mut random = Random::new(21);
        promises.home.write("src/first", random.bytes(50_000));
        promises.done(&["-q", "init"], "at first");
        promises.create("at first");
        promises.home.write("src/second", random.bytes(700_000));
        promises.home.write("src/third", "text\n".repeat(1000));
        promises
    };
    let Some(disk) = Disk::mount(test, 8 << 20) else { return };
    let mut promises = prepare(&disk);
    let before = disk.free_bytes();
    promises.create("with room");
    // The session was there and is gone again.
    let needed = before - disk.free_bytes() + PAGE;
    drop(disk);
    let moments = too_few(needed);
    assert_eq!(moments.len(), 20);
    for free in moments {
        let because = format!("{free} of {needed} bytes are free");
        let Some(disk) = Disk::mount(test, 8 << 20) else { return };
        let mut promises = prepare(&disk);
        let filler = disk.fill_up_to(free);
        let ran = promises.run(&["-q", "create", "src"]);
        assert_says(
            &ran,
            &["error: no snapshot was made", "cannot write `", "no space left", " hint: make room"],
            &because,
        );
        promises.assert_kept(&because);
        // Nothing half is left that takes the room which there is.
        let strays = list(&disk.path().join("r"));
        let strays: Vec<_> = strays.keys().filter(|name| name.to_string_lossy().contains(".tmp-")).collect();
        assert!(strays.is_empty(), "{because}: {strays:?}");
        fs::remove_file(filler).unwrap();
        promises.create(&because);
        promises.assert_kept(&because);
        promises.assert_all_kept(&because);
    }
}

#[test]
fn restore_to_a_full_disk_is_15_and_goes_on_once_there_is_room() {
    let test = "restore_to_a_full_disk_is_15_and_goes_on_once_there_is_room";
    let mut promises = Promises::new();
    let mut random = Random::new(22);
    for number in 0..10 {
        promises.home.write(&format!("src/{number}"), random.bytes(60_000));
    }
    promises.home.write("src/large", random.bytes(1 << 20));
    promises.done(&["-q", "init"], "at first");
    promises.create("at first");
    let expected = list(&promises.home.join("src"));
    let needed = expected.keys().map(|name| promises.home.join("src").join(name)).filter(|path| path.is_file());
    let needed: u64 = needed.map(|path| path.metadata().unwrap().len().next_multiple_of(PAGE)).sum();
    for free in too_few(needed) {
        let because = format!("{free} of {needed} bytes are free");
        let Some(disk) = Disk::mount(test, 8 << 20) else { return };
        let filler = disk.fill_up_to(free);
        let target = disk.path().join("out");
        let restore = ["-q", "restore", "latest", "--target", target.to_str().unwrap()];
        let ran = promises.run(&restore);
        assert_says(&ran, &["error: not everything was restored", "No space left", " hint: make room"], &because);
        // What is there is whole.
        let root = promises.home.restored(target.to_str().unwrap(), "src");
        for path in fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()) {
            let whole = fs::read(promises.home.join("src").join(path.file_name().unwrap())).unwrap();
            assert!(fs::read(&path).unwrap() == whole, "{because}: {}", path.display());
        }
        fs::remove_file(filler).unwrap();
        promises.done(&restore, &because);
        assert_holds(&root, &expected, &because);
    }
}
