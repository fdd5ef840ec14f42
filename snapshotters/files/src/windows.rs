//! Windows: not built yet; every operation says so.

use std::path::PathBuf;

use backup_core::{EntryPath, RestoreTarget, SourceContext, SourceError, SourceView, TargetOptions};

use crate::options::FilesOptions;
use crate::rules::Rules;

pub(crate) fn outer_roots(_roots: &[PathBuf]) -> Vec<EntryPath> {
    Vec::new()
}

pub(crate) fn begin(
    _options: &FilesOptions,
    _rules: &Rules,
    _context: &SourceContext<'_>,
) -> Result<Box<dyn SourceView>, SourceError> {
    Err(SourceError::Unsupported("capturing files on Windows"))
}

pub(crate) fn target(_options: &TargetOptions) -> Result<Box<dyn RestoreTarget>, SourceError> {
    Err(SourceError::Unsupported("restoring files on Windows"))
}
