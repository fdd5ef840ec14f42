//! The configuration: layers, names, and what is wrong with it.

use std::fs;

use crate::home::{Home, ran};

const CONFIG: &str = r#"
[defaults]
repository = "home"

[repository.home]
type = "local"
path = "${HOME}/r"
password = "file:${HOME}/pw"

[source.documents]
type = "files"
paths = ["${HOME}/src"]
exclude = ["*.tmp"]

[source.notes]
type = "files"
paths = ["${HOME}/notes"]

[retention.mine]
type = "keep_last"
count = 3
"#;

fn configured() -> Home {
    let home = Home::with_password_and_snapshot();
    home.write(".config/backup/config.toml", CONFIG);
    let password = home.write("pw", crate::home::PASSWORD);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let _ = password;
    home
}

#[test]
fn configured_repository_is_found_by_default_and_by_name_with_its_password() {
    let home = configured();
    for arguments in [&["snapshots"][..], &["-r", "home", "snapshots"]] {
        let ran = ran(&mut home.bare(arguments));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stdout.lines().count(), 2);
    }
    let ran = ran(&mut home.bare(&["-r", "hmoe", "snapshots"]));
    assert_eq!(ran.code, 10);
    assert!(ran.stderr.contains("did you mean the configured `home`?"), "{}", ran.stderr);
}

#[test]
fn variables_of_the_environment_lie_over_files() {
    let home = configured();
    let mut command = home.bare(&["config", "show"]);
    let shown = ran(command.env("BACKUP_RETENTION__MINE__COUNT", "9")).stdout;
    assert!(shown.contains("retention.mine.count = 9 # environment variable"), "{shown}");
    assert!(shown.contains("password = \"file:${HOME}/pw\""), "{shown}");
    home.write("other.toml", "[retention.mine]\ncount = 4\n");
    let shown = ran(&mut home.bare(&["-c", "other.toml", "config", "show"])).stdout;
    assert!(shown.contains("retention.mine.count = 4 # other.toml:2"), "{shown}");
    assert!(shown.contains("type = \"keep_last\""), "tables are merged: {shown}");
}

#[test]
fn wrong_configuration_is_2_with_line_key_and_the_nearest() {
    let home = Home::new();
    home.write("bad.toml", "[repository.home]\ntype = \"local\"\npaht = \"/x\"\n\n[retension.a]\ntype = \"forever\"\n");
    let ran = home.run(&["-c", "bad.toml", "config", "validate"]);
    assert_eq!(ran.code, 2);
    for part in
        ["bad.toml:3", "repository.home.paht", "did you mean `path`?", "bad.toml:5", "did you mean `retention`?"]
    {
        assert!(ran.stderr.contains(part), "`{part}` is not in:\n{}", ran.stderr);
    }
    assert_eq!(home.run(&["-c", "missing.toml", "config", "validate"]).code, 2);
    assert_eq!(home.run(&["-c", "bad.toml", "create", "x"]).code, 2, "nothing is done with a wrong configuration");
}

#[test]
fn valid_configuration_is_told_by_name() {
    let home = configured();
    let lines = home.json(&["config", "validate"]);
    assert_eq!(lines.last().unwrap()["repositories"], serde_json::json!(["home"]));
    assert_eq!(lines.last().unwrap()["retention"], serde_json::json!(["mine"]));
    let lines = home.json(&["config", "show"]);
    assert!(lines.iter().any(|line| line["key"] == "repository.home.path" && line["value"] == "${HOME}/r"));
    let schema: serde_json::Value = serde_json::from_str(&home.done(&["config", "schema"]).stdout).unwrap();
    assert!(schema["properties"]["repository"].is_object());
}

#[test]
fn configured_sources_are_stored_under_their_names() {
    let home = configured();
    home.write("src/x.tmp", "x");
    home.write("notes/n", "n");
    let lines = ran(&mut home.bare(&["--json", "create", "--source", "documents", "--source", "notes"])).lines();
    assert_eq!(crate::home::of_type(&lines, "created")[0]["files"], 3, "{lines:?}");
    assert_eq!(lines.last().unwrap()["files"], 1);
    let listed = home.json(&["snapshots", "--source", "notes"]);
    assert_eq!(crate::home::of_type(&listed, "snapshot").len(), 1);
    home.done(&["-q", "restore", "latest", "--target", "out"]);
    assert_eq!(fs::read(home.restored("out", "notes/n")).unwrap(), b"n");
    let refused = ran(&mut home.bare(&["create", "--source", "document"]));
    assert_eq!((refused.code, refused.stderr.contains("did you mean `documents`?")), (2, true), "{}", refused.stderr);
    assert_eq!(home.run(&["create", "src", "--source", "notes"]).code, 2);
    assert_eq!(home.run(&["create"]).code, 2);
}

#[test]
fn default_conflict_resolver_of_the_configuration_holds() {
    let home = configured();
    home.write("conflict.toml", "[defaults]\nconflict = \"keep_backup\"\n");
    home.done(&["-q", "restore", "latest", "--target", "out"]);
    fs::write(home.restored("out", "src/a.txt"), "changed").unwrap();
    home.done(&["-c", "conflict.toml", "restore", "latest", "--target", "out"]);
    assert_eq!(fs::read(home.restored("out", "src/a.txt")).unwrap(), b"alpha\n");
}

#[test]
fn password_in_the_configuration_itself_opens_only_where_that_is_allowed() {
    let home = Home::with_password_and_snapshot();
    let inline = CONFIG.replace("file:${HOME}/pw", &format!("inline:{}", crate::home::PASSWORD));
    home.write(".config/backup/config.toml", &inline);
    let refused = ran(&mut home.bare(&["snapshots"]));
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("allow_inline_secrets"), "{}", refused.stderr);
    assert!(!refused.stderr.contains(crate::home::PASSWORD), "{}", refused.stderr);
    home.write(".config/backup/config.toml", inline.replace("[defaults]", "[defaults]\nallow_inline_secrets = true"));
    let opened = ran(&mut home.bare(&["snapshots"]));
    assert_eq!(opened.code, 0, "{}", opened.stderr);
}

#[test]
fn half_made_repository_is_named_and_finished_by_init() {
    let home = Home::with_password();
    home.done(&["init"]);
    let config = fs::read(home.join("r/config")).unwrap();
    fs::remove_file(home.join("r/config")).unwrap();
    fs::write(home.join("r/config"), &config[..config.len() / 2]).unwrap();
    let refused = home.run(&["snapshots"]);
    assert_eq!(refused.code, 16);
    assert!(refused.stderr.contains("`config` is cut off") && refused.stderr.contains(" init`"), "{}", refused.stderr);
    home.done(&["init"]);
    home.write("src/a", "alpha");
    home.done(&["create", "src"]);
    fs::write(home.join("r/config"), &config[..config.len() / 2]).unwrap();
    let refused = home.run(&["init"]);
    assert_eq!(refused.code, 16);
    assert!(refused.stderr.contains("from a copy"), "{}", refused.stderr);
}
