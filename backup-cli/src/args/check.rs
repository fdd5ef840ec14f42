//! The arguments of `check`.

use backup_engine::check::{CheckLevel, CheckOptions, Part};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Read, decrypt and verify all data, too.
    #[arg(long, conflicts_with = "objects")]
    pub(crate) read_data: bool,

    /// Read all objects and compare them with their names; finds what the storage did to them.
    #[arg(long)]
    pub(crate) objects: bool,

    /// Read only a part: 3/30, or next/30 for the one that has gone unread for longest. Implies --read-data.
    #[arg(long, value_name = "N/OF|next/OF")]
    pub(crate) subset: Option<Part>,
}

impl CheckArgs {
    /// How the repository is checked.
    pub(crate) fn options(&self) -> CheckOptions {
        let level = match (self.objects, self.read_data || self.subset.is_some()) {
            (true, _) => CheckLevel::Objects,
            (false, true) => CheckLevel::Data,
            (false, false) => CheckLevel::Structure,
        };
        let mut options = CheckOptions::level(level);
        options.part = self.subset;
        options
    }
}
