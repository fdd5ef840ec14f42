//! The source as the engine sees it.

use std::sync::Arc;

use backup_core::{
    RestoreTarget, Snapshotter, SourceContext, SourceDescription, SourceError, SourceView, TargetOptions,
};

use crate::options::FilesOptions;
use crate::platform;
use crate::selection::Selection;

/// The type of this source in the configuration.
pub(crate) const KIND: &str = "files";

/// Captures files and folders, and restores them.
///
/// # What is captured
/// Every root with all that is below it, and the directories that lead to it (their metadata, not what else is in them).
/// Paths are absolute without the leading `/`. Links are captured as links and never followed; pipes, sockets and devices
/// are captured as such and never opened. A root inside another root is covered by it, but stays named: patterns and
/// `one_file_system` don't apply to it, only to what is below it.
///
/// # What is restored
/// [`Snapshotter::target`] takes back everything above: content with its holes, owners and permission bits, times to the
/// nanosecond, extended attributes with access control lists and capabilities, hard links, pipes, sockets and devices.
/// A file is written under a temporary name and takes its place at once; what could not be set of its metadata is an
/// error that names it, and the file is whole. Extended attributes that the backup doesn't have are removed, except
/// labels that the system gives by itself. A directory is never replaced by something else, nor the other way round; who
/// wants that has to remove first. What stands outside the target is out of reach, whatever links are in the way.
///
/// # What it costs
/// Listing: one system call per entry and six more per directory; memory for the names in one directory of each level at
/// a time. At most 24 descriptors are open for it, whatever the depth, and 16 more for reading; a target keeps 16. Reading
/// a small file takes six calls; restoring it takes six, and one more each for another owner and unusual permissions.
#[derive(Debug)]
pub struct FilesSnapshotter {
    options: FilesOptions,
    selections: Arc<[Selection]>,
}

impl FilesSnapshotter {
    /// A snapshotter for what the options say; looks at no file yet.
    ///
    /// # Errors
    /// [`SourceError::Config`] without a root, for a root in two sets, and for a pattern that can't be understood or that
    /// begins with a root's own path, which could never match; [`SourceError::Io`] when a root is relative and the
    /// working directory is gone.
    pub fn new(mut options: FilesOptions) -> Result<Self, SourceError> {
        for name in &options.ignore_files {
            if name.is_empty() || name.contains(['/', '\0']) {
                return Err(SourceError::Config(format!("`{name}` can't be the name of an ignore file")));
            }
        }
        let selections = Selection::all(&mut options)?.into();
        Ok(Self { options, selections })
    }

    /// What it captures, with absolute roots.
    pub fn options(&self) -> &FilesOptions {
        &self.options
    }
}

impl Snapshotter for FilesSnapshotter {
    /// Roots are named as they are now, with links on the way to them resolved; a root `/` stands as no root at all,
    /// since it has no entry of its own.
    fn describe(&self) -> SourceDescription {
        SourceDescription {
            kind: KIND.to_owned(),
            name: self.options.name.clone(),
            roots: platform::outer_roots(&self.selections),
        }
    }

    fn begin(&self, context: &SourceContext<'_>) -> Result<Box<dyn SourceView>, SourceError> {
        platform::begin(&self.options, &self.selections, context)
    }

    fn target(&self, options: &TargetOptions) -> Result<Box<dyn RestoreTarget>, SourceError> {
        platform::target(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_of_ignore_files_are_refused() {
        for name in ["", "a/b", "a\0"] {
            let mut options = FilesOptions::new(["/a"]);
            options.ignore_files = vec![name.to_owned()];
            assert!(matches!(FilesSnapshotter::new(options), Err(SourceError::Config(_))), "{name:?}");
        }
    }
}
