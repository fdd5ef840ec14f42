//! Memory of the real binary where there is much of something. Peaks are asserted, times are not: `cargo xtask scale` measures those,
//! at sizes that no test can carry.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use wait4::Wait4;

use crate::home::Home;
use crate::random::Random;

/// What no operation may pass, whatever there is much of.
const PEAK_LIMIT_KIB: u64 = 128 << 10;

/// As many files as fill everything of fixed length: 16 batches of 1024 entries in a create, three windows of 4096 files in a restore.
const FEW_FILES: usize = 18 * 1024;
const MANY_FILES: usize = 4 * FEW_FILES;
const FILES_IN_A_DIRECTORY: usize = 1024;

/// How much more four times the files may take. What grows is the index and what a run knows it has stored, and packs that are not
/// full yet: together about 200 bytes for each of the additional files. Nothing else does: the walk holds the names of one directory.
/// An entry that is kept would take over 1000 bytes here, because of its path.
const GROWTH_LIMIT_KIB: u64 = 32 << 10;

/// Length of each name above the files, so that an entry that is kept shows.
const NAME_BYTES: usize = 240;

/// Runs what has to succeed and says how much memory it had at its highest.
fn peak_kib(home: &Home, arguments: &[&str]) -> u64 {
    let log = home.join("log");
    let output = fs::File::create(&log).unwrap();
    let mut command: Command = home.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
    let mut child = command.spawn().unwrap();
    let used = child.wait4().unwrap();
    assert!(used.status.success(), "{arguments:?}: {}", fs::read_to_string(&log).unwrap());
    used.rusage.maxrss >> 10
}

/// A home where files can be made and removed by the ten thousand: in memory where there is room. On ext4 each new file passes over
/// all that were removed nearby in the last minutes.
fn roomy_home() -> Home {
    const ROOM_BYTES: u64 = 2 << 30;
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    if room >= ROOM_BYTES { Home::below(memory) } else { Home::new() }
}

