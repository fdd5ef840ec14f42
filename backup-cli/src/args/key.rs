//! The arguments of `key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List what opens the repository.
    List,
    /// Add a password, a key file or somebody's public key.
    #[command(
        after_help = "Examples:\n  backup key add --label laptop\n  backup key add --escrow-recipient abcd-efgh-… --label notary"
    )]
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
    /// Make a key pair: a private key to keep elsewhere, and a public one for `key add --escrow-recipient`.
    ///
    /// The private key opens every repository to which the public one was added; the public one opens nothing. It needs no
    /// repository and may run on another computer, whose owner can then open the backups and need never have seen their password.
    #[command(after_help = "Example: backup key generate-escrow --out /media/stick/escrow.key")]
    GenerateEscrow {
        /// Where the private key is written; the public one goes to standard output.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
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
    /// Let whoever holds the private half of a key pair open the repository.
    #[arg(long, value_name = "PUBLIC_KEY", group = "new")]
    pub(crate) escrow_recipient: Option<String>,
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
