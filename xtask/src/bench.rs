//! Measures this project beside restic, rustic and borg on the same machine, data and operations.
//!
//! The data sets are copies of public files that every development machine has, so anyone can repeat the measurement. All tools
//! work on one and the same copy: each operation is done by every tool before the next one begins, in an order that moves on with
//! every repeat, so that a disturbance hits all of them alike. What they restore is deleted when all are done.

mod data;
pub(crate) mod measure;
mod table;
pub(crate) mod tools;
pub(crate) mod tree;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::process;
use measure::Figures;
pub(crate) use table::machine;
use tools::Tool;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the data sets and the tools' repositories go; up to seven times the size of the data is needed.
    #[arg(long, default_value = "target/bench")]
    dir: PathBuf,
    /// Which data sets to measure.
    #[arg(long = "set", value_enum, value_delimiter = ',', default_values_t = [data::Set::Source, data::Set::Large])]
    sets: Vec<data::Set>,
    /// Measure this folder instead of the data sets. It is copied first and stays as it is.
    #[arg(long, conflicts_with = "sets")]
    data: Option<PathBuf>,
    /// Make the data sets and stop.
    #[arg(long)]
    data_only: bool,
    /// Tools to measure; peers that are not installed are left out. RESTIC, RUSTIC, BORG and OURS may hold paths of binaries.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = tools::ALL)]
    tools: Vec<tools::Kind>,
    /// Operations, in this order.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = ALL_OPERATIONS)]
    ops: Vec<Operation>,
    /// How often to measure everything; the table holds medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Write every single measurement to this file too, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Operation {
    /// Backup into an empty repository.
    First,
    /// Backup with nothing changed.
    Again,
    /// Backup after one file in a hundred was rewritten in part.
    Changed,
    /// Restore of the newest snapshot into an empty folder; what comes back is compared byte for byte.
    Restore,
    /// Verification of every byte in the repository.
    Check,
}

const ALL_OPERATIONS: [Operation; 5] =
    [Operation::First, Operation::Again, Operation::Changed, Operation::Restore, Operation::Check];

/// One measurement.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) tool: tools::Kind,
    pub(crate) operation: Operation,
    pub(crate) repeat: u32,
    pub(crate) figures: Figures,
    /// Size of the repository afterwards.
    pub(crate) repository_mib: f64,
    /// What went wrong, if anything did.
    pub(crate) failure: Option<String>,
}

/// Makes the data sets, measures, prints a table for each, and fails if a tool failed or restored other bytes.
pub(crate) fn run(options: &Options) -> Result<()> {
    let directory = process::root().join(&options.dir);
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let sets: Vec<(String, PathBuf)> = match &options.data {
        Some(folder) => {
            let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
            vec![(folder.display().to_string(), folder)]
        }
        None => options
            .sets
            .iter()
            .map(|set| Ok((set.title().to_owned(), data::make(*set, &directory)?)))
            .collect::<Result<_>>()?,
    };
    if options.data_only {
        return Ok(());
    }

    let tools = tools::find(&options.tools)?;
    let mut all = Vec::new();
    let mut failures = 0;
    let mut report = machine();
    for (title, folder) in &sets {
        let records = measure_set(options, &directory.join("scratch"), folder, &tools)?;
        failures += records.iter().filter(|record| record.failure.is_some()).count();
        let (files, bytes) = tree::count(folder)?;
        report.push_str(&table::render(title, files, bytes, options.repeat, &tools, &options.ops, &records));
        all.push((title.clone(), records));
    }
    println!("\n{report}");
    if let Some(path) = &options.json {
        std::fs::write(path, table::json(&all)?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if failures > 0 {
        bail!("{failures} measurement(s) failed; the lines above say which");
    }
    Ok(())
}

fn measure_set(options: &Options, scratch: &Path, folder: &Path, tools: &[Tool]) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for repeat in 0..options.repeat {
        tree::clear(scratch)?;
        let source = scratch.join("src");
        let log = scratch.join("log");
        tree::copy(folder, &source)?;
        let mut sites: Vec<tools::Site> = tools.iter().map(|tool| tools::Site::new(tool, scratch, &source)).collect();
        for site in &mut sites {
            let figures = measure::run(&mut site.init()?, &log)?;
            if !figures.success {
                bail!("{} cannot make a repository:\n{}", site.tool.kind.name(), measure::last_lines(&log));
            }
        }
        tree::warm(&source)?;
        for operation in &options.ops {
            if *operation == Operation::Changed {
                let changed = tree::mutate(&source, 11 + u64::from(repeat))?;
                println!("{changed} files rewritten in part");
            }
            let turn = usize::try_from(repeat).unwrap_or(0) % sites.len();
            sites.rotate_left(turn);
            for site in &mut sites {
                let record = measure_one(site, *operation, repeat, &source, &log)?;
                println!("{}", table::line(&record));
                records.push(record);
            }
            sites.rotate_right(turn);
        }
        tree::clear(scratch)?;
    }
    Ok(records)
}

fn measure_one(
    site: &mut tools::Site<'_>,
    operation: Operation,
    repeat: u32,
    source: &Path,
    log: &Path,
) -> Result<Record> {
    let mut command = match operation {
        Operation::First | Operation::Again | Operation::Changed => site.backup(),
        Operation::Restore => {
            std::fs::create_dir(&site.target).context("cannot make the folder to restore into")?;
            site.restore()
        }
        Operation::Check => site.check(),
    };
    // What the last tool wrote must not be written out during the next one's turn.
    measure::settle();
    let figures = measure::run(&mut command, log)?;
    let mut failure = (!figures.success).then(|| format!("it failed:\n{}", measure::last_lines(log)));
    if operation == Operation::Restore {
        let differing = tree::differing(source, &tree::locate(&site.target, source))?;
        if differing > 0 && failure.is_none() {
            failure = Some(format!("{differing} files differ from the source"));
        }
        // It stays until all tools are done: some file systems create files slowly for minutes after many were deleted, and the next
        // tool would pay for it.
    }
    let (_, bytes) = tree::count(&site.repository)?;
    Ok(Record { tool: site.tool.kind, operation, repeat, figures, repository_mib: measure::mib(bytes), failure })
}
