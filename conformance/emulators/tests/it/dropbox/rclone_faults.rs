//! rclone, which has met the real service's troubles, gets over the emulator's, and notices lies.

use std::path::Path;

use backup_test_emulators::dropbox::{Contention, Dropbox, Fault};
use backup_test_emulators::{Effect, Reply, Rule, RuleId};

use super::noise;
use super::rclone::{Rclone, stored};
use crate::programs::Ran;

/// Bytes in the file that is copied: three pieces of a mebibyte and something.
const LEN: usize = (3 << 20) + 1000;

const APPEND: &str = "/upload_session/append_v2";

struct Copied {
    said: Ran,
    is_equal: bool,
    dropbox: Dropbox,
    rules: Vec<RuleId>,
}

/// Copies a file while something is wrong.
fn copy(rules: Vec<Rule<Fault>>, options: &[&str]) -> Copied {
    let dropbox = Dropbox::start();
    let rules: Vec<_> = rules.into_iter().map(|rule| dropbox.faults().add(rule)).collect();
    let rclone = Rclone::with(&dropbox);
    let source = rclone.local("source");
    std::fs::create_dir(&source).unwrap();
    let bytes = noise(LEN, 1);
    std::fs::write(source.join("x.bin"), &bytes).unwrap();
    let from = source.to_str().unwrap();
    let said = rclone.run(&[&["copy", from, "box:a", "--dropbox-chunk-size=1Mi"], options].concat());
    let is_equal = stored(&dropbox).get("/a/x.bin") == Some(&bytes);
    Copied { said, is_equal, dropbox, rules }
}

/// rclone gets over these, each of which happened.
fn gets_over(rules: Vec<Rule<Fault>>, options: &[&str]) -> Copied {
    let copied = copy(rules, options);
    let met: Vec<_> = copied.rules.iter().map(|rule| copied.dropbox.faults().met(*rule)).collect();
    assert!(!met.contains(&0), "{met:?}: not all of it happened: {}", copied.said.said());
    assert!(copied.said.success && copied.is_equal, "{}", copied.said.said());
    copied
}

fn once(fault: Fault) -> Rule<Fault> {
    Rule::once(Effect::Vendor(fault))
}

#[test]
fn rclone_waits_when_it_is_throttled() {
    let fault = Fault::TooManyRequests { retry_after_s: 1 };
    let rules = [APPEND, "/upload_session/start", "/finish_batch_v2", "/list_folder"];
    let rules = rules.map(|path| once(fault).path(path)).to_vec();
    let copied = gets_over(rules, &[]);
    assert!(copied.said.said().contains("Trying again in 1 seconds"), "{}", copied.said.said());
}

#[test]
fn rclone_tries_again_after_server_errors() {
    let rule = |status, path| Rule::once(Effect::Answer(Reply::new(status))).path(path).times(2);
    let rules = vec![rule(503, APPEND), rule(500, "/upload_session/start"), rule(503, "/finish_batch_v2")];
    gets_over(rules, &[]);
}

#[test]
fn rclone_goes_on_after_appends_whose_answers_are_lost() {
    // The second append, and the last one, which closes the session.
    for skipped in [1, 3] {
        let copied = gets_over(vec![Rule::once(Effect::DoAndCut).path(APPEND).after(skipped)], &[]);
        let wrong = |called: &&backup_test_emulators::dropbox::Called| called.answer[".tag"] == "incorrect_offset";
        assert_eq!(copied.dropbox.calls().iter().filter(wrong).count(), 1);
    }
}

#[test]
fn rclone_goes_on_after_appends_of_which_a_part_is_kept() {
    let copied = gets_over(vec![once(Fault::PersistPart { bytes: 1000 }).path(APPEND).after(1)], &[]);
    let calls = copied.dropbox.calls();
    let wrong = calls.iter().find(|called| called.answer[".tag"] == "incorrect_offset").unwrap();
    assert_eq!(wrong.answer["correct_offset"], (1 << 20) + 1000);
    // The part of the request that came before it was cut, this time.
    for keeps in [false, true] {
        let dropbox = Dropbox::start();
        dropbox.behave(|behaviour| behaviour.keeps_cut_appends = keeps);
        dropbox.faults().add(Rule::once(Effect::CutRequest { after_bytes: 5000 }).path(APPEND).after(1));
        let rclone = Rclone::with(&dropbox);
        let source = rclone.local("x.bin");
        std::fs::write(&source, noise(LEN, 2)).unwrap();
        rclone.ok(&["copy", source.to_str().unwrap(), "box:", "--dropbox-chunk-size=1Mi"]);
        assert_eq!(stored(&dropbox)["/x.bin"], noise(LEN, 2));
        let calls = dropbox.calls();
        let met = calls.iter().any(|called| called.answer["correct_offset"] == (1 << 20) + 5000);
        assert_eq!(met, keeps);
    }
}

#[test]
fn rclone_begins_again_when_its_session_is_lost() {
    let copied = gets_over(vec![once(Fault::LoseSession).path(APPEND).after(2)], &[]);
    let begun = copied.dropbox.calls().iter().filter(|called| called.function == "files/upload_session/start").count();
    assert_eq!(begun, 2);
}

