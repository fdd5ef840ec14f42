use std::os::unix::process::ExitStatusExt;

use super::*;

fn read(mut reader: impl Reader, said: &str) -> (Counts, Vec<String>) {
    let shown = said.lines().filter(|line| reader.line(line)).map(str::to_owned).collect();
    (reader.counts(), shown)
}

const NEXTEST: &str = "\
    Finished `test` profile [unoptimized + debuginfo] target(s) in 0.13s
────────────
 Nextest run ID 1 with nextest profile: default
    Starting 4 tests across 2 binaries
        PASS [   0.004s] (1/4) backup-core key::tests::sound
  stdout ───

    running 1 test
    noise
    test key::tests::sound ... ok

        PASS [   0.005s] (2/4) backup-core acl::tests::kept
  stderr ───

    SKIPPED: no setfacl here

        FAIL [   0.006s] (3/4) backup-core broken
  stdout ───

    assertion failed

        PASS [   0.004s] (4/4) xtask last
────────────
     Summary [   0.020s] 4 tests run: 3 passed (1 slow), 1 failed, 0 skipped
        FAIL [   0.006s] (3/4) backup-core broken
error: test run failed
";

#[test]
fn nextest_is_counted_and_what_passing_tests_wrote_is_hidden() {
    let (counts, shown) = read(Nextest::default(), NEXTEST);
    assert_eq!((counts.passed, counts.failed, counts.ignored), (3, 1, 0));
    assert_eq!(counts.skipped, ["backup-core acl::tests::kept: no setfacl here"]);
    let shown = shown.join("\n");
    assert!(!shown.contains("noise"), "{shown}");
    for kept in ["assertion failed", "no setfacl", "Summary", "error: test run failed", "xtask last", "Finished"] {
        assert!(shown.contains(kept), "{kept} is not in {shown}");
    }
}

#[test]
fn nextest_counts_what_timed_out_and_what_was_ignored() {
    let said = "     Summary [  90.1s] 9 tests run: 6 passed, 1 failed, 2 timed out, 5 skipped";
    let (counts, _) = read(Nextest::default(), said);
    assert_eq!((counts.passed, counts.failed, counts.ignored), (6, 3, 5));
}

const LIBTEST: &str = "\
running 3 tests
test a ... ok
test b ... ok

successes:

---- a stdout ----
noise

---- b stdout ----
SKIPPED: not root


successes:
    a
    b

failures:

---- c stdout ----
assertion failed

test result: FAILED. 2 passed; 1 failed; 4 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

#[test]
fn libtest_is_counted_and_what_passing_tests_wrote_is_hidden() {
    let (counts, shown) = read(Libtest::default(), &format!("{LIBTEST}{LIBTEST}"));
    assert_eq!((counts.passed, counts.failed, counts.ignored), (4, 2, 8));
    assert_eq!(counts.skipped, ["b: not root", "b: not root"]);
    let shown = shown.join("\n");
    assert!(!shown.contains("noise"), "{shown}");
    for kept in ["assertion failed", "SKIPPED: not root", "test result", "test a ... ok"] {
        assert!(shown.contains(kept), "{kept} is not in {shown}");
    }
}

#[test]
fn a_test_that_skipped_itself_does_not_count_as_passed() {
    let mut total = Counts::default();
    // Two parts of one test.
    let skipped = vec!["a: no root".to_owned(), "a: no strace".to_owned()];
    let run = Counts { passed: 5, skipping: ["a".to_owned()].into(), skipped, ..Counts::default() };
    total.add(Ok((run, ExitStatus::from_raw(0)))).unwrap();
    assert_eq!((total.passed, total.skipping.len(), total.skipped.len()), (4, 1, 2));
}

#[test]
fn an_ignored_test_or_a_bad_end_fails_the_step() {
    let ignored = Counts { passed: 5, ignored: 1, ..Counts::default() };
    assert!(Counts::default().add(Ok((ignored, ExitStatus::from_raw(0)))).is_err());
    let fine = Counts { passed: 5, ..Counts::default() };
    assert!(Counts::default().add(Ok((fine, ExitStatus::from_raw(256)))).is_err());
}

/// Shows nothing: what this test reads is no result of ours, and whoever runs us would take it for one.
struct Silent(Libtest);

impl Reader for Silent {
    fn line(&mut self, line: &str) -> bool {
        self.0.line(line);
        false
    }

    fn counts(self) -> Counts {
        self.0.counts()
    }
}

#[test]
fn a_runner_that_fails_is_counted_and_its_end_is_seen() {
    let mut script = Command::new("sh");
    script.args(["-c", "printf 'test result: FAILED. 1 passed; 2 failed; 0 ignored\\n'; exit 101"]);
    let (counts, status) = watch(script, Silent(Libtest::default())).unwrap();
    assert_eq!((counts.passed, counts.failed), (1, 2));
    assert!(!status.success());
}

#[test]
fn lines_that_only_look_like_status_are_none() {
    for line in ["Finished `dev` profile [unoptimized] target(s) in 1s", "note [abc]", "error: x [1s]", "PASS"] {
        assert_eq!(status_line(line), None, "{line}");
    }
    assert_eq!(status_line("SLOW [> 60.000s] (─────) a b"), Some(("SLOW", "a b")));
    assert_eq!(status_line("TRY 1 FAIL [   0.1s] a b"), Some(("TRY 1 FAIL", "a b")));
}
