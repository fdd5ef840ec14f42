//! The commands, one module each.

mod annotate;
mod backends;
mod catalog;
mod check;
mod config;
#[cfg(feature = "conformance")]
mod conformance;
mod create;
mod diff;
mod dump;
mod find;
mod init;
mod key;
mod ls;
mod manual;
mod quickstart;
mod repair;
mod restore;
mod snapshots;
mod stats;
mod unread;

use crate::args::{Command, RepairCommand};
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;

/// Runs a command.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Quickstart(args) => quickstart::run(context, args).await,
        Command::Init(args) => init::run(context, args).await,
        Command::Create(args) => create::run(context, args).await,
        Command::Snapshots(args) => snapshots::run(context, &args).await,
        Command::Ls(args) => ls::run(context, &args).await,
        Command::Find(args) => find::run(context, &args).await,
        Command::Diff(args) => diff::run(context, &args).await,
        Command::Dump(args) => dump::run(context, &args).await,
        Command::Restore(args) => restore::run(context, &args).await,
        Command::Check(args) => check::run(context, &args).await,
        Command::Stats(args) => stats::run(context, &args).await,
        Command::Catalog(args) => catalog::run(context, &args).await,
        Command::Tag(args) => annotate::tag(context, &args).await,
        Command::Pin(args) => annotate::pin(context, &args, true).await,
        Command::Unpin(args) => annotate::pin(context, &args, false).await,
        Command::Key(command) => key::run(context, command).await,
        Command::Backends(args) => backends::run(context, args).await,
        #[cfg(feature = "conformance")]
        Command::Conformance(args) => conformance::run(context, &args).await,
        Command::Config(command) => config::run(context, &command),
        Command::Repair(RepairCommand::Index { dry_run }) => repair::index(context, dry_run).await,
        Command::Completions(args) => manual::completions(context, &args),
        Command::Man(args) => manual::pages(context, &args),
    }
}
