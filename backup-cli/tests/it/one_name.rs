//! Targets that take several spellings for one name: a stick with exFAT.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::home::Home;

const STICK_BYTES: u64 = 16 << 20;

/// A file system that takes `Foo` for `foo`, gone with this.
struct Stick {
    place: tempfile::TempDir,
    device: String,
}

impl Stick {
    /// Makes and mounts one; says why it can't.
    fn mount(test: &str) -> Option<Self> {
        let skipped = |why: &str| {
            crate::skip(test, why);
            None
        };
        let (Some(format), Some(mount)) = (tool("mkfs.exfat"), tool("mount.exfat-fuse")) else {
            return skipped("there is no mkfs.exfat or no mount.exfat-fuse");
        };
        let place = tempfile::tempdir().unwrap();
        let image = place.path().join("image");
        File::create(&image).unwrap().set_len(STICK_BYTES).unwrap();
        let attached = Command::new("losetup").args(["--find", "--show"]).arg(&image).output();
        let Some(attached) = attached.ok().filter(|output| output.status.success()) else {
            return skipped("loop devices are not to be had here");
        };
        let device = String::from_utf8(attached.stdout).unwrap().trim().to_owned();
        let stick = Self { place, device };
        fs::create_dir(stick.path()).unwrap();
        let made = Command::new(format).arg(&stick.device).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let mounted = Command::new(mount).arg(&stick.device).arg(stick.path()).output().unwrap();
        if mounted.status.success() { Some(stick) } else { skipped("file systems in user space are not allowed") }
    }

    fn path(&self) -> PathBuf {
        self.place.path().join("stick")
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        // Not mounted where mounting was refused; the device must go all the same.
        let unmounted = Command::new("umount").arg(self.path()).output();
        let detached = Command::new("losetup").args(["--detach", &self.device]).status();
        assert!(detached.is_ok_and(|status| status.success()), "{} stays attached: {unmounted:?}", self.device);
    }
}

/// Where a tool of administration is; not everybody's `PATH` has its folder.
fn tool(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/sbin", "/usr/bin"].iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// A restore of `data` to `data` on the stick, that removes what the backup doesn't have.
fn restore_arguments(home: &Home, stick: &Path) -> Vec<String> {
    let data = home.join("data").canonicalize().unwrap();
    // All of the path but its beginning, `/`, and its end.
    let strip = (data.components().count() - 2).to_string();
    let arguments =
        ["restore", "latest", data.to_str().unwrap(), "--target", stick.to_str().unwrap(), "--strip", &strip];
    arguments.iter().chain(&["--delete", "--conflict", "keep-backup"]).map(|&argument| argument.to_owned()).collect()
}

/// The report of that restore.
fn restore_with_delete(home: &Home, stick: &Path) -> serde_json::Value {
    let arguments = restore_arguments(home, stick);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    home.json(&arguments).pop().unwrap()
}

#[test]
fn delete_keeps_what_was_restored_under_another_spelling() {
    let Some(stick) = Stick::mount("delete_keeps_what_was_restored_under_another_spelling") else { return };
    let home = Home::new();
    home.write("data/Letters/Bank.txt", "new");
    home.write("data/Readme", "new");
    home.done(&["init"]);
    home.done(&["create", "data"]);
    let out = stick.path();
    fs::create_dir_all(out.join("DATA/LETTERS")).unwrap();
    for name in ["DATA/LETTERS/BANK.TXT", "DATA/LETTERS/gone", "DATA/README", "DATA/gone"] {
        fs::write(out.join(name), "old").unwrap();
    }
    assert_eq!(restore_with_delete(&home, &out)["deleted"], 2);
    for name in ["data/Letters/Bank.txt", "data/Readme"] {
        assert_eq!(fs::read_to_string(out.join(name)).unwrap(), "new", "{name}");
    }
    for name in ["data/letters/gone", "data/gone"] {
        assert!(!out.join(name).exists(), "{name}");
    }
}

#[test]
fn delete_spares_what_two_directories_that_became_one_have_brought() {
    let Some(stick) = Stick::mount("delete_spares_what_two_directories_that_became_one_have_brought") else { return };
    let home = Home::new();
    for name in ["data/Docs/a", "data/Docs/both", "data/docs/b"] {
        home.write(name, name);
    }
    home.done(&["init"]);
    home.done(&["create", "data"]);
    let report = restore_with_delete(&home, &stick.path());
    assert_eq!(report["deleted"], 0, "{report}");
    for name in ["data/Docs/a", "data/Docs/both", "data/docs/b"] {
        assert_eq!(fs::read_to_string(stick.path().join(name)).unwrap(), name);
    }
}
