//! Flushes that fail: what the disk may have lost is never acknowledged.

use nix::errno::Errno;

use crate::listing::{assert_holds, list};
use crate::promises::Promises;
use crate::random::Random;
use crate::stepwise::{self, FLUSHES, Fault};

#[test]
fn failed_flush_fails_create_and_the_next_one_succeeds() {
    if !stepwise::is_allowed("failed_flush_fails_create_and_the_next_one_succeeds") {
        return;
    }
    let mut promises = Promises::new();
    let mut random = Random::new(19);
    promises.home.write("src/large", random.bytes(3 << 20));
    promises.done(&["-q", "init"], "at first");
    promises.create("at first");
    let mut failed = 0;
    for at in 1.. {
        promises.home.write("src/new", random.bytes(40_000));
        let because = format!("flush {at} fails");
        let create = promises.command(&["-q", "create", "src"]);
        let run = stepwise::run(&create, FLUSHES, Some(Fault::Fail(at, Errno::EIO)));
        if run.calls.len() < at {
            assert_eq!(run.code, Some(0), "{because}: {}", run.stderr);
            break;
        }
        failed += 1;
        assert_eq!(run.code, Some(1), "{because} and it is acknowledged: {}", run.stderr);
        for words in ["error: no snapshot was made", "cannot write `", "Input/output error"] {
            assert!(run.stderr.contains(words), "{because}: `{words}` is not in: {}", run.stderr);
        }
        promises.assert_kept(&because);
        promises.create(&because);
        promises.assert_kept(&because);
    }
    eprintln!("{failed} flushes failed");
    assert!(failed >= 10, "{failed}");
    promises.assert_all_kept("in the end");
}

#[test]
fn failed_flush_fails_init_and_the_next_one_succeeds() {
    if !stepwise::is_allowed("failed_flush_fails_init_and_the_next_one_succeeds") {
        return;
    }
    for at in 1.. {
        let mut promises = Promises::new();
        promises.home.write("src/text", "text");
        let because = format!("flush {at} fails");
        let run = stepwise::run(&promises.command(&["-q", "init"]), FLUSHES, Some(Fault::Fail(at, Errno::EIO)));
        if run.calls.len() < at {
            assert!(at > 6 && run.code == Some(0), "{at}: {run:?}");
            break;
        }
        assert_eq!(run.code, Some(1), "{because} and it is acknowledged: {}", run.stderr);
        assert!(run.stderr.contains("Input/output error"), "{because}: {}", run.stderr);
        let again = promises.run(&["-q", "init"]);
        let is_there = again.code == 1 && again.stderr.contains("there is a repository already");
        assert!(again.code == 0 || is_there, "{because}: {}", again.stderr);
        promises.create(&because);
        promises.assert_kept(&because);
    }
}

#[test]
fn failed_flush_fails_restore_and_the_next_one_succeeds() {
    if !stepwise::is_allowed("failed_flush_fails_restore_and_the_next_one_succeeds") {
        return;
    }
    let mut promises = Promises::new();
    promises.home.write("src/noise", Random::new(20).bytes(100_000));
    promises.done(&["-q", "init"], "at first");
    promises.create("at first");
    let restore = promises.command(&["-q", "restore", "latest", "--target", "out"]);
    for at in 1.. {
        let run = stepwise::run(&restore, FLUSHES, Some(Fault::Fail(at, Errno::EIO)));
        if run.calls.len() < at {
            assert!(at > 1 && run.code == Some(0), "{at}: {run:?}");
            break;
        }
        assert_eq!(run.code, Some(1), "flush {at} failed and it is acknowledged: {}", run.stderr);
        assert!(run.stderr.contains("cannot sync"), "{}", run.stderr);
        assert!(run.stderr.contains("Input/output error"), "{}", run.stderr);
    }
    assert_holds(&promises.home.restored("out", "src"), &list(&promises.home.join("src")), "in the end");
}
