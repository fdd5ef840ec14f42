//! Patterns, ignore files and cache tags in real trees.

use std::path::Path;

use backup_snapshotter_files::{FilesOptions, template};

use crate::tree::write;

const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n";

/// The files and directories below a directory that are listed.
fn listed(dir: &Path, set: impl FnOnce(&mut FilesOptions)) -> Vec<String> {
    let mut options = FilesOptions::new([dir]);
    set(&mut options);
    let prefix = dir.canonicalize().unwrap().strip_prefix("/").unwrap().display().to_string() + "/";
    let entries = crate::view(options).entries().map(Result::unwrap).collect::<Vec<_>>();
    entries.iter().filter_map(|entry| entry.path.to_string().strip_prefix(&prefix).map(str::to_owned)).collect()
}

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        write(&dir.path().join(name), content.as_bytes());
    }
    dir
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

#[test]
fn exclude_include_and_negation_select_what_the_table_says() {
    let files =
        ["a.rs", "a.tmp", "docs/a.pdf", "docs/x/b.pdf", "src/a.rs", "src/gen/b.rs", "src/note.txt", "target/a.rs"];
    let dir = tree(&files.map(|name| (name, "")));
    for (include, exclude, expected) in [
        (&[][..], &["*"][..], &[][..]),
        (&[], &["/target", "*.tmp", "docs/"], &["a.rs", "src", "src/a.rs", "src/gen", "src/gen/b.rs", "src/note.txt"]),
        (&["*.rs"], &["target/"], &["a.rs", "src", "src/a.rs", "src/gen", "src/gen/b.rs"]),
        (&["/docs"], &[], &["docs", "docs/a.pdf", "docs/x", "docs/x/b.pdf"]),
        (&["/docs", "!*.pdf"], &[], &["docs", "docs/x"]),
        (&["b.*"], &[], &["docs", "docs/x", "docs/x/b.pdf", "src", "src/gen", "src/gen/b.rs"]),
        (&["nothing"], &[], &[]),
        (&["*.rs"], &["*.rs", "!/a.rs"], &["a.rs"]),
    ] {
        let found = listed(dir.path(), |options| {
            options.include = strings(include);
            options.exclude = strings(exclude);
        });
        assert_eq!(found, expected, "include {include:?}, exclude {exclude:?}");
    }
}

#[test]
fn excluded_directory_is_not_even_opened() {
    if crate::is_root() && !crate::can_trace() {
        return crate::skip("an excluded directory is not opened", "root may open anything, and strace can't be used");
    }
    let dir = tree(&[("keep/a", ""), ("skipped-one/b", "")]);
    let trace = dir.path().join("keep/trace");
    crate::run_apart(
        &["strace", "-f", "-qq", "-e", "trace=openat,openat2", "-o", trace.to_str().unwrap()],
        "rules::list_without_skipped",
        dir.path(),
    );
    let trace = std::fs::read_to_string(trace).unwrap();
    assert!(trace.contains("\"keep\""), "{trace}");
    assert!(!trace.contains("skipped-one"), "{trace}");
}

#[test]
#[ignore = "runs under strace, by the test above"]
fn list_without_skipped() {
    let found = listed(&std::env::current_dir().unwrap(), |options| options.exclude = strings(&["skipped-*"]));
    assert_eq!(found, ["keep", "keep/a", "keep/trace"]);
}

#[test]
fn ignore_files_hold_for_their_directory_and_the_deepest_decides() {
    let dir = tree(&[
        (".gitignore", "*.log\n/only-here\nsub/deep/x\n"),
        ("a.log", ""),
        ("only-here", ""),
        ("sub/.gitignore", "!keep.log\n*.txt\n"),
        ("sub/keep.log", ""),
        ("sub/other.log", ""),
        ("sub/a.txt", ""),
        ("sub/only-here", ""),
        ("sub/deep/x", ""),
        ("sub/deep/.gitignore", "!a.txt"),
        ("sub/deep/a.txt", ""),
        ("z.txt", ""),
    ]);
    let found = listed(dir.path(), |options| options.ignore_files = strings(&[".gitignore"]));
    let expected = [
        ".gitignore",
        "sub",
        "sub/.gitignore",
        "sub/deep",
        "sub/deep/.gitignore",
        "sub/deep/a.txt",
        "sub/keep.log",
        "sub/only-here",
        "z.txt",
    ];
    assert_eq!(found, expected);
    let with_exclude = listed(dir.path(), |options| {
        options.ignore_files = strings(&[".gitignore"]);
        options.exclude = strings(&["!a.log", "sub"]);
    });
    assert_eq!(with_exclude, [".gitignore", "a.log", "z.txt"], "configured patterns are stronger");
}

#[test]
fn only_backupignore_is_honoured_by_default_and_later_names_are_stronger() {
    let dir = tree(&[(".backupignore", "a\n"), (".gitignore", "b\n!a\n"), ("a", ""), ("b", "")]);
    assert_eq!(listed(dir.path(), |_| ()), [".backupignore", ".gitignore", "b"]);
    let both = |names: &[&str]| listed(dir.path(), |options| options.ignore_files = strings(names));
    assert_eq!(both(&[".backupignore", ".gitignore"]), [".backupignore", ".gitignore", "a"]);
    assert_eq!(both(&[".gitignore", ".backupignore"]), [".backupignore", ".gitignore"]);
    assert_eq!(both(&[]), [".backupignore", ".gitignore", "a", "b"]);
}

