//! What every command works with: flags, plug-ins, surroundings, output, clock.

use std::sync::Arc;

use backup_core::registry::{BackendConfig, ConnectContext, Registry};
use backup_core::{Clock, SecretRef, SecretResolver, StorageBackend};
use backup_engine::repository::Repository;
use backup_engine::snapshots::Snapshot;

use crate::args::GlobalArgs;
use crate::environment::Environment;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::output::progress::Progress;
use crate::unlock;

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: GlobalArgs,
    pub(crate) registry: Registry,
    pub(crate) environment: Environment,
    pub(crate) output: Output,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) secrets: Arc<dyn SecretResolver>,
    pub(crate) interrupt: Interrupt,
}

/// A place for a repository, whether there is one or not.
#[derive(Debug)]
pub(crate) struct Place {
    /// How it was named.
    pub(crate) named: String,
    pub(crate) config: Box<dyn BackendConfig>,
    /// Where the configuration says that its password is.
    pub(crate) password: Option<SecretRef>,
}

impl Place {
    /// The place for people, without secrets.
    pub(crate) fn shown(&self) -> String {
        format!("`{}`", self.config.location())
    }
}

impl Context {
    /// The repository that the flags, the environment or the configuration name.
    pub(crate) fn place(&self) -> Result<Place, CliError> {
        let named = self.global.repository.clone().or_else(|| self.environment.text("BACKUP_REPOSITORY"));
        match named {
            Some(named) => self.place_named(named),
            None => {
                let folder = self.environment.default_repository().ok_or_else(|| {
                    CliError::usage("no repository is named").hint("name one: `-r PATH`, or BACKUP_REPOSITORY")
                })?;
                let named = folder.into_os_string().into_string().map_err(|_| {
                    CliError::usage("the folder of the default repository is no text").hint("name another: `-r PATH`")
                })?;
                self.place_named(named)
            }
        }
    }

    /// The place that a path, a URL or a name of the configuration stands for.
    pub(crate) fn place_named(&self, named: String) -> Result<Place, CliError> {
        let config = self.registry.backend_from_url(&named).map_err(|problem| {
            let hint = problem.hint.clone();
            let failed = CliError::usage("the repository's address can't be used").because(problem.message);
            hint.into_iter().fold(failed, CliError::hint)
        })?;
        Ok(Place { named, config, password: None })
    }

    /// Connects to a place.
    pub(crate) async fn connect(&self, place: &Place) -> Result<Arc<dyn StorageBackend>, CliError> {
        let context = ConnectContext::new(Arc::clone(&self.secrets), Arc::clone(&self.clock));
        place.config.connect(&context).await.map_err(|error| {
            let failed = CliError::from_error(format!("cannot open the repository {}", place.shown()), &error);
            match is_no_directory(&error) {
                true => failed.exit(Exit::NoRepository).hint("a repository is a folder; name another with `-r PATH`"),
                false => failed,
            }
        })
    }

    /// Opens the repository that is named, and listens for requests to stop from then on.
    pub(crate) async fn open(&self) -> Result<Repository, CliError> {
        let place = self.place()?;
        self.open_at(&place).await
    }

    /// Opens the repository at a place, and listens for requests to stop from then on.
    pub(crate) async fn open_at(&self, place: &Place) -> Result<Repository, CliError> {
        let backend = self.connect(place).await?;
        let repository = unlock::open(self, place, backend).await?;
        self.interrupt.listen(&self.output);
        Ok(repository)
    }

    /// The snapshot that a text names.
    pub(crate) async fn snapshot(&self, repository: &Repository, named: &str) -> Result<Snapshot, CliError> {
        let list = self.interrupt.or_stop(repository.list_snapshots()).await?;
        let list = list.map_err(|error| CliError::from_error("cannot list the snapshots", &error))?;
        list.find(named).map_err(|error| {
            let failed = CliError::from_error(format!("cannot find the snapshot `{named}`"), &error);
            match failed.exit {
                Exit::Failed => failed.hint("`backup snapshots` lists them; name one by `latest` or by its id"),
                _ => failed,
            }
        })
    }

    /// A monitor that shows what an operation does.
    pub(crate) fn progress(&self) -> Arc<Progress> {
        Progress::new(&self.output, &self.clock)
    }
}

fn is_no_directory(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::NotADirectory) {
            return true;
        }
        next = error.source();
    }
    false
}
