//! The arguments of `conformance` and of `backends test`.

use std::path::PathBuf;

use backup_conformance::live::{Options, Profile};
use backup_core::retention::ByteSize;
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ConformanceArgs {
    /// How much to try: `probe` takes seconds, `safe` some thousand requests with small objects, `full` is everything, `soak` is everything again and
    /// again.
    #[arg(long, value_name = "probe|safe|full|soak", default_value_t = Profile::Safe)]
    profile: Profile,

    /// Only cases whose group or name contains this text, or whose clause of the contract it is.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// At most so many requests, instead of what the profile allows.
    #[arg(long, value_name = "N")]
    max_requests: Option<u64>,

    /// At most so many bytes sent and received, instead of what the profile allows.
    #[arg(long, value_name = "SIZE")]
    max_bytes: Option<ByteSize>,

    /// Do again what a run did in random order that reported this seed.
    #[arg(long, value_name = "SEED")]
    replay: Option<u64>,

    /// Write the report as JSON into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Write the report as JUnit XML into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,

    /// Write the report as JSON for a badge of shields.io into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) badge: Option<PathBuf>,
}

impl ConformanceArgs {
    /// What is run, under a name and with a seed unless one is to be used again.
    pub(crate) fn options(&self, name: String, seed: u64) -> Options {
        let mut options = Options::new(self.profile, name, self.replay.unwrap_or(seed));
        options.only = self.only.clone();
        options.budget.max_requests = self.max_requests.unwrap_or(options.budget.max_requests);
        options.budget.max_bytes = self.max_bytes.map_or(options.budget.max_bytes, |size| size.0);
        options
    }
}
