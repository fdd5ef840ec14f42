//! The arguments of `key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List what opens the repository.
    List,
    /// Add a password or a key file.
    #[command(after_help = "Example: backup key add --label laptop")]
    Add(AddArgs),
    /// Remove a key.
    ///
    /// Whoever had it can still read what was stored until now, if they kept a copy: removing is no cure for a key that
    /// leaked.
    #[command(after_help = "Example: backup key remove 3f2a91c0")]
    Remove {
        /// The beginning of the key's id.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Replace the password that the repository is opened with.
    Passwd(NewSecretArgs),
    /// Write a new recovery kit.
    #[command(after_help = "Example: backup key recovery-kit --kit /media/stick/kit.txt")]
    RecoveryKit {
        /// Where it is written, instead of the user's configuration folder.
        #[arg(long, value_name = "FILE")]
        kit: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    pub(crate) secret: NewSecretArgs,
    /// A label to know the key by.
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
}

/// Where a new secret comes from; BACKUP_NEW_PASSWORD or a question without any.
#[derive(Debug, Args)]
pub(crate) struct NewSecretArgs {
    /// Read the new password from a file that only its owner can read.
    #[arg(long, value_name = "FILE", group = "new")]
    pub(crate) new_password_file: Option<PathBuf>,
    /// Take the new password from what a program prints.
    #[arg(long, value_name = "COMMAND", group = "new")]
    pub(crate) new_password_command: Option<String>,
    /// Use a key file; one that is not there yet is made.
    #[arg(long, value_name = "FILE", group = "new")]
    pub(crate) new_key_file: Option<PathBuf>,
}
