//! Files and folders as a source and as a place to restore into.
//!
//! [`FilesSnapshotter`] lists its roots in canonical order, reads what is in them and takes it back with all metadata.
//! Two invariants hold throughout. Capture opens nothing but regular files and directories, and reaches them without
//! following a link. Restore never follows a link either: every path is resolved from a descriptor of the target, so
//! nothing outside it changes, whatever a hostile repository or a racing process puts in the way.
//!
//! The crate knows nothing of repositories, and reads neither environment nor clock.
//!
//! ```
//! use backup_core::{CancelToken, Snapshotter, SourceContext, SystemClock};
//! use backup_snapshotter_files::{FilesOptions, FilesSnapshotter};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # std::fs::write(folder.path().join("notes.txt"), "kept")?;
//! # std::fs::write(folder.path().join("notes.bak"), "left out")?;
//! let mut options = FilesOptions::new([folder.path()]);
//! options.exclude = vec!["*.bak".to_owned()];
//! let source = FilesSnapshotter::new(options)?;
//!
//! let (clock, cancel) = (SystemClock::new(), CancelToken::new());
//! let view = source.begin(&SourceContext::new(&clock, &cancel))?;
//! let mut names = Vec::new();
//! for entry in view.entries() {
//!     names.push(entry?.path.to_string());
//! }
//! assert!(names.last().is_some_and(|name| name.ends_with("/notes.txt")));
//! # Ok(())
//! # }
//! ```

#![cfg_attr(windows, expect(dead_code, reason = "rules and times wait for the Windows half"))]

mod config;
mod options;
mod racy;
mod rules;
mod selection;
mod snapshotter;
mod templates;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

pub use config::{FilesConfig, SetConfig};
pub use options::{FileSet, FilesOptions};
pub use snapshotter::FilesSnapshotter;
pub use templates::{Template, template, templates};
