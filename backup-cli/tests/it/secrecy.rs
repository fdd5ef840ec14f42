//! No password and no content leaves through an output, an object or a file name.

use crate::home::{Home, ran};

const PASSWORD: &str = "canary-pass-93f1";
const CONTENT: &str = "canary-text-57b2";
const NAME: &str = "canary-name-08ce";
const NEW_PASSWORD: &str = "canary-next-41d7";

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn canaries_appear_in_no_output_and_no_object() {
    let home = Home::with_password();
    home.write(&format!("src/{NAME}.txt"), CONTENT.repeat(100));
    home.write("src/other", CONTENT);
    let config = home
        .write("config.toml", format!("[repository.x]\ntype = \"local\"\npath = \"r\"\npassword = \"{PASSWORD}\"\n"));
    let config = config.to_str().unwrap();
    home.write("secret", PASSWORD);
    let commands: &[&[&str]] = &[
        &["init", "--label", "first"],
        &["init"],
        &["create", "src"],
        &["create", "src"],
        &["create", "missing"],
        &["snapshots"],
        &["check", "--read-data"],
        &["restore", "latest", "--target", "out"],
        &["tag", "latest", "--add", "x"],
        &["pin", "latest"],
        &["key", "list"],
        &["key", "add"],
        &["key", "recovery-kit", "--kit", "kit.txt"],
        &["key", "recovery-kit", "--kit", "r/kit.txt"],
        &["repair", "index"],
        &["backends"],
        &["config", "show"],
        &["config", "validate"],
        &["-c", config, "config", "validate"],
        &["-c", config, "config", "show"],
        &["-c", config, "-r", "x", "snapshots"],
        &["--password-command", "cat secret", "snapshots"],
        &["--password-command", "sh -c 'cat secret; exit 1'", "snapshots"],
        &["--password-command", "sh -c 'cat secret secret'", "snapshots"],
        &["--password-file", "secret", "snapshots"],
        &["--recovery-kit", "secret", "snapshots"],
        &["ls", "latest"],
        &["find", "*"],
        &["diff", "latest", "latest"],
        &["dump", "latest", "/no/such/file"],
        &["stats", "--usage"],
        &["catalog"],
        &["--password-file", "/no/such/file", "snapshots"],
        &["--key-file", config, "snapshots"],
        &["quickstart", "src", "--to", "q"],
    ];
    for format in ["--verbose", "--json"] {
        for arguments in commands {
            let mut command = home.command(&[&[format], *arguments].concat());
            let ran = ran(command.env("BACKUP_PASSWORD", PASSWORD).env("BACKUP_NEW_PASSWORD", NEW_PASSWORD));
            for canary in [PASSWORD, NEW_PASSWORD, CONTENT] {
                let shown = format!("{}{}", ran.stdout, ran.stderr);
                assert!(!shown.contains(canary), "{arguments:?} shows {canary}: {shown}");
            }
        }
    }
    for folder in ["r", "q", ".config"] {
        let files = home.files(folder);
        assert!(!files.is_empty(), "{folder}");
        for (path, content) in files {
            for canary in [PASSWORD, NEW_PASSWORD, CONTENT, NAME] {
                assert!(!holds(&content, canary), "{} holds {canary}", path.display());
                assert!(!path.display().to_string().contains(canary), "{}", path.display());
            }
        }
    }
    assert!(
        holds(&std::fs::read(home.restored("out", "src/other")).unwrap(), CONTENT),
        "the search finds what is there"
    );
}

#[test]
fn recovery_code_stands_in_its_file_and_nowhere_else() {
    let home = Home::with_password_and_snapshot();
    let outputs = [
        home.done(&["key", "recovery-kit", "--kit", "a.txt"]),
        home.done(&["--json", "key", "recovery-kit", "--kit", "b.txt"]),
    ];
    for (kit, ran) in ["a.txt", "b.txt"].iter().zip(outputs) {
        let text = std::fs::read_to_string(home.join(kit)).unwrap();
        let code = text.lines().find(|line| line.trim().ends_with('-')).unwrap().trim();
        assert!(code.len() > 30, "{code}");
        assert!(!ran.stdout.contains(code) && !ran.stderr.contains(code));
    }
}
