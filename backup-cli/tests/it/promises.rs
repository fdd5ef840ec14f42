//! What was promised to a user by a run that ended with 0, and whether it holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::home::{Home, Ran, of_type, ran};
use crate::listing::{Listing, assert_holds, list};

/// The source `src` of a home, its repository, and what every acknowledged snapshot must bring back.
pub(crate) struct Promises {
    pub(crate) home: Home,
    repository: PathBuf,
    acknowledged: Vec<(String, Listing)>,
}

impl Promises {
    /// A home with a repository at `r` and nothing in it.
    pub(crate) fn new() -> Self {
        let home = Home::in_memory();
        let repository = home.join("r");
        Self { home, repository, acknowledged: Vec::new() }
    }

    /// The same with the repository elsewhere.
    pub(crate) fn at(repository: PathBuf) -> Self {
        Self { repository, ..Self::new() }
    }

    pub(crate) fn repository(&self) -> &Path {
        &self.repository
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.home.command(arguments);
        command.env("BACKUP_REPOSITORY", &self.repository);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.command(arguments))
    }

    /// Runs what has to succeed.
    pub(crate) fn done(&self, arguments: &[&str], because: &str) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{because}: {arguments:?}: {}{}", ran.stdout, ran.stderr);
        ran
    }

    /// Takes a snapshot, which has to succeed without help and is acknowledged then.
    pub(crate) fn create(&mut self, because: &str) {
        let expected = list(&self.home.join("src"));
        let lines = self.done(&["--json", "create", "src"], because).lines();
        let id = lines.last().unwrap()["snapshot"].as_str().unwrap().to_owned();
        self.acknowledged.push((id, expected));
    }

    /// Demands that everything is sound, that the first and the last promise hold, and that a snapshot that was stored but
    /// never acknowledged is complete; from then on it is a promise as well.
    pub(crate) fn assert_kept(&mut self, because: &str) {
        self.done(&["check", "--read-data"], because);
        let lines = self.done(&["--json", "snapshots"], because).lines();
        let stored: BTreeSet<&str> =
            of_type(&lines, "snapshot").iter().map(|line| line["id"].as_str().unwrap()).collect();
        for (id, _) in &self.acknowledged {
            assert!(stored.contains(id.as_str()), "{because}: the snapshot {id} is gone");
        }
        for (id, expected) in self.acknowledged.first().into_iter().chain(self.acknowledged.last()) {
            self.assert_restores(id, expected, because);
        }
        let is_new = |id: &&&str| self.acknowledged.iter().all(|(known, _)| known != *id);
        let seen: Vec<&str> = stored.iter().filter(is_new).copied().collect();
        assert!(seen.len() <= 1, "{because}: {seen:?}");
        for id in seen {
            let source = list(&self.home.join("src"));
            self.assert_restores(id, &source, because);
            self.acknowledged.push((id.to_owned(), source));
        }
    }

    /// Demands that every promise holds.
    pub(crate) fn assert_all_kept(&self, because: &str) {
        for (id, expected) in &self.acknowledged {
            self.assert_restores(id, expected, because);
        }
    }

    fn assert_restores(&self, id: &str, expected: &Listing, because: &str) {
        self.done(&["-q", "restore", id, "--target", "out"], because);
        assert_holds(&self.home.restored("out", "src"), expected, &format!("{because}: snapshot {id}"));
        fs::remove_dir_all(self.home.join("out")).unwrap();
    }
}
