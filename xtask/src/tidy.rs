//! Small rules that no compiler checks: files that documents name exist, source files stay short, no path of one machine is
//! written down, decisions are numbered.

mod links;
mod source;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process;

/// The repository's files: path below the root with `/` between components → text, or `None` for one that is not UTF-8.
pub(crate) type Files = BTreeMap<String, Option<String>>;

/// Reads every file that git does not ignore and fails if a rule is broken.
pub(crate) fn run() -> Result<()> {
    let files = read(&process::root())?;
    let mut findings = source::check(&files);
    findings.extend(links::check(&files));
    findings.extend(decisions(&files));
    findings.extend(runnable(&process::root())?);
    for finding in &findings {
        println!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("{} finding(s)", findings.len());
    }
    println!("tidy: {} files are in order", files.len());
    Ok(())
}

fn read(root: &Path) -> Result<Files> {
    let mut files = Files::new();
    // Hidden files count (.ci, .config); git's own directory does not.
    let walk = ignore::WalkBuilder::new(root)
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git" && entry.file_name() != "target")
        .build();
    for entry in walk {
        let entry = entry.context("cannot walk the repository")?;
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let below = entry.path().strip_prefix(root).context("a walked file outside of the root")?;
        let name = below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
        let bytes = match std::fs::read(entry.path()) {
            // An editor's temporary file may go while we look.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.with_context(|| format!("cannot read {name}"))?,
        };
        files.insert(name, String::from_utf8(bytes).ok());
    }
    Ok(files)
}

/// Decisions are `docs/decisions/NNNN-title.md`, numbered from 0001 without a gap, each with its number in its heading.
fn decisions(files: &Files) -> Vec<String> {
    let mut findings = Vec::new();
    let mut expected = 1_u32;
    for (path, text) in files {
        let Some(name) = path.strip_prefix("docs/decisions/") else { continue };
        let number = name.split_once('-').and_then(|(digits, title)| {
            let titled = title.len() > ".md".len() && title.ends_with(".md");
            (digits.len() == 4 && titled).then(|| digits.parse::<u32>().ok()).flatten()
        });
        let Some(number) = number else {
            findings.push(format!("{path}: a decision's file is named NNNN-title.md"));
            continue;
        };
        if number != expected {
            findings.push(format!("{path}: the next number is {expected:04}"));
        }
        expected = number.saturating_add(1);
        let heading = text.as_deref().and_then(|text| text.lines().next()).unwrap_or_default();
        if !heading.starts_with(&format!("# {number:04} ")) {
            findings.push(format!("{path}: its first line is `# {number:04} Title`"));
        }
    }
    findings
}

/// What CI starts must be executable.
fn runnable(root: &Path) -> Result<Vec<String>> {
    let script = root.join(".ci/run");
    let metadata = std::fs::metadata(&script).with_context(|| format!("cannot stat {}", script.display()))?;
    #[cfg(unix)]
    let bad = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 == 0;
    #[cfg(not(unix))]
    let bad = !metadata.is_file();
    Ok(if bad { vec![".ci/run: it has no executable bit".to_owned()] } else { Vec::new() })
}

#[cfg(test)]
pub(crate) fn tree(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_in_order_are_accepted() {
        let files = tree(&[
            ("docs/decisions/0001-a.md", "# 0001 A\n"),
            ("docs/decisions/0002-b-c.md", "# 0002 B\n"),
            ("x", ""),
        ]);
        assert_eq!(decisions(&files), Vec::<String>::new());
    }

    #[test]
    fn a_gap_a_double_a_bad_name_and_a_bad_heading_are_found() {
        let gap = tree(&[("docs/decisions/0001-a.md", "# 0001 A"), ("docs/decisions/0003-b.md", "# 0003 B")]);
        assert_eq!(decisions(&gap), ["docs/decisions/0003-b.md: the next number is 0002"]);
        let double = tree(&[("docs/decisions/0001-a.md", "# 0001 A"), ("docs/decisions/0001-b.md", "# 0001 B")]);
        assert_eq!(decisions(&double).len(), 1);
        for name in ["1-a.md", "0001.md", "0001-.md", "0001-a.txt", "abcd-a.md", "0001-a"] {
            let path = format!("docs/decisions/{name}");
            assert_eq!(decisions(&tree(&[(&path, "# 0001 A")])).len(), 1, "{name}");
        }
        assert_eq!(decisions(&tree(&[("docs/decisions/0001-a.md", "# A")])).len(), 1);
        assert_eq!(decisions(&tree(&[("docs/decisions/0001-a.md", "# 0002 A")])).len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_script_without_the_executable_bit_is_found() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        assert!(runnable(root.path()).is_err());
        std::fs::create_dir(root.path().join(".ci")).unwrap();
        std::fs::write(root.path().join(".ci/run"), "").unwrap();
        let set = |mode| {
            std::fs::set_permissions(root.path().join(".ci/run"), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        set(0o644);
        assert_eq!(runnable(root.path()).unwrap().len(), 1);
        set(0o755);
        assert_eq!(runnable(root.path()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn the_walk_sees_hidden_files_and_skips_git_target_and_what_is_ignored() {
        let root = tempfile::tempdir().unwrap();
        for file in [".ci/run", ".git/config", "target/x", "sub/target/y", "src/a.rs", "skipped/z", ".gitignore"] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "/skipped\n").unwrap();
        }
        std::fs::write(root.path().join("binary"), [0xff, 0xfe]).unwrap();
        let files = read(root.path()).unwrap();
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(names, [".ci/run", ".gitignore", "binary", "src/a.rs"]);
        assert_eq!(files["binary"], None);
    }
}
