//! The exit codes of the `backup` command. They are part of its contract: a number never gets another meaning.

use std::process::ExitCode;

/// How a command ended.
///
/// ```
/// use backup_cli::Exit;
///
/// assert_eq!(Exit::WrongKey.code(), 12);
/// assert_eq!(Exit::WrongKey.name(), "wrong_key");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Exit {
    /// Everything was done.
    Done = 0,
    /// It failed, for a reason that has no number of its own.
    Failed = 1,
    /// The command line or the configuration is wrong; nothing was done.
    Usage = 2,
    /// It was done, but some entries of the source could not be read, or of the target not be written.
    Incomplete = 3,
    /// What was to be verified is not as it should be.
    VerificationFailed = 4,
    /// There is no repository.
    NoRepository = 10,
    /// Somebody else holds it.
    Held = 11,
    /// The password or key doesn't open the repository.
    WrongKey = 12,
    /// The store can't be reached.
    Unreachable = 13,
    /// The store's credentials are missing, expired or revoked.
    CredentialsExpired = 14,
    /// There is no space left.
    NoSpace = 15,
    /// The repository is damaged.
    Corrupt = 16,
    /// It was interrupted; what was finished is kept.
    Interrupted = 130,
}

impl Exit {
    /// All of them, by number.
    pub const ALL: [Self; 13] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Incomplete,
        Self::VerificationFailed,
        Self::NoRepository,
        Self::Held,
        Self::WrongKey,
        Self::Unreachable,
        Self::CredentialsExpired,
        Self::NoSpace,
        Self::Corrupt,
        Self::Interrupted,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Incomplete => "incomplete",
            Self::VerificationFailed => "verification_failed",
            Self::NoRepository => "no_repository",
            Self::Held => "held",
            Self::WrongKey => "wrong_key",
            Self::Unreachable => "unreachable",
            Self::CredentialsExpired => "credentials_expired",
            Self::NoSpace => "no_space",
            Self::Corrupt => "corrupt",
            Self::Interrupted => "interrupted",
        }
    }

    /// What it means, for the manual.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "wrong command line or configuration",
            Self::Incomplete => "finished, but some entries could not be read or written",
            Self::VerificationFailed => "verification failed",
            Self::NoRepository => "no repository",
            Self::Held => "held by another",
            Self::WrongKey => "wrong password or key",
            Self::Unreachable => "store unreachable",
            Self::CredentialsExpired => "credentials missing, expired or revoked",
            Self::NoSpace => "no space left",
            Self::Corrupt => "repository damaged",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
