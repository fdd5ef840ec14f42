//! What the command line takes from outside: variables, terminals and the folders of the user.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

/// The process's surroundings. The only place that reads variables of the environment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Environment;

impl Environment {
    /// A variable, `None` when it is not there or empty.
    #[expect(clippy::disallowed_methods, reason = "the composition root reads the environment for everybody else")]
    pub(crate) fn variable(self, name: &str) -> Option<OsString> {
        std::env::var_os(name).filter(|value| !value.is_empty())
    }

    /// A variable that is text.
    pub(crate) fn text(self, name: &str) -> Option<String> {
        self.variable(name)?.into_string().ok()
    }

    /// All variables that are text, but for passwords, which nothing but their own reader may see.
    pub(crate) fn texts(self) -> impl Iterator<Item = (String, String)> {
        let secret = |name: &str| matches!(name, "BACKUP_PASSWORD" | "BACKUP_NEW_PASSWORD");
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(move |(name, _)| !secret(name))
    }

    /// Whether a person can be asked: both where questions are shown and where answers come from are terminals.
    pub(crate) fn can_ask(self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// An absolute path in a variable; the specification of the XDG folders says that others are to be ignored.
    fn folder(self, variable: &str) -> Option<PathBuf> {
        self.variable(variable).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    fn home(self) -> Option<PathBuf> {
        self.folder(if cfg!(windows) { "USERPROFILE" } else { "HOME" })
    }

    /// Where the user's configuration of this program lies.
    pub(crate) fn config_folder(self) -> Option<PathBuf> {
        let base = if cfg!(windows) {
            self.folder("APPDATA")
        } else if cfg!(target_os = "macos") {
            self.folder("XDG_CONFIG_HOME").or_else(|| Some(self.home()?.join("Library/Application Support")))
        } else {
            self.folder("XDG_CONFIG_HOME").or_else(|| Some(self.home()?.join(".config")))
        };
        Some(base?.join("backup"))
    }

    /// Where the user's data of this program lies.
    pub(crate) fn data_folder(self) -> Option<PathBuf> {
        let base = if cfg!(windows) {
            self.folder("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            self.folder("XDG_DATA_HOME").or_else(|| Some(self.home()?.join("Library/Application Support")))
        } else {
            self.folder("XDG_DATA_HOME").or_else(|| Some(self.home()?.join(".local/share")))
        };
        Some(base?.join("backup"))
    }

    /// Where what can be fetched again is kept for the user.
    pub(crate) fn cache_folder(self) -> Option<PathBuf> {
        if let Some(named) = self.variable("BACKUP_CACHE_DIR") {
            return Some(named.into());
        }
        let base = if cfg!(windows) {
            self.folder("LOCALAPPDATA")?.join("backup")
        } else if cfg!(target_os = "macos") {
            return Some(self.home()?.join("Library/Caches/backup"));
        } else {
            self.folder("XDG_CACHE_HOME").or_else(|| Some(self.home()?.join(".cache")))?.join("backup")
        };
        Some(if cfg!(windows) { base.join("cache") } else { base })
    }

    /// The configuration for all users of the machine.
    pub(crate) fn system_config(self) -> Option<PathBuf> {
        if cfg!(windows) {
            Some(self.folder("PROGRAMDATA")?.join("backup").join("config.toml"))
        } else {
            Some(PathBuf::from("/etc/backup/config.toml"))
        }
    }

    /// The repository that is used when none is named.
    pub(crate) fn default_repository(self) -> Option<PathBuf> {
        Some(self.data_folder()?.join("backups"))
    }

    /// The machine's name, as it stands in snapshots.
    pub(crate) fn host(self) -> String {
        #[cfg(unix)]
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        #[cfg(not(unix))]
        let name = self.text("COMPUTERNAME").unwrap_or_default();
        name
    }

    /// The user's name, as it stands in snapshots.
    pub(crate) fn user(self) -> String {
        let named = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| self.text(name));
        #[cfg(unix)]
        let named = named.or_else(|| Some(rustix::process::getuid().as_raw().to_string()));
        named.unwrap_or_default()
    }
}
