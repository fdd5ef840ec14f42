//! What every command works with: flags, plug-ins, surroundings, output, clock.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use backup_core::config::{Config, RepositoryConfig};
use backup_core::registry::{ConnectContext, Registry};
use backup_core::{Clock, SecretResolver, StorageBackend};
use backup_engine::repository::{Repository, Unlock};
use backup_engine::snapshots::{FindSnapshotError, Snapshot, SnapshotList};

use crate::args::GlobalArgs;
use crate::args::narrow::NarrowArgs;
use crate::configuration;
use crate::environment::Environment;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::interrupt::Interrupt;
use crate::output::progress::Progress;
use crate::output::{Output, human};
use crate::secrets::SystemSecretResolver;
use crate::unlock;

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: GlobalArgs,
    pub(crate) registry: Registry,
    pub(crate) environment: Environment,
    pub(crate) output: Output,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) interrupt: Interrupt,
    pub(crate) config: OnceLock<Config>,
}

/// A place for a repository, whether there is one or not.
#[derive(Debug)]
pub(crate) struct Place {
    /// How it was named.
    pub(crate) named: String,
    pub(crate) config: RepositoryConfig,
    /// Whether nobody named it.
    pub(crate) is_default: bool,
    /// A name of the configuration that looks like it.
    pub(crate) nearest: Option<String>,
}

impl Place {
    /// The place for people, without secrets.
    pub(crate) fn shown(&self) -> String {
        format!("`{}`", self.location())
    }

    /// The place as a URL or path without secrets.
    pub(crate) fn location(&self) -> String {
        self.config.backend.location()
    }

    /// The folder on this machine that the place is, if it is one.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        let location = self.location();
        (!location.contains("://")).then(|| std::path::absolute(location).ok()).flatten()
    }

    /// The same, and no path that counts from where this program happens to run.
    pub(crate) fn absolute_location(&self) -> String {
        let location = self.location();
        match std::path::absolute(&location) {
            Ok(path) if !location.contains("://") => path.display().to_string(),
            _ => location,
        }
    }
}

impl Context {
    /// What turns references into secrets, as the configuration allows.
    pub(crate) fn secrets(&self) -> Result<Arc<dyn SecretResolver>, CliError> {
        let allow_inline = self.config()?.defaults.allow_inline_secrets;
        Ok(Arc::new(SystemSecretResolver::new().allowing_inline(allow_inline)))
    }

    /// The configuration, read when it is first needed.
    pub(crate) fn config(&self) -> Result<&Config, CliError> {
        if self.config.get().is_none() {
            let config = configuration::load(&self.registry, self.environment, &self.global)?;
            // Nobody else sets it: commands read the configuration from one task.
            let _ = self.config.set(config);
        }
        Ok(self.config.get().expect("it was set just before"))
    }

    /// The repository that the flags, the environment or the configuration name, or else the user's own.
    pub(crate) fn place(&self) -> Result<Place, CliError> {
        let config = self.config()?;
        let named = self.global.repository.clone();
        let named = named.or_else(|| self.environment.text("BACKUP_REPOSITORY"));
        let named = named.or_else(|| config.defaults.repository.clone());
        let only = || (config.repositories.len() == 1).then(|| config.repositories.keys().next().cloned()).flatten();
        match named.or_else(only) {
            Some(named) => self.place_named(named),
            None => Ok(Place { is_default: true, ..self.place_named(self.default_place()?)? }),
        }
    }

    fn default_place(&self) -> Result<String, CliError> {
        let folder = self.environment.default_repository().ok_or_else(|| {
            CliError::usage("no repository is named").hint("name one: `-r PATH`, or BACKUP_REPOSITORY")
        })?;
        folder.into_os_string().into_string().map_err(|_| {
            CliError::usage("the folder of the default repository is no text").hint("name another: `-r PATH`")
        })
    }

    /// The place that a path, a URL or a name of the configuration stands for.
    pub(crate) fn place_named(&self, named: String) -> Result<Place, CliError> {
        let config = self.config()?;
        let repository = config
            .repository(&self.registry, Some(&named))
            .map_err(|problem| configuration::refused("the repository's address can't be used", problem))?;
        let nearest = match repository.name {
            Some(_) => None,
            None => config.nearest_repository(&named).map(str::to_owned),
        };
        Ok(Place { named, config: repository, is_default: false, nearest })
    }

