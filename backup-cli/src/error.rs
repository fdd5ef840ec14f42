//! What the command line says when something failed: what, why, and the way out.

mod classify;

use std::error::Error as StdError;
use std::fmt;

use crate::exit_code::Exit;

/// A failed command.
///
/// Shown in up to three parts: what failed, the chain of causes, and what can be done about it.
#[derive(Debug)]
pub struct CliError {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
    /// Whether the reader of standard output went away, which is no failure worth a word.
    pub(crate) output_closed: bool,
}

impl CliError {
    /// A failure with nothing behind it.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), hint: None, output_closed: false }
    }

    /// A mistake on the command line or in the configuration.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A failure caused by an error, whose kind decides the exit code.
    pub(crate) fn from_error(message: impl Into<String>, error: &(dyn StdError + 'static)) -> Self {
        let mut failed = Self::new(classify::exit_of(error), message).caused_by(error);
        failed.hint = classify::hint_of(failed.exit, error).map(str::to_owned);
        failed
    }

    /// The reader of standard output went away.
    pub(crate) fn output_closed() -> Self {
        Self { output_closed: true, ..Self::new(Exit::Done, "the output was closed") }
    }

    /// The same with an error and everything behind it as causes.
    pub(crate) fn caused_by(mut self, error: &dyn StdError) -> Self {
        let mut next: Option<&dyn StdError> = Some(error);
        while let Some(error) = next {
            self = self.because(error.to_string());
            next = error.source();
        }
        self
    }

    /// The same with one more cause, unless what is there says it already.
    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        let cause = cause.into();
        let said = std::iter::once(&self.message).chain(&self.causes).any(|text| text.contains(&cause));
        if !cause.is_empty() && !said {
            self.causes.push(cause);
        }
        self
    }

    /// What failed and why in one line, for a warning.
    pub(crate) fn in_one_line(&self) -> String {
        std::iter::once(&self.message).chain(&self.causes).map(String::as_str).collect::<Vec<_>>().join(": ")
    }

    /// The same with what can be done about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with another exit code.
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

impl fmt::Display for CliError {
    /// ```text
    /// error: cannot open the repository `/srv/backup`
    /// cause: there is no repository
    ///  hint: make one with `backup -r /srv/backup init`
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", indented(&self.message))?;
        for cause in &self.causes {
            write!(f, "\ncause: {}", indented(cause))?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n hint: {}", indented(hint)),
            None => Ok(()),
        }
    }
}

impl StdError for CliError {}

/// Continuation lines stand under the text, not under the label.
fn indented(text: &str) -> String {
    text.replace('\n', "\n       ")
}

/// The nearest of some names to one that is not known, as a hint.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    /// Below this likeness a suggestion confuses more than it helps.
    const LEAST_LIKENESS: f64 = 0.7;
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LEAST_LIKENESS)
        .max_by(|(a, x), (b, y)| a.total_cmp(b).then_with(|| y.cmp(x)))
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use backup_core::{StorageError, StorageErrorKind, StorageOperation};
    use backup_engine::error::RepositoryError;
    use backup_engine::id::BlobId;
    use backup_engine::layout;
    use backup_engine::query::QueryError;

    #[test]
    fn error_is_shown_in_three_parts_and_says_nothing_twice() {
        let disk = StorageError::new(StorageErrorKind::QuotaExceeded, StorageOperation::Put)
            .with_source(std::io::Error::from(std::io::ErrorKind::StorageFull));
        let error = CliError::from_error("cannot create a snapshot", &RepositoryError::from(disk));
        assert_eq!(error.exit, Exit::NoSpace);
        let shown = error.to_string();
        assert!(
            shown.starts_with("error: cannot create a snapshot\ncause: cannot write object: no space left"),
            "{shown}"
        );
        assert_eq!(shown.matches("cannot write object").count(), 1, "{shown}");
        assert!(shown.contains("\n hint: "), "{shown}");
    }

    #[test]
    fn kind_deep_in_the_chain_decides_the_exit_code() {
        for (kind, exit) in [
            (StorageErrorKind::Unauthenticated, Exit::CredentialsExpired),
            (StorageErrorKind::Unavailable, Exit::Unreachable),
            (StorageErrorKind::Timeout, Exit::Unreachable),
            (StorageErrorKind::QuotaExceeded, Exit::NoSpace),
            (StorageErrorKind::Integrity, Exit::Corrupt),
            (StorageErrorKind::PermissionDenied, Exit::Failed),
        ] {
            let error = || RepositoryError::from(StorageError::new(kind, StorageOperation::Get));
            assert_eq!(CliError::from_error("x", &error()).exit, exit, "{kind:?}");
            // Behind a blob that can't be read, and behind an operation's own error.
            let (blob, key) = (BlobId::from_bytes([0; 32]), layout::config());
            let deep = RepositoryError::UnreadableBlob { blob, key, source: Box::new(error()) };
            let exit = if exit == Exit::Failed { Exit::Corrupt } else { exit };
            assert_eq!(CliError::from_error("x", &QueryError::from(deep)).exit, exit, "{kind:?}");
        }
    }
}
