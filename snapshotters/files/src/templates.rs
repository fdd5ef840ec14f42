//! Ready-made sets of exclude patterns, by name.

/// A named set of exclude patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Template {
    /// The name as it stands in the configuration.
    pub name: &'static str,
    /// What it leaves out, in one line.
    pub summary: &'static str,
    /// The patterns.
    pub patterns: &'static [&'static str],
}

/// All templates, sorted by name.
pub fn templates() -> &'static [Template] {
    TEMPLATES
}

/// The template of a name.
///
/// ```
/// use backup_snapshotter_files::template;
///
/// assert!(template("node").is_some_and(|set| set.patterns.contains(&"node_modules/")));
/// assert!(template("no-such-set").is_none());
/// ```
pub fn template(name: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.name == name)
}

// Only what a program makes again by itself: a template must never cost somebody a file. Hence `target/` only where it
// says so by its tag (`exclude_caches`) or by the debug and release folders in it, and no `bin/`, `lib/`, `vendor/`.
const TEMPLATES: &[Template] = &[
    Template {
        name: "build-artifacts",
        summary: "object files and the output of CMake, Bazel and autotools",
        patterns: &[
            "*.o",
            "*.obj",
            "*.lo",
            "*.gch",
            "*.pch",
            "CMakeFiles/",
            "cmake-build-*/",
            "bazel-bin",
            "bazel-out",
            "bazel-testlogs",
            "autom4te.cache/",
        ],
    },
    Template {
        name: "caches",
        summary: "caches of desktop programs and browsers",
        patterns: &[
            ".cache/",
            "Cache_Data/",
            "Code Cache/",
            "GPUCache/",
            "ShaderCache/",
            "GrShaderCache/",
            "**/Library/Caches/",
            ".thumbnails/",
            ".ccache/",
            ".sccache/",
        ],
    },
    Template {
        name: "java",
        summary: "class files and what Gradle and Maven download",
        patterns: &["*.class", "**/.gradle/caches/", "**/.gradle/daemon/", "**/.m2/repository/"],
    },
    Template {
        name: "node",
        summary: "installed packages and caches of JavaScript tools",
        patterns: &[
            "node_modules/",
            "bower_components/",
            "**/.npm/_cacache/",
            ".pnpm-store/",
            "**/.yarn/cache/",
            ".parcel-cache/",
            "**/.next/cache/",
            ".turbo/",
            ".eslintcache",
        ],
    },
    Template {
        name: "os-files",
        summary: "what desktops and file managers leave in folders",
        patterns: &[
            ".DS_Store",
            "._.DS_Store",
            ".AppleDouble/",
            ".Spotlight-V100/",
            ".fseventsd/",
            "Thumbs.db",
            "ehthumbs.db",
            "desktop.ini",
            "$RECYCLE.BIN/",
            "System Volume Information/",
            "lost+found/",
            ".directory",
        ],
    },
    Template {
        name: "python",
        summary: "byte code, virtual environments and tool caches of Python",
        patterns: &[
            "__pycache__/",
            "*.pyc",
            "*.pyo",
            ".venv/",
            ".tox/",
            ".nox/",
            ".mypy_cache/",
            ".pytest_cache/",
            ".ruff_cache/",
            ".ipynb_checkpoints/",
            "*.egg-info/",
        ],
    },
    Template {
        name: "rust",
        summary: "the output of cargo and what it has downloaded",
        patterns: &[
            "**/target/debug/",
            "**/target/release/",
            "**/target/doc/",
            "**/.cargo/registry/cache/",
            "**/.cargo/registry/src/",
            "**/.cargo/git/checkouts/",
        ],
    },
    Template {
        name: "temporary",
        summary: "temporary and swap files of editors and downloads in progress",
        patterns: &["*.tmp", "*.temp", "*.swp", "*.swo", "*~", "\\#*#", ".#*", "*.part", "*.crdownload", "*.partial"],
    },
    Template {
        name: "trash",
        summary: "bins of deleted files",
        patterns: &[".Trash/", ".Trash-*/", ".Trashes/", "**/.local/share/Trash/"],
    },
    Template {
        name: "vcs",
        summary: "the histories that version control keeps",
        patterns: &[".git/", ".hg/", ".svn/", ".bzr/", "_darcs/", "CVS/", ".jj/"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::PatternSet;

    #[test]
    fn templates_are_sorted_unique_and_valid() {
        assert!(TEMPLATES.windows(2).all(|pair| pair[0].name < pair[1].name));
        for set in TEMPLATES {
            let lines: Vec<String> = set.patterns.iter().map(|&p| p.to_owned()).collect();
            assert!(!lines.is_empty(), "{}", set.name);
            PatternSet::new(&lines).unwrap_or_else(|error| panic!("{}: {error}", set.name));
        }
    }
}
