//! Measures this project where there is much of something: files, names in a directory, bytes in a sparse file, levels of
//! directories, snapshots.
//!
//! The data sets are made up, the same on every machine for the same size. Every restore is compared with its source and every
//! listing is counted, and a peak above the limit is a failure: a figure is only worth something if the work was done.

mod data;
mod run;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::bench::{self, measure, tools, tree};
use crate::process;
use data::{Amounts, Set};

/// Peak resident memory that no operation may pass, whatever there is much of.
const PEAK_LIMIT_MIB: f64 = 128.0;

/// Options of `cargo xtask scale`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the data sets and repositories go while they are needed; the full size takes 12 GiB.
    #[arg(long, default_value = "target/scale")]
    dir: PathBuf,
    /// How much of everything.
    #[arg(long, value_enum, default_value = "full")]
    size: Size,
    /// Which data sets.
    #[arg(long = "set", value_enum, value_delimiter = ',', default_values_t = data::ALL)]
    sets: Vec<Set>,
    /// Leave data sets, repositories and what was restored where they are.
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Size {
    /// What a large installation has.
    Full,
    /// Small enough for every change.
    Ci,
}

/// One measured step.
#[derive(Debug)]
struct Row {
    step: String,
    figures: measure::Figures,
    repository_mib: f64,
}

/// Makes each data set, measures every operation on it with the release binary that OURS names or that is built, prints a table
/// for each set, and fails if an operation failed, brought back something else, or took more memory than the limit.
pub(crate) fn run(options: &Options) -> Result<()> {
    let directory = process::root().join(&options.dir);
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    // Removed at the very end: for minutes after files were deleted, ext4 passes over their inodes one by one whenever it looks for
    // a free one, and every restore would pay for the removal of the last.
    let directory = directory.canonicalize().context("cannot follow the directory")?;
    let directory = directory.join(format!("run-{}", std::process::id()));
    let binary = tools::ours()?;
    let amounts = match options.size {
        Size::Full => data::FULL,
        Size::Ci => data::CI,
    };
    let mut report = bench::machine();
    let mut failures = Vec::new();
    for &set in &options.sets {
        let folder = directory.join(set.name());
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let measured = measure_set(set, &amounts, &folder, &binary)?;
        report.push_str(&table::render(&set.title(&amounts), &measured.rows));
        failures.extend(measured.failures.iter().map(|failure| format!("{}: {failure}", set.name())));
    }
    if !options.keep {
        // The standard library's way needs a descriptor for each level.
        process::run(Command::new("rm").arg("-rf").arg(&directory))?;
    }
    println!("\n{report}");
    for failure in &failures {
        println!("failed: {failure}");
    }
    if !failures.is_empty() {
        bail!("{} failure(s)", failures.len());
    }
    Ok(())
}

fn measure_set(set: Set, amounts: &Amounts, folder: &Path, binary: &Path) -> Result<run::Place> {
    let source = folder.join("source");
    println!("making `{}` in {}", set.name(), source.display());
    let made = data::make(set, amounts, &source)?;
    let mut place = run::Place::new(binary, folder)?;
    match set {
        Set::Snapshots => place.snapshots(&source, amounts.snapshots)?,
        Set::Files | Set::Directory | Set::Sparse | Set::Deep => place.operations(set, &source, &made)?,
    }
    Ok(place)
}

/// Bytes below a folder, for a repository.
fn size_mib(folder: &Path) -> Result<f64> {
    Ok(measure::mib(tree::count(folder)?.1))
}
