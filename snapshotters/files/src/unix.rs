//! Unix: capture and restore by directory descriptors.

mod accounts;
mod beneath;
mod dir_cache;
mod dir_stack;
mod extents;
#[cfg(target_os = "linux")]
mod linux;
mod listing;
#[cfg(not(target_os = "linux"))]
mod other;
mod privilege;
mod reader;
mod roots;
mod stat;
mod target;
mod view;
mod walk;
mod xattrs;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

use std::path::PathBuf;

use backup_core::{EntryPath, RestoreTarget, SourceContext, SourceError, SourceView, TargetOptions};

use crate::options::FilesOptions;
use crate::rules::Rules;

use roots::Roots;

/// The roots as they appear in entry paths, without those inside others.
pub(crate) fn outer_roots(roots: &[PathBuf]) -> Vec<EntryPath> {
    Roots::resolve(roots).outer()
}

/// Opens a view of the files as they are now.
pub(crate) fn begin(
    options: &FilesOptions,
    rules: &Rules,
    context: &SourceContext<'_>,
) -> Result<Box<dyn SourceView>, SourceError> {
    Ok(Box::new(view::FilesView::begin(options, rules, context)?))
}

/// Opens a directory to restore into, made when it isn't there.
pub(crate) fn target(options: &TargetOptions) -> Result<Box<dyn RestoreTarget>, SourceError> {
    Ok(Box::new(target::FilesTarget::open(options)?))
}
