//! What went in comes out, through the binary, as rsync sees it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::home::Home;
use crate::tree;

/// The part of a real tree that is taken where the whole is not asked for.
const BOUNDED_BYTES: u64 = 200 << 20;

/// Everything in a tree that rsync tells from the same name in another one; `None` when there is no rsync.
fn differences(source: &Path, restored: &Path) -> Option<String> {
    let with_slash = |path: &Path| {
        let mut path = path.as_os_str().to_owned();
        path.push("/");
        path
    };
    let output = Command::new("rsync")
        .args(["-aHAXn", "--checksum", "--delete", "--itemize-changes"])
        .args([with_slash(source), with_slash(restored)])
        .output();
    match output {
        Ok(output) => {
            assert!(output.status.success(), "{output:?}");
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            crate::skip("comparison by rsync", "rsync is not installed");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
pub(crate) fn assert_same(source: &Path, restored: &Path) {
    if let Some(found) = differences(source, restored) {
        let lines: Vec<_> = found.lines().take(40).collect();
        assert!(found.is_empty(), "{} is not {}:\n{}", restored.display(), source.display(), lines.join("\n"));
    }
}

/// Where a path stands below a target.
pub(crate) fn below(target: &Path, path: &Path) -> PathBuf {
    target.join(path.canonicalize().unwrap().strip_prefix("/").unwrap())
}

/// Stores paths and brings them back to `out`; says what `create` told.
fn through(home: &Home, paths: &[PathBuf]) -> serde_json::Value {
    home.done(&["-q", "init"]);
    let mut create = home.command(&["--json", "create"]);
    let created = crate::home::ran(create.args(paths));
    assert_eq!(created.code, 0, "{}{}", created.stdout, created.stderr);
    home.done(&["check", "--read-data"]);
    home.done(&["-q", "restore", "latest", "--target", "out"]);
    created.lines().pop().unwrap()
}

#[test]
fn nasty_tree_comes_back_the_same() {
    let home = Home::new();
    let source = home.join("source");
    tree::nasty(&source);
    tree::deep(&source, 300, 50);
    through(&home, std::slice::from_ref(&source));
    let restored = below(&home.join("out"), &source);
    assert_same(&source, &restored);

    // A second snapshot, for which nothing is read, and a restore over what is there.
    home.settle();
    home.done(&["-q", "create", "source"]);
    let lines = home.json(&["restore", "latest", "--target", "out"]);
    assert_eq!(lines.last().unwrap()["kept_both"], 0, "{:?}", lines.last());
    assert_same(&source, &restored);
    home.done(&["-q", "restore", "latest", "--target", "second"]);
    assert_same(&source, &below(&home.join("second"), &source));
}

#[test]
fn comparison_notices_what_a_restore_could_lose() {
    type Loss = fn(&Path);
    let losses: &[(&str, Loss)] = &[
        ("fc.t...... plain/small", |dir| fs::write(dir.join("plain/small"), "Small").unwrap()),
        ("f..t...... plain/large", |dir| tree::set_time(&dir.join("plain/large"), 5, 5)),
        ("d...p..... plain/", |dir| tree::set_mode(&dir.join("plain"), 0o711)),
        ("cd+++++++++ empty/nested/deeper/", |dir| fs::remove_dir(dir.join("empty/nested/deeper")).unwrap()),
        ("*deleting   plain/extra", |dir| tree::write(&dir.join("plain/extra"), b"")),
        ("links/hard1 => links/file", |dir| {
            fs::remove_file(dir.join("links/hard1")).unwrap();
            fs::copy(dir.join("links/file"), dir.join("links/hard1")).unwrap();
        }),
        ("cS+++++++++ special/pipe", |dir| fs::remove_file(dir.join("special/pipe")).unwrap()),
    ];
    let home = Home::new();
    let source = home.join("source");
    tree::nasty(&source);
    through(&home, std::slice::from_ref(&source));
    let restored = below(&home.join("out"), &source);
    for (name, lose) in losses {
        lose(&restored);
        let Some(found) = differences(&source, &restored) else { return };
        assert!(found.lines().any(|line| line.ends_with(name)), "{name}: {found}");
    }
}

/// Removes a folder that is deeper than what the standard library removes with few descriptors.
struct RemovedAfterwards(PathBuf);

impl Drop for RemovedAfterwards {
    fn drop(&mut self) {
        let removed = Command::new("rm").arg("-rf").arg(&self.0).status();
        assert!(removed.is_ok_and(|status| status.success()), "{} stays", self.0.display());
    }
}

/// How many levels a chain of folders has, and what the files on the way hold.
fn depth(root: &Path) -> (usize, Vec<(usize, Vec<u8>)>) {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let (mut levels, mut files) = (0, Vec::new());
    let open = OFlags::RDONLY | OFlags::CLOEXEC;
    let mut at = openat(CWD, root, open | OFlags::DIRECTORY, Mode::empty()).unwrap();
    loop {
        if let Ok(file) = openat(&at, "file", open, Mode::empty()) {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut fs::File::from(file), &mut content).unwrap();
            files.push((levels, content));
        }
        match openat(&at, "d", open | OFlags::DIRECTORY, Mode::empty()) {
            Ok(next) => at = next,
            Err(rustix::io::Errno::NOENT) => return (levels, files),
            Err(error) => panic!("level {levels}: {error}"),
        }
        levels += 1;
    }
}

#[test]
fn paths_longer_than_system_calls_take_come_back() {
    let home = Home::in_memory();
    let source = home.join("source");
    let _guards = [RemovedAfterwards(source.clone()), RemovedAfterwards(home.join("out"))];
    fs::create_dir(&source).unwrap();
    tree::deep(&source, 2_500, 500);
    through(&home, std::slice::from_ref(&source));
    let (levels, files) = depth(&below(&home.join("out"), &source));
    assert_eq!((levels, files.len()), (2_500, 5));
    assert_eq!(files, depth(&source).1);
    assert_eq!(files[0].1, b"deep");
}

#[test]
fn etc_comes_back_the_same() {
    if !crate::is_root() {
        return crate::skip("/etc", "only root reads all of it");
    }
    let home = Home::new();
    let source = Path::new("/etc");
    through(&home, &[source.to_owned()]);
    assert_same(source, &below(&home.join("out"), source));
}

/// Folders and files of a tree, in order of their names, up to so many bytes.
fn beginning(root: &Path, most_bytes: u64) -> Vec<PathBuf> {
    let mut names: Vec<OsString> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let mut left = most_bytes;
    let mut taken = Vec::new();
    for path in names.into_iter().map(|name| root.join(name)) {
        let bytes = bytes_of(&path);
        if bytes <= left {
            left -= bytes;
            taken.push(path);
        }
    }
    taken
}

fn bytes_of(path: &Path) -> u64 {
    let metadata = fs::symlink_metadata(path).unwrap();
    let below = match metadata.is_dir() {
        true => fs::read_dir(path).unwrap().map(|entry| bytes_of(&entry.unwrap().path())).sum(),
        false => 0,
    };
    metadata.len() + below
}

#[test]
fn usr_lib_comes_back_the_same() {
    let root = Path::new("/usr/lib");
    if !root.is_dir() || !crate::is_root() {
        return crate::skip("/usr/lib", "it is not there, or only root reads all of it");
    }
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests may ask for the whole")]
    let is_whole = std::env::var_os("BACKUP_TEST_FULL").is_some();
    let paths = if is_whole { vec![root.to_owned()] } else { beginning(root, BOUNDED_BYTES) };
    assert!(!paths.is_empty());
    let home = Home::new();
    let summary = through(&home, &paths);
    eprintln!("{} files, {} bytes of {}", summary["files"], summary["size_bytes"], root.display());
    for path in paths {
        let restored = below(&home.join("out"), path.parent().unwrap()).join(path.file_name().unwrap());
        if path.is_dir() && !path.is_symlink() {
            assert_same(&path, &restored);
        } else if path.is_symlink() {
            assert_eq!(fs::read_link(&restored).unwrap(), fs::read_link(&path).unwrap());
        } else {
            assert!(fs::read(&restored).unwrap() == fs::read(&path).unwrap(), "{}", path.display());
        }
    }
}
