//! What a files source captures.

use std::path::PathBuf;

/// The ignore file that is honoured unless the options say otherwise.
pub(crate) const DEFAULT_IGNORE_FILE: &str = ".backupignore";

/// Which files a source captures.
///
/// Patterns are those of `.gitignore`: `*.o` matches at any depth, `/build` only right under a root, `docs/**/*.pdf`
/// counts from the root because it has a slash inside, `cache/` matches directories only, and a later `!pattern` takes
/// back an earlier one. They are matched against the path below the root, never against the absolute path. What is below
/// an excluded directory is not looked at, so it can't be taken back.
///
/// ```
/// use backup_snapshotter_files::FilesOptions;
///
/// let mut options = FilesOptions::new(["/home/u", "/etc"]);
/// options.exclude = vec!["/.cache/".into(), "*.tmp".into(), "!keep.tmp".into()];
/// options.one_file_system = true;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilesOptions {
    /// The name of the source in the configuration; stored in snapshots.
    pub name: Option<String>,
    /// What to capture: files and directories. A relative one counts from the working directory of the moment when the
    /// snapshotter is made. Links on the way to a root are resolved. Of a root that is a link itself, both the link and
    /// what it leads to are captured; with a `/` at its end only the latter.
    pub roots: Vec<PathBuf>,
    /// When not empty, only what one of these patterns matches is captured, with everything below a directory that
    /// matches, and the directories that lead there.
    pub include: Vec<String>,
    /// What is left out; stronger than `include` and than ignore files.
    pub exclude: Vec<String>,
    /// Names of files whose lines are patterns for the directory they are in and what is below it. The deepest file with
    /// a matching pattern decides, and in one directory the last of these names. Default: `.backupignore`.
    pub ignore_files: Vec<String>,
    /// Whether only the tag is kept of a directory with a valid `CACHEDIR.TAG`. Default: no.
    pub exclude_caches: bool,
    /// Whether directories on another file system than their root are kept empty. Default: no.
    pub one_file_system: bool,
    /// Larger regular files are left out. Default: no limit.
    pub max_file_bytes: Option<u64>,
    /// More roots, with patterns of their own. Everything else above holds for them as well.
    pub sets: Vec<FileSet>,
}

/// Some roots with patterns of their own.
///
/// Where roots lie in one another, the nearest one above a file decides which patterns it is held against.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileSet {
    /// A name for people.
    pub name: String,
    /// What it captures; see [`FilesOptions::roots`].
    pub roots: Vec<PathBuf>,
    /// What it is restricted to; see [`FilesOptions::include`].
    pub include: Vec<String>,
    /// What is left out of it; see [`FilesOptions::exclude`].
    pub exclude: Vec<String>,
}

impl FilesOptions {
    /// Everything below some roots.
    pub fn new<P: Into<PathBuf>>(roots: impl IntoIterator<Item = P>) -> Self {
        Self {
            name: None,
            roots: roots.into_iter().map(Into::into).collect(),
            include: Vec::new(),
            exclude: Vec::new(),
            ignore_files: vec![DEFAULT_IGNORE_FILE.to_owned()],
            exclude_caches: false,
            one_file_system: false,
            max_file_bytes: None,
            sets: Vec::new(),
        }
    }
}
