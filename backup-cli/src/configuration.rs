//! The configuration from where it lies: the system's file, the user's, the one that was named, the environment.

use std::io;
use std::path::Path;

use backup_core::config::{Config, Layers};
use backup_core::registry::{ConfigError, ConfigProblem, Registry};

use crate::args::GlobalArgs;
use crate::environment::Environment;
use crate::error::CliError;
use crate::exit_code::Exit;

/// Reads and checks the configuration.
///
/// # Errors
/// Every problem in it, each with its file, line and key, and never a value.
pub(crate) fn load(registry: &Registry, environment: Environment, global: &GlobalArgs) -> Result<Config, CliError> {
    let mut layers = Layers::new().environment(environment.texts());
    if let Some(path) = environment.system_config()
        && let Some(text) = read_if_there(&path)?
    {
        layers = layers.system(path.display().to_string(), text);
    }
    if let Some(path) = environment.config_folder().map(|folder| folder.join("config.toml"))
        && let Some(text) = read_if_there(&path)?
    {
        layers = layers.user(path.display().to_string(), text);
    }
    if let Some(path) = &global.config {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        layers = layers.file(path.display().to_string(), text);
    }
    Config::load(registry, &layers).map_err(|error| invalid(&error))
}

fn read_if_there(path: &Path) -> Result<Option<String>, CliError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    CliError::from_error(format!("cannot read the configuration `{}`", path.display()), error).exit(Exit::Usage)
}

fn invalid(error: &ConfigError) -> CliError {
    let failed = CliError::usage("the configuration is wrong");
    error
        .problems()
        .iter()
        .fold(failed, |failed, problem| failed.because(problem.to_string()))
        .hint("nothing was done; `backup config schema` tells editors what may stand in it")
}

/// A name or address that can't be used, with the problem's own hint.
pub(crate) fn refused(message: &str, problem: ConfigProblem) -> CliError {
    let failed = CliError::usage(message).because(ConfigProblem { hint: None, ..problem.clone() }.to_string());
    problem.hint.into_iter().fold(failed, CliError::hint)
}
