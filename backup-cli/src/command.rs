//! The commands, one module each.

mod create;
mod init;
mod snapshots;

use crate::args::Command;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;

/// Runs a command.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Init(args) => init::run(context, args).await,
        Command::Create(args) => create::run(context, args).await,
        Command::Snapshots(args) => snapshots::run(context, &args).await,
    }
}