/// A home with so many small files under long names.
fn home_with_files(count: usize) -> Home {
    let home = roomy_home();
    let above = ["a", "b", "c", "d"].map(|name| name.repeat(NAME_BYTES)).join("/");
    for directory in 0..count / FILES_IN_A_DIRECTORY {
        let folder = home.join(&format!("src/{above}/{directory:03}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..FILES_IN_A_DIRECTORY {
            fs::write(folder.join(format!("file-{file:04}")), format!("{directory} {file}")).unwrap();
        }
    }
    home
}

/// Every operation, with its peak.
fn operations(home: &Home) -> Vec<(&'static str, u64)> {
    peak_kib(home, &["-q", "init"]);
    home.settle();
    let steps: [(&'static str, &[&str]); 7] = [
        ("create", &["-q", "create", "src"]),
        ("create again", &["-q", "create", "src"]),
        ("restore", &["-q", "restore", "latest", "--target", "out"]),
        ("restore again", &["-q", "restore", "latest", "--target", "out", "--conflict", "keep-backup"]),
        ("check", &["-q", "check", "--read-data"]),
        ("ls", &["-q", "ls", "latest", "-R"]),
        ("find", &["-q", "find", "file-*7"]),
    ];
    steps.into_iter().map(|(name, arguments)| (name, peak_kib(home, arguments))).collect()
}

fn assert_under_limit(peaks: &[(&'static str, u64)]) {
    for &(name, peak) in peaks {
        assert!(peak < PEAK_LIMIT_KIB, "{name} took {peak} KiB, more than {PEAK_LIMIT_KIB}: {peaks:?}");
    }
}

#[test]
fn memory_of_no_operation_grows_with_the_number_of_files() {
    let small = home_with_files(FEW_FILES);
    let few = operations(&small);
    let home = home_with_files(MANY_FILES);
    let many = operations(&home);
    // The work was done.
    assert_eq!(home.files("out").len(), MANY_FILES);
    eprintln!("{few:?}\n{many:?}");
    assert_under_limit(&many);
    for ((name, few), (_, many)) in few.into_iter().zip(many) {
        let growth = many.saturating_sub(few);
        assert!(
            growth < GROWTH_LIMIT_KIB,
            "{name} took {few} KiB for {FEW_FILES} files and {many} KiB for {MANY_FILES}"
        );
    }
}

#[test]
fn one_directory_of_ten_thousand_names_stays_under_the_limit() {
    let home = roomy_home();
    fs::create_dir(home.join("src")).unwrap();
    for file in 0..10_000 {
        fs::write(home.join(&format!("src/a-rather-long-name-of-a-small-file-{file:06}")), format!("{file}")).unwrap();
    }
    let peaks = operations(&home);
    eprintln!("{peaks:?}");
    assert_eq!(home.files("out").len(), 10_000);
    assert_under_limit(&peaks);
}

#[test]
fn sparse_file_of_two_gib_stays_under_the_limit_and_comes_back_sparse() {
    use std::os::unix::fs::{FileExt, MetadataExt};
    const LENGTH: u64 = 2 << 30;
    let home = Home::new();
    let path = home.write("src/sparse", "");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(LENGTH).unwrap();
    // No two stretches are alike, so none is stored for another.
    for stretch in 0..8_u64 {
        let bytes: Vec<u8> = (0..1_u64 << 17).flat_map(|n| (n * n + stretch * 77_777).to_le_bytes()).collect();
        file.write_all_at(&bytes, stretch * (LENGTH / 8) + 4096).unwrap();
    }
    let peaks = operations(&home);
    eprintln!("{peaks:?}");
    assert_under_limit(&peaks);
    let restored = fs::File::open(home.restored("out", "src/sparse")).unwrap();
    let (had, has) = (file.metadata().unwrap(), restored.metadata().unwrap());
    assert_eq!(has.len(), LENGTH);
    assert!(has.blocks() <= had.blocks() + 64, "{} blocks became {}", had.blocks(), has.blocks());
    let stretch = |file: &fs::File| {
        let mut bytes = vec![0; 1 << 20];
        file.read_exact_at(&mut bytes, 5 * (LENGTH / 8) + 4096).unwrap();
        bytes
    };
    assert_eq!(stretch(&fs::File::open(&path).unwrap()), stretch(&restored));
}

#[test]
fn large_files_take_no_more_memory_than_the_limit_however_long() {
    // What does not compress fills packs, queues and windows. Written in pieces: a process counts the memory of the one that
    // started it as its own.
    let home = Home::new();
    let mut random = Random::new(7);
    home.write("src/a", "");
    for (name, mebibytes) in [("a", 160), ("b", 50)] {
        let mut file = fs::File::create(home.join("src").join(name)).unwrap();
        (0..mebibytes).for_each(|_| file.write_all(&random.bytes(1 << 20)).unwrap());
    }
    let peaks = operations(&home);
    eprintln!("{peaks:?}");
    assert_under_limit(&peaks);
}

const LEVELS: usize = 3_000;

/// Removes what it holds even when the test fails; a temporary folder can't remove paths that are too long.
struct Deep<'a>(&'a Path);

impl Drop for Deep<'_> {
    fn drop(&mut self) {
        let _best_effort = Command::new("rm").arg("-rf").arg(self.0).status();
    }
}

#[test]
fn directories_of_three_thousand_levels_stay_under_the_limit() {
    let home = Home::new();
    let [source, out] = ["src", "out"].map(|name| home.join(name));
    let _removed = [Deep(&source), Deep(&out)];
    fs::create_dir(&source).unwrap();
    let directory = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = openat(CWD, &source, directory, Mode::empty()).unwrap();
    for _ in 0..LEVELS {
        mkdirat(&at, "down", Mode::RWXU).unwrap();
        at = openat(&at, "down", directory, Mode::empty()).unwrap();
    }
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(&at, "file", flags, Mode::RUSR | Mode::WUSR).unwrap();
    rustix::io::write(&file, b"at the bottom").unwrap();

    let peaks = operations(&home);
    eprintln!("{peaks:?}");
    assert_under_limit(&peaks);
    let restored: PathBuf = home.restored("out", "src");
    let mut at = openat(CWD, &restored, directory, Mode::empty()).unwrap();
    for _ in 0..LEVELS {
        at = openat(&at, "down", directory, Mode::empty()).unwrap();
    }
    let file = openat(&at, "file", OFlags::CLOEXEC, Mode::empty()).unwrap();
    let mut content = [0; 32];
    let read = rustix::io::read(&file, &mut content).unwrap();
    assert_eq!(&content[..read], b"at the bottom");
}