    /// Connects to a place; what failed for a passing reason is tried again from here on.
    pub(crate) async fn connect(&self, place: &Place) -> Result<Arc<dyn StorageBackend>, CliError> {
        let context = ConnectContext::new(self.secrets()?, Arc::clone(&self.clock));
        // Enough for several clients not to come back together.
        let seed = u64::from(self.clock.now().nanos()) ^ (u64::from(std::process::id()) << 32);
        let connected = place.config.backend.connect(&context).await;
        let connected = connected.map(|store| place.config.patience.around(store, seed));
        connected.map_err(|error| {
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

    /// Where this machine keeps what it would have to fetch again, unless that is not wanted.
    pub(crate) fn cache_folder(&self) -> Option<PathBuf> {
        let named = || self.global.cache_dir.clone().or_else(|| self.environment.cache_folder());
        (!self.global.no_cache).then(named).flatten()
    }

    /// Folders that this program itself writes to for the repository at a place: no capture takes them in.
    pub(crate) fn own_folders(&self, place: &Place) -> impl Iterator<Item = PathBuf> {
        place.folder().into_iter().chain(self.cache_folder())
    }

    /// Opens the repository at a place, and listens for requests to stop from then on.
    pub(crate) async fn open_at(&self, place: &Place) -> Result<Repository, CliError> {
        Ok(self.open_with(place).await?.0)
    }

    /// The same, with what it was opened.
    pub(crate) async fn open_with(&self, place: &Place) -> Result<(Repository, Unlock), CliError> {
        let backend = self.connect(place).await?;
        let opened = unlock::open(self, place, backend).await?;
        let id = opened.0.config().id;
        self.output.detail(format!("opened the repository {} with the id {id}", place.shown()));
        self.interrupt.listen(&self.output);
        let (repository, unlock) = opened;
        let repository = match self.cache_folder() {
            Some(folder) => repository.with_cache(folder),
            None => repository,
        };
        Ok((repository, unlock))
    }

    /// The snapshot that a text names, among those that count.
    pub(crate) async fn snapshot(
        &self,
        repository: &Repository,
        named: &str,
        narrow: &NarrowArgs,
    ) -> Result<Snapshot, CliError> {
        let (list, all) = self.list_snapshots(repository, narrow).await?;
        list.find(named).map_err(|error| {
            let message = format!("cannot find the snapshot `{named}`");
            if let FindSnapshotError::Empty = error
                && all > 0
            {
                let what = human::things(all as u64, "snapshot", "snapshots");
                let failed = CliError::new(Exit::Failed, message);
                return failed.because(format!("none of {what} matches")).hint(narrow.none_hint());
            }
            let failed = CliError::from_error(message, &error);
            match (failed.exit, &error) {
                (Exit::Failed, FindSnapshotError::Empty) => failed.hint("`backup create PATH` makes one"),
                (Exit::Failed, _) if narrow.is_open() => {
                    failed.hint("`backup snapshots` lists them; name one by `latest` or by its id")
                }
                (Exit::Failed, _) => failed.hint(narrow.none_hint()),
                _ => failed,
            }
        })
    }

    /// The snapshots that texts name, one for each.
    pub(crate) async fn snapshots(
        &self,
        repository: &Repository,
        named: &[String],
        narrow: &NarrowArgs,
    ) -> Result<Vec<Snapshot>, CliError> {
        let mut found = Vec::with_capacity(named.len());
        for named in named {
            found.push(self.snapshot(repository, named, narrow).await?);
        }
        Ok(found)
    }

    /// All snapshots that count and those that can't be read; and how many there are, whether they count or not.
    pub(crate) async fn list_snapshots(
        &self,
        repository: &Repository,
        narrow: &NarrowArgs,
    ) -> Result<(SnapshotList, usize), CliError> {
        let narrow = narrow.narrow()?;
        let list = self.interrupt.or_stop(repository.list_snapshots()).await?;
        let mut list = list.map_err(|error| CliError::from_error("cannot list the snapshots", &error))?;
        let all = list.snapshots.len();
        list.snapshots.retain(|it| narrow.accepts(&it.record.host, &it.record.source, &it.tags));
        Ok((list, all))
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
