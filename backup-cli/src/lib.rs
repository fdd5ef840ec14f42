//! The `backup` command as a library, so that another program can be the same command with more plug-ins.
//!
//! A plug-in's crate only has to be linked:
//!
//! ```no_run
//! // extern crate acme_storage as _;
//!
//! fn main() -> std::process::ExitCode {
//!     backup_cli::Cli::new().run(std::env::args_os())
//! }
//! ```
//!
//! This crate is the composition root: it reads the environment, asks on the terminal, prints and chooses the exit code,
//! so that no other crate does.

mod args;
mod command;
mod configuration;
mod context;
mod environment;
mod error;
mod exit_code;
mod interrupt;
mod output;
mod paths;
mod plugins;
mod secrets;
mod unlock;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use backup_core::registry::{Descriptor, Registry, RegistryError};
use backup_core::{Clock, SystemClock};
use clap::Parser;

use crate::args::CommandLine;
use crate::context::Context;
use crate::environment::Environment;
use crate::interrupt::Interrupt;
use crate::output::{Output, OutputOptions};

pub use crate::error::CliError;
pub use crate::exit_code::Exit;
pub use crate::secrets::SystemSecretResolver;

/// Threads that run tasks. Tasks move bytes to and from the store and open the objects of the index; reading, compressing and sealing
/// have threads of their own.
const TASK_THREADS: usize = 2;

/// The `backup` command.
///
/// ```
/// use backup_cli::{Cli, Exit};
///
/// assert_eq!(Cli::new().execute(["backup", "no-such-command"]), Exit::Usage);
/// ```
#[derive(Debug, Default)]
pub struct Cli {
    descriptors: Vec<Descriptor>,
}

impl Cli {
    /// The command with the plug-ins that are linked into the program.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more plug-in, where linking its crate is not enough.
    #[must_use]
    pub fn with(mut self, descriptor: Descriptor) -> Self {
        self.descriptors.push(descriptor);
        self
    }

    /// Runs the command that the arguments describe; the first argument is the program's name.
    ///
    /// Writes to the process's standard streams and reads its environment.
    pub fn run<A: Into<OsString> + Clone>(self, arguments: impl IntoIterator<Item = A>) -> ExitCode {
        self.execute(arguments).into()
    }

    /// The same, and returns how it ended.
    pub fn execute<A: Into<OsString> + Clone>(self, arguments: impl IntoIterator<Item = A>) -> Exit {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let environment = Environment;
        let line = match CommandLine::try_parse_from(&arguments) {
            Ok(line) => line,
            Err(error) => return args::refused(&error, &arguments, environment),
        };
        let global = line.global;
        let options = OutputOptions::new(global.json, global.quiet, global.verbose, environment);
        let output = Output::new(options);
        let ended = self.registry().map_err(|error| CliError::from_error("the plug-ins don't fit together", &error));
        let ended = ended.and_then(|registry| {
            let context = Context {
                global,
                registry,
                environment,
                output: output.clone(),
                clock: Arc::new(SystemClock::new()) as Arc<dyn Clock>,
                interrupt: Interrupt::new(),
                config: OnceLock::new(),
            };
            block_on(&context, line.command)
        });
        let ended = ended.and_then(|exit| output.flush().map(|()| exit));
        match ended {
            Ok(exit) => exit,
            Err(error) => {
                if !error.output_closed {
                    output.error(&error);
                }
                error.exit
            }
        }
    }

    fn registry(self) -> Result<Registry, RegistryError> {
        self.descriptors.into_iter().try_fold(Registry::linked()?, Registry::with)
    }
}

fn block_on(context: &Context, command: args::Command) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(TASK_THREADS)
        .enable_all()
        .build()
        .map_err(|error| CliError::from_error("cannot start the threads of this program", &error))?;
    let ended = runtime.block_on(command::run(context, command));
    // A blocking thread that still waits for an answer of a person must not keep the program alive.
    runtime.shutdown_background();
    ended
}
