//! Every operation on one data set, measured one after the other.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::data::{self, Made, Set, chain};
use super::{PEAK_LIMIT_MIB, Row, size_mib};
use crate::bench::measure;

/// Opens the repositories. A password's key derivation takes 64 MiB for itself and would hide what the work takes.
const KEY: &str = "a key file of thirty-two bytes or more";

/// Where one data set is worked on.
#[derive(Debug)]
pub(super) struct Place {
    binary: PathBuf,
    folder: PathBuf,
    key: PathBuf,
    pub(super) rows: Vec<Row>,
    /// What went wrong though the operation went through.
    pub(super) failures: Vec<String>,
}

impl Place {
    pub(super) fn new(binary: &Path, folder: &Path) -> Result<Self> {
        let key = folder.join("key");
        std::fs::write(&key, KEY).context("cannot write the key file")?;
        #[cfg(unix)]
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .context("cannot protect the key file")?;
        Ok(Self {
            binary: binary.to_path_buf(),
            folder: folder.to_path_buf(),
            key,
            rows: Vec::new(),
            failures: Vec::new(),
        })
    }

    /// Init, create, create again, create after a change, restore, check, ls, find and diff.
    pub(super) fn operations(&mut self, set: Set, source: &Path, made: &Made) -> Result<()> {
        self.step("init", &["init"], &[])?;
        self.step("create", &["create"], &[source])?;
        self.step("create again, nothing changed", &["create"], &[source])?;
        let listed = self.step("ls, everything", &["ls", "latest", "-R"], &[])?;
        self.count("ls", listed, made.entries + above(source));
        let found =
            self.step("find, every entry's name matched", &["find", "--snapshot", "latest", data::PATTERN], &[])?;
        // A line says of which snapshot, if anything was found.
        self.count("find", found, made.matches + made.matches.min(1));
        let target = self.folder.join("restored");
        self.step("restore", &["restore", "latest", "--target"], &[&target])?;
        let restored = target.join(source.strip_prefix("/").unwrap_or(source));
        self.compare(set, source, &restored);
        self.step("check", &["check"], &[])?;
        self.step("check, all data", &["check", "--read-data"], &[])?;
        data::add_one(source)?;
        self.step("create, one entry more", &["create"], &[source])?;
        let [first, last] = self.ends()?;
        let differ = self.step("diff, one entry more", &["diff", &first, &last], &[])?;
        if differ == 0 {
            self.fail("diff says that nothing differs".to_owned());
        }
        Ok(())
    }

    /// Many snapshots, and the operations that go over all of them.
    pub(super) fn snapshots(&mut self, source: &Path, count: u64) -> Result<()> {
        self.step("init", &["init"], &[])?;
        self.step("create, the first", &["create"], &[source])?;
        let repository = self.repository();
        let log = self.folder.join("log-many");
        let began = std::time::Instant::now();
        for turn in 1..count.saturating_sub(1) {
            data::change_one(source, turn)?;
            let figures = measure::run(self.command(&["create"]).arg(source), &log)?;
            if !figures.success {
                bail!("a create of many failed:\n{}", measure::last_lines(&log));
            }
        }
        println!("{} snapshots in {:.1} s, {}", count - 2, began.elapsed().as_secs_f64(), repository.display());
        data::change_one(source, count)?;
        self.step("create, the last", &["create"], &[source])?;
        let listed = self.step("snapshots", &["--json", "snapshots"], &[])?;
        // A summary comes last.
        self.count("snapshots", listed, count + 1);
        let [first, last] = self.ends()?;
        self.step("ls of the first", &["ls", &first, "-R"], &[])?;
        self.step("find in all snapshots", &["find", data::PATTERN], &[])?;
        self.step("diff of first and last", &["diff", &first, &last], &[])?;
        let target = self.folder.join("restored");
        self.step("restore the last", &["restore", "latest", "--target"], &[&target])?;
        let restored = target.join(source.strip_prefix("/").unwrap_or(source));
        self.compare(Set::Snapshots, source, &restored);
        self.step("check", &["check"], &[])?;
        self.step("check, all data", &["check", "--read-data"], &[])?;
        self.step("stats, what each snapshot keeps", &["stats", "--usage"], &[])?;
        Ok(())
    }

    fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["-q", "-r"]).arg(self.repository()).args(words);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.folder.join("home"));
        command.env("BACKUP_KEY_FILE", &self.key);
        command
    }

    /// Runs one operation to its end, remembers what it cost and returns how many lines it wrote.
    fn step(&mut self, step: &str, words: &[&str], paths: &[&Path]) -> Result<u64> {
        let mut command = self.command(words);
        command.args(paths);
        let log = self.folder.join("log");
        let _ = std::fs::remove_file(&log);
        measure::settle();
        let figures = measure::run(&mut command, &log)?;
        if !figures.success {
            bail!("{step} failed:\n{}", measure::last_lines(&log));
        }
        let row = Row { step: step.to_owned(), figures, repository_mib: size_mib(&self.repository())? };
        println!("{}", super::table::line(&row));
        if figures.peak_mib > PEAK_LIMIT_MIB {
            self.fail(format!("{step} took {:.0} MiB, more than {PEAK_LIMIT_MIB:.0}", figures.peak_mib));
        }
        self.rows.push(row);
        lines(&log)
    }

    fn fail(&mut self, failure: String) {
        println!("  FAILED: {failure}");
        self.failures.push(failure);
    }

    fn count(&mut self, what: &str, lines: u64, expected: u64) {
        if lines != expected {
            self.fail(format!("{what} wrote {lines} lines instead of {expected}"));
        }
    }

    fn compare(&mut self, set: Set, source: &Path, restored: &Path) {
        let outcome = match set {
            Set::Deep => chain::compare(source, restored),
            Set::Sparse => same(source, restored).and_then(|()| data::has_holes(source, restored)),
            Set::Files | Set::Directory | Set::Snapshots => same(source, restored),
        };
        if let Err(error) = outcome {
            self.fail(format!("what was restored is not what was backed up: {error:#}"));
        }
    }

    /// The first snapshot and the last.
    fn ends(&self) -> Result<[String; 2]> {
        let text = crate::process::output(self.command(&["--json", "snapshots"]).current_dir(&self.folder))?;
        let mut ids = std::collections::BTreeSet::new();
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).context("a line is no JSON")?;
            let field = |name: &str| line.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
            if field("type").as_deref() == Some("snapshot") {
                ids.insert(field("time").zip(field("id")).context("a snapshot without a time or an id")?);
            }
        }
        let (first, last) = ids.first().zip(ids.last()).context("there is no snapshot")?;
        Ok([first.1.clone(), last.1.clone()])
    }
}

/// Compares two folders in a process of its own: what we take ourselves would count in the peaks of what we measure.
fn same(source: &Path, restored: &Path) -> Result<()> {
    crate::process::output(Command::new("diff").args(["--recursive", "--brief"]).args([source, restored])).map(|_| ())
}

/// Directories above the source, which a snapshot has as entries too.
fn above(source: &Path) -> u64 {
    let named = source.components().filter(|part| matches!(part, std::path::Component::Normal(_)));
    u64::try_from(named.count()).unwrap_or(u64::MAX)
}

fn lines(log: &Path) -> Result<u64> {
    use std::io::{BufRead, BufReader};
    let Ok(file) = std::fs::File::open(log) else { return Ok(0) };
    let mut count = 0;
    for line in BufReader::new(file).split(b'\n') {
        line.context("cannot read a log")?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_above_count_down_to_the_source() {
        assert_eq!(above(Path::new("/a/b/source")), 3);
        assert_eq!(above(Path::new("/")), 0);
    }

    #[test]
    fn lines_are_counted_with_and_without_a_last_newline() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert_eq!(lines(&log).unwrap(), 0);
        std::fs::write(&log, "a\nb").unwrap();
        assert_eq!(lines(&log).unwrap(), 2);
    }
}
