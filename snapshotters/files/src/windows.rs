//! Windows: not built yet; every operation says so.

use std::sync::Arc;

use backup_core::{EntryPath, RestoreTarget, SourceContext, SourceError, SourceView, TargetOptions};

use crate::options::FilesOptions;
use crate::selection::Selection;

pub(crate) fn outer_roots(_selections: &[Selection]) -> Vec<EntryPath> {
    Vec::new()
}

pub(crate) fn begin(
    _options: &FilesOptions,
    _selections: &Arc<[Selection]>,
    _context: &SourceContext<'_>,
) -> Result<Box<dyn SourceView>, SourceError> {
    Err(SourceError::Unsupported("capturing files on Windows"))
}

pub(crate) fn target(_options: &TargetOptions) -> Result<Box<dyn RestoreTarget>, SourceError> {
    Err(SourceError::Unsupported("restoring files on Windows"))
}