#[test]
fn ignore_files_above_a_root_do_not_count() {
    let dir = tree(&[(".backupignore", "a\n"), ("root/a", ""), ("root/b", "")]);
    assert_eq!(listed(&dir.path().join("root"), |_| ()), ["a", "b"]);
    let inside = dir.path().join("root");
    let found = listed(dir.path(), |options| options.roots.push(inside));
    assert_eq!(found, [".backupignore", "root", "root/a", "root/b"], "nor those of a root around it");
}

#[test]
fn unusable_ignore_file_is_an_error_and_what_it_hides_is_kept() {
    let dir = tree(&[("a", ""), ("sub/.backupignore", "{x\na\n"), ("sub/a", ""), ("sub/b", "")]);
    std::fs::create_dir(dir.path().join(".backupignore")).unwrap();
    let items: Vec<_> = crate::view(FilesOptions::new([dir.path()])).entries().collect();
    let errors: Vec<_> = items.iter().filter_map(|item| item.as_ref().err()).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].path.to_string().ends_with("/.backupignore"), "{errors:?}");
    assert!(errors[1].cause.contains("line 1"), "{errors:?}");
    let names: Vec<String> = items.iter().flatten().map(|entry| entry.path.to_string()).collect();
    assert!(!names.iter().any(|name| name.ends_with("sub/a")), "the good line holds");
    assert!(names.iter().any(|name| name.ends_with("sub/b")));
}

#[test]
fn cache_directory_is_kept_with_its_tag_only() {
    let dir = tree(&[("cache/data/x", ""), ("cache/a", ""), ("fake/CACHEDIR.TAG", "Signature: none"), ("fake/a", "")]);
    write(&dir.path().join("cache/CACHEDIR.TAG"), CACHE_TAG);
    let found = listed(dir.path(), |options| options.exclude_caches = true);
    assert_eq!(found, ["cache", "cache/CACHEDIR.TAG", "fake", "fake/CACHEDIR.TAG", "fake/a"]);
    assert_eq!(listed(dir.path(), |_| ()).len(), 8, "off by default");
    let named = listed(&dir.path().join("cache"), |options| options.exclude_caches = true);
    assert_eq!(named, ["CACHEDIR.TAG", "a", "data", "data/x"], "a root is wanted");
}

#[test]
fn large_files_are_left_out() {
    let dir = tree(&[("exact", "12345"), ("larger", "123456")]);
    assert_eq!(listed(dir.path(), |options| options.max_file_bytes = Some(5)), ["exact"]);
}

#[test]
fn templates_leave_out_what_they_say() {
    for (name, out, kept) in [
        ("node", "app/node_modules/x/index.js", "app/index.js"),
        ("rust", "app/target/debug/app", "app/target/notes.txt"),
        ("python", "app/__pycache__/a.pyc", "app/a.py"),
        ("vcs", "app/.git/config", "app/.gitignore"),
        ("caches", ".cache/x", "cache/x"),
        ("temporary", "#draft#", "#draft"),
        ("java", "home/.gradle/caches/x", ".gradle/settings"),
        ("trash", ".local/share/Trash/files/x", ".local/share/x"),
        ("os-files", "a/.DS_Store", "a/DS_Store"),
        ("build-artifacts", "src/a.o", "src/a.out"),
    ] {
        let dir = tree(&[(out, ""), (kept, "")]);
        let found = listed(dir.path(), |options| options.exclude = strings(template(name).unwrap().patterns));
        assert!(found.iter().any(|path| path == kept), "{name} loses {kept}");
        assert!(!found.iter().any(|path| path == out), "{name} keeps {out}");
    }
}

#[test]
fn each_set_has_patterns_of_its_own_and_the_nearest_root_decides() {
    use backup_snapshotter_files::FileSet;
    let files = ["home/a.txt", "home/a.jpg", "home/photos/b.txt", "home/photos/b.jpg", "other/c.txt", "other/c.jpg"];
    let dir = tree(&files.map(|name| (name, "")));
    let mut options = FilesOptions::new([dir.path().join("home")]);
    options.exclude = strings(&["*.jpg", "photos"]);
    let set = |root: &str, include: &[&str]| FileSet {
        roots: vec![dir.path().join(root)],
        include: strings(include),
        ..FileSet::default()
    };
    options.sets = vec![set("home/photos", &["*.jpg"]), set("other", &[])];
    let prefix = dir.path().canonicalize().unwrap().strip_prefix("/").unwrap().display().to_string() + "/";
    let names: Vec<String> = crate::view(options)
        .entries()
        .filter_map(|entry| entry.unwrap().path.to_string().strip_prefix(&prefix).map(str::to_owned))
        .collect();
    let expected = ["home", "home/a.txt", "home/photos", "home/photos/b.jpg", "other", "other/c.jpg", "other/c.txt"];
    assert_eq!(names, expected);
}