#[test]
fn rclone_waits_for_other_writes() {
    let busy = |contention| once(Fault::TooManyWriteOperations(contention));
    let status = Contention::Status { retry_after_s: 1 };
    gets_over(vec![busy(status).path("/finish_batch_v2")], &[]);
    gets_over(vec![once(Fault::FailEntries { every: 1 }).path("/finish_batch_v2")], &[]);
    let single = |contention| vec![busy(contention).path("/upload_session/finish").times(2)];
    for contention in [status, Contention::Operation] {
        gets_over(single(contention), &["--dropbox-batch-mode=off"]);
    }
    let dropbox = Dropbox::start();
    let rclone = Rclone::with(&dropbox);
    for (command, path, contention) in [
        ("mkdir", "/create_folder_v2", Contention::Path),
        ("rmdir", "/delete_v2", Contention::Operation),
        ("mkdir", "/create_folder_v2", status),
        ("purge", "/delete_v2", Contention::Path),
    ] {
        let rule = dropbox.faults().add(busy(contention).path(path));
        rclone.ok(&[command, "box:d"]);
        assert_eq!(dropbox.faults().met(rule), 1, "{command}");
        assert_eq!(dropbox.folders().len(), usize::from(command == "mkdir"));
    }
}

#[test]
fn rclone_gets_many_files_past_other_writes() {
    for contention in [Contention::Path, Contention::Operation] {
        let dropbox = Dropbox::start();
        dropbox.behave(|behaviour| {
            behaviour.contention = Some(contention);
            behaviour.contention_every = 3;
        });
        let rclone = Rclone::with(&dropbox);
        let source = rclone.local("source");
        std::fs::create_dir(&source).unwrap();
        for number in 0..40 {
            std::fs::write(source.join(format!("{number}")), noise(3000, number)).unwrap();
        }
        let options = ["--transfers=8", "--dropbox-chunk-size=1Ki", "--dropbox-batch-mode=off"];
        rclone.ok(&[&["copy", source.to_str().unwrap(), "box:many"], &options[..]].concat());
        let wanted = (0..40).map(|number| (format!("/many/{number}"), noise(3000, number))).collect();
        assert_eq!(stored(&dropbox), wanted);
        let calls = dropbox.calls();
        let refused = calls.iter().filter(|called| called.answer.to_string().contains("too_many_write_operations"));
        assert!(refused.count() >= 13);
    }
}

#[test]
fn rclone_notices_a_wrong_checksum() {
    let copied = copy(vec![Rule::always(Effect::Vendor(Fault::WrongHash)).path("/finish_batch_v2")], &[]);
    assert!(!copied.said.success);
    assert!(copied.said.said().contains("corrupted on transfer"), "{}", copied.said.said());
}

#[test]
fn rclone_hears_that_there_is_no_room() {
    let copied = copy(
        vec![Rule::always(Effect::Vendor(Fault::NoSpace)).path("/upload_session/finish")],
        &["--dropbox-batch-mode=off"],
    );
    assert!(!copied.said.success);
    assert!(copied.said.said().contains("path/insufficient_space/"), "{}", copied.said.said());
    assert_eq!(stored(&copied.dropbox).len(), 0);
}

/// Copies a file of the emulator to this machine while something is wrong.
fn read(rule: Rule<Fault>) -> (Ran, bool, u64) {
    let dropbox = Dropbox::start();
    let bytes = noise(LEN, 3);
    dropbox.plant_file("/x.bin", bytes.clone());
    let rule = dropbox.faults().add(rule.path("/download"));
    let rclone = Rclone::with(&dropbox);
    let back = rclone.local("back");
    let said = rclone.run(&["copy", "box:", back.to_str().unwrap(), "--multi-thread-streams=0"]);
    let is_equal = std::fs::read(Path::new(&back).join("x.bin")).is_ok_and(|read| read == bytes);
    (said, is_equal, dropbox.faults().met(rule))
}

#[test]
fn rclone_reads_on_where_a_download_was_cut() {
    let (said, is_equal, met) = read(Rule::once(Effect::CutReply { after_bytes: 1 << 20 }));
    assert!(said.success && is_equal && met == 1, "{met}: {}", said.said());
}

#[test]
fn rclone_notices_a_changed_bit_in_a_download() {
    let (said, is_equal, met) = read(Rule::always(Effect::FlipReply { at_byte: 2 << 20 }));
    assert!(!said.success && !is_equal && met >= 1, "{met}: {}", said.said());
    assert!(said.said().contains("corrupted on transfer"), "{}", said.said());
}

#[test]
fn rclone_tells_when_it_may_not_any_more() {
    for (fault, reason) in [(Fault::RevokeToken, "invalid_access_token"), (Fault::ExpireToken, "expired_access_token")]
    {
        let dropbox = Dropbox::start();
        dropbox.faults().add(Rule::always(Effect::Vendor(fault)).path("/2/"));
        let said = Rclone::with(&dropbox).run(&["lsf", "box:"]);
        assert!(!said.success && said.said().contains(reason), "{}", said.said());
    }
    let dropbox = Dropbox::start();
    let rclone = Rclone::with(&dropbox);
    dropbox.revoke_tokens();
    let said = rclone.run(&["lsf", "box:"]);
    assert!(!said.success && said.said().contains("invalid_grant"), "{}", said.said());
}
