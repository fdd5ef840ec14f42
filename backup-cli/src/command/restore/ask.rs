//! Asking a person on the terminal what to do about a conflict.

use std::io::{BufRead, Write};
use std::sync::{Mutex, PoisonError};

use backup_core::conflict::{KeepBackup, KeepBoth, KeepLocal, Newest};
use backup_core::{ConflictResolver, Entry, EntryKind, Resolution, RestoreConflict};

use crate::output::{Output, human};

/// Asks on the terminal. An answer may hold for everything that follows.
#[derive(Debug)]
pub(super) struct AskOnTerminal {
    output: Output,
    /// What holds for everything that follows.
    decided: Mutex<Option<Answer>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Local,
    Backup,
    Both,
    Newest,
}

impl Answer {
    /// An answer and whether it holds for everything that follows: then it is a capital letter.
    fn read(line: &str) -> Option<(Self, bool)> {
        let mut letters = line.trim().chars();
        let letter = letters.next()?;
        if letters.next().is_some() {
            return None;
        }
        let answer = match letter.to_ascii_lowercase() {
            'l' => Self::Local,
            'b' => Self::Backup,
            'o' => Self::Both,
            'n' => Self::Newest,
            _ => return None,
        };
        Some((answer, letter.is_ascii_uppercase()))
    }

    fn resolve(self, conflict: &RestoreConflict<'_>) -> Resolution {
        match self {
            Self::Local => KeepLocal {}.resolve(conflict),
            Self::Backup => KeepBackup {}.resolve(conflict),
            Self::Both => KeepBoth::default().resolve(conflict),
            Self::Newest => Newest {}.resolve(conflict),
        }
    }
}

impl AskOnTerminal {
    pub(super) fn new(output: &Output) -> Self {
        Self { output: output.clone(), decided: Mutex::new(None) }
    }

    /// Asks until there is an answer; leaves what is there when nobody answers any more.
    fn ask(&self, conflict: &RestoreConflict<'_>) -> (Answer, bool) {
        let question = format!(
            "/{} is there already\n  here:   {}\n  backup: {}\n\
             keep [l]ocal, take [b]ackup, b[o]th, or [n]ewest; a capital letter for all that follow: ",
            conflict.backup.path,
            described(conflict.local),
            described(conflict.backup),
        );
        self.output.bars().suspend(|| {
            loop {
                let mut stderr = std::io::stderr().lock();
                // Nobody to ask if that fails.
                if stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).is_err() {
                    return (Answer::Local, true);
                }
                let mut line = String::new();
                match std::io::stdin().lock().read_line(&mut line) {
                    Ok(0) | Err(_) => return (Answer::Local, true),
                    Ok(_) => {}
                }
                if let Some(answer) = Answer::read(&line) {
                    return answer;
                }
            }
        })
    }
}

fn described(entry: &Entry) -> String {
    let changed = human::time(entry.modified);
    match entry.kind {
        EntryKind::File => format!("{}, changed {changed}", human::size(entry.size_bytes)),
        EntryKind::Directory => "a folder".to_owned(),
        EntryKind::Symlink => "a link".to_owned(),
        EntryKind::Fifo | EntryKind::Socket | EntryKind::CharDevice | EntryKind::BlockDevice => {
            "a special file".to_owned()
        }
    }
}

impl ConflictResolver for AskOnTerminal {
    fn resolve(&self, conflict: &RestoreConflict<'_>) -> Resolution {
        let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = decided.unwrap_or_else(|| {
            let (answer, for_all) = self.ask(conflict);
            if for_all {
                *decided = Some(answer);
            }
            answer
        });
        answer.resolve(conflict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_letter_is_an_answer_and_a_capital_one_holds_for_all() {
        assert_eq!(Answer::read("l\n"), Some((Answer::Local, false)));
        assert_eq!(Answer::read(" B \n"), Some((Answer::Backup, true)));
        assert_eq!(Answer::read("o"), Some((Answer::Both, false)));
        assert_eq!(Answer::read("N"), Some((Answer::Newest, true)));
        for none in ["", "\n", "x", "local", "yes"] {
            assert_eq!(Answer::read(none), None, "{none:?}");
        }
    }
}
