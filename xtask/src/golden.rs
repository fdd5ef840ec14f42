//! Writes the golden repositories anew, all but those that were released.

use anyhow::Result;

use crate::process;

/// The test that writes them: the writer needs nothing but what the tests of the engine have.
const WRITER: &str = "golden::write::golden_repositories_are_written_anew";

/// Runs the writer.
pub(crate) fn run() -> Result<()> {
    let mut command = process::cargo();
    command.args(["test", "--package", "backup-engine", "--test", "it", "--"]);
    command.args(["--ignored", "--exact", "--nocapture", WRITER]);
    process::run(command.env("BACKUP_WRITE_GOLDEN", "1"))
}
