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

use std::sync::Arc;

use backup_core::{EntryPath, RestoreTarget, SourceContext, SourceError, SourceView, TargetOptions};

use crate::options::FilesOptions;
use crate::selection::Selection;

use roots::Roots;

/// The roots as they appear in entry paths, without those inside others.
pub(crate) fn outer_roots(selections: &[Selection]) -> Vec<EntryPath> {
    Roots::resolve(selections).outer()
}

/// Opens a view of the files as they are now.
pub(crate) fn begin(
    options: &FilesOptions,
    selections: &Arc<[Selection]>,
    context: &SourceContext<'_>,
) -> Result<Box<dyn SourceView>, SourceError> {
    Ok(Box::new(view::FilesView::begin(options, selections, context)?))
}

/// Opens a directory to restore into, made when it isn't there.
pub(crate) fn target(options: &TargetOptions) -> Result<Box<dyn RestoreTarget>, SourceError> {
    Ok(Box::new(target::FilesTarget::open(options)?))
}
