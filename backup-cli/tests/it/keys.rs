//! What opens a repository.

use std::fs;

use crate::home::{Home, of_type, ran};

fn kinds(home: &Home) -> Vec<String> {
    let lines = home.json(&["key", "list"]);
    let mut kinds: Vec<_> = of_type(&lines, "key").iter().map(|key| key["kind"].as_str().unwrap().to_owned()).collect();
    kinds.sort();
    kinds
}

#[test]
fn password_can_be_changed_and_the_old_one_opens_nothing() {
    let home = Home::with_password_and_snapshot();
    let code = ran(home.command(&["key", "passwd"]).env("BACKUP_NEW_PASSWORD", "fresh")).code;
    assert_eq!(code, 0);
    assert_eq!(home.run(&["snapshots"]).code, 12);
    assert_eq!(ran(home.command(&["snapshots"]).env("BACKUP_PASSWORD", "fresh")).code, 0);
}

#[test]
fn key_file_is_made_opens_the_repository_and_is_private() {
    let home = Home::with_password_and_snapshot();
    home.done(&["key", "add", "--new-key-file", "keys/one.key", "--label", "laptop"]);
    let open = |home: &Home| ran(&mut home.bare(&["-r", "r", "--key-file", "keys/one.key", "snapshots"])).code;
    assert_eq!(open(&home), 0);
    assert_eq!(kinds(&home), ["key-file", "password"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |mode| fs::set_permissions(home.join("keys/one.key"), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(fs::metadata(home.join("keys/one.key")).unwrap().permissions().mode() & 0o777, 0o600);
        mode(0o644);
        let refused = ran(&mut home.bare(&["-r", "r", "--key-file", "keys/one.key", "snapshots"]));
        assert_eq!(refused.code, 2);
        assert!(refused.stderr.contains("chmod 600"), "{}", refused.stderr);
        mode(0o600);
    }
    let lines = home.json(&["key", "list"]);
    let key = of_type(&lines, "key").into_iter().find(|key| key["label"] == "laptop").unwrap().clone();
    home.done(&["key", "remove", &key["id"].as_str().unwrap()[..8]]);
    assert_eq!(open(&home), 12);
}

#[test]
fn last_key_is_never_removed() {
    let home = Home::with_password_and_snapshot();
    let lines = home.json(&["key", "list"]);
    let id = of_type(&lines, "key")[0]["id"].as_str().unwrap().to_owned();
    let ran = home.run(&["key", "remove", &id]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("last key slot") && ran.stderr.contains(" hint: add another"), "{}", ran.stderr);
    home.done(&["snapshots"]);
    assert!(home.run(&["key", "remove", "ffffffff"]).stderr.contains("`backup key list`"));
}

#[test]
fn recovery_kit_alone_gets_everything_back_and_sets_a_new_password() {
    let home = Home::with_password_and_snapshot();
    home.done(&["key", "recovery-kit", "--kit", "kit.txt"]);
    let with_kit = |arguments: &[&str]| {
        let mut command = home.bare(&[&["-r", "r", "--recovery-kit", "kit.txt"], arguments].concat());
        ran(command.env("BACKUP_NEW_PASSWORD", "new one")).code
    };
    assert_eq!(with_kit(&["restore", "latest", "--target", "out"]), 0);
    assert_eq!(fs::read(home.restored("out", "src/a.txt")).unwrap(), b"alpha\n");
    assert_eq!(with_kit(&["key", "add"]), 0);
    assert_eq!(ran(home.command(&["snapshots"]).env("BACKUP_PASSWORD", "new one")).code, 0);
    assert_eq!(with_kit(&["key", "passwd"]), 2, "there is no password to replace");
    let text = fs::read_to_string(home.join("kit.txt")).unwrap();
    let typo = text.replacen("\n\n    ", "\n\n    z", 1);
    fs::write(home.join("kit.txt"), typo).unwrap();
    assert_eq!(with_kit(&["snapshots"]), 2);
    home.write("kit.txt", "nothing");
    assert_eq!(home.run(&["key", "recovery-kit", "--kit", "kit.txt"]).code, 1, "an existing file is never replaced");
}

#[test]
fn password_comes_from_file_and_program_and_only_from_private_files() {
    let home = Home::with_password_and_snapshot();
    let file = home.write("pw", format!("{}\n", crate::home::PASSWORD));
    let open = |arguments: &[&str]| ran(&mut home.bare(&[&["-r", "r"], arguments, &["snapshots"]].concat()));
    let echo = format!("echo '{}'", crate::home::PASSWORD);
    assert_eq!(open(&["--password-command", &echo]).code, 0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = open(&["--password-file", "pw"]);
        assert_eq!(refused.code, 2);
        assert!(refused.stderr.contains("can be read by others"), "{}", refused.stderr);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(open(&["--password-file", "pw"]).code, 0);
    assert_eq!(open(&["--password-command", "false"]).code, 2);
    let by_variable = ran(home.bare(&["-r", "r", "snapshots"]).env("BACKUP_PASSWORD_FILE", &file)).code;
    assert_eq!(by_variable, 0);
    assert_eq!(open(&["--password-file", "pw", "--password-command", &echo]).code, 2, "one of them is enough");
}

#[test]
fn repository_can_be_made_with_a_key_file_alone() {
    let home = Home::new();
    assert_eq!(ran(&mut home.bare(&["-r", "r", "--key-file", "k", "init"])).code, 0);
    assert_eq!(ran(&mut home.bare(&["-r", "r", "--key-file", "k", "snapshots"])).code, 0);
    assert_eq!(ran(home.bare(&["-r", "r", "snapshots"]).env("BACKUP_PASSWORD", "x")).code, 12);
}

#[test]
fn private_key_kept_elsewhere_opens_what_its_public_key_was_added_to() {
    let home = Home::with_password_and_snapshot();
    let made = ran(&mut home.bare(&["key", "generate-escrow", "--out", "stick/escrow.key"]));
    assert_eq!(made.code, 0, "{}", made.stderr);
    let public = made.stdout.trim().to_owned();
    assert_eq!(public.len(), 69, "{public}");
    let open = || ran(&mut home.bare(&["-r", "r", "--escrow-key-file", "stick/escrow.key", "snapshots"]));
    assert_eq!(open().code, 12, "not before it was added");
    home.done(&["key", "add", "--escrow-recipient", &public, "--label", "notary"]);
    assert_eq!(open().code, 0);
    assert_eq!(kinds(&home), ["escrow", "password"]);
    let restored = ran(&mut home.bare(&[
        "-r",
        "r",
        "--escrow-key-file",
        "stick/escrow.key",
        "restore",
        "latest",
        "--target",
        "out",
    ]));
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert_eq!(fs::read(home.restored("out", "src/a.txt")).unwrap(), b"alpha\n");

    let private = fs::read_to_string(home.join("stick/escrow.key")).unwrap();
    let code = private.lines().find(|line| !line.starts_with('#')).unwrap();
    assert!(!made.stdout.contains(code) && !made.stderr.contains(code), "the private key is in its file alone");
    for wrong in [code, &public[1..], "nonsense"] {
        let refused = home.run(&["key", "add", "--escrow-recipient", wrong]);
        assert_eq!(refused.code, 2, "{wrong}");
        assert!(!refused.stderr.contains(code), "{}", refused.stderr);
    }
    let both = home.run(&["key", "add", "--escrow-recipient", &public, "--new-key-file", "k"]);
    assert_eq!(both.code, 2, "one of them is enough");
    assert_eq!(ran(&mut home.bare(&["key", "generate-escrow", "--out", "stick/escrow.key"])).code, 1);
    assert_eq!(fs::read_to_string(home.join("stick/escrow.key")).unwrap(), private, "a key is never replaced");
    assert_eq!(ran(&mut home.bare(&["-r", "new", "--escrow-key-file", "stick/escrow.key", "init"])).code, 2);
    home.write("public.key", &public);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let set = |file, mode| fs::set_permissions(home.join(file), fs::Permissions::from_mode(mode)).unwrap();
        set("public.key", 0o600);
        let refused = ran(&mut home.bare(&["-r", "r", "--escrow-key-file", "public.key", "snapshots"]));
        assert_eq!(refused.code, 2);
        assert!(refused.stderr.contains("the public key opens nothing"), "{}", refused.stderr);
        set("stick/escrow.key", 0o644);
        assert!(open().stderr.contains("chmod 600"));
    }
}
