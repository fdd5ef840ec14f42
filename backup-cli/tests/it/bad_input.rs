//! Bad input gets its own exit code and an error that names the thing and the way out; and nothing is lost.

use std::fs;
#[cfg(unix)]
use std::process::Command;

use crate::home::{Home, PASSWORD, Ran, ran};

/// The three parts of an error.
fn assert_says(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    for part in parts {
        assert!(ran.stderr.contains(part), "`{part}` is not in:\n{}", ran.stderr);
    }
}

#[test]
fn wrong_password_is_12() {
    let home = Home::with_password_and_snapshot();
    let before = home.files("r");
    let mut command = home.command(&["snapshots"]);
    assert_says(&ran(command.env("BACKUP_PASSWORD", "wrong")), 12, &["cause: the password or key", " hint: "]);
    assert!(before == home.files("r"));
    home.done(&["snapshots"]);
}

#[test]
fn no_repository_is_10_and_says_how_to_make_one() {
    let home = Home::new();
    fs::create_dir(home.join("empty")).unwrap();
    home.write("full/some.txt", "x");
    for place in ["missing", "empty", "full"] {
        let ran = ran(home.bare(&["-r", place, "snapshots"]).env("BACKUP_PASSWORD", PASSWORD));
        assert_says(&ran, 10, &["there is no repository", &format!("`backup -r {place} init`")]);
    }
    assert!(!home.join("missing").exists(), "looking made something");
}

#[test]
fn lost_config_is_16_and_comes_back_from_the_recovery_kit() {
    let home = Home::with_snapshot();
    home.done(&["-q", "key", "recovery-kit", "--kit", "kit.txt"]);
    let config = fs::read_to_string(home.join("r/config")).unwrap();
    fs::remove_file(home.join("r/config")).unwrap();
    let before = home.files("r");
    for verb in [&["snapshots"][..], &["create", "src"], &["check"], &["init"], &["quickstart", "src"]] {
        assert_says(&home.run(verb), 16, &["`config`", "snapshots/", " hint: bring the object `config` back"]);
    }
    assert!(before == home.files("r"), "nothing was changed");

    let kit = fs::read_to_string(home.join("kit.txt")).unwrap();
    let lines: Vec<&str> = kit.lines().skip_while(|line| !line.starts_with('{')).collect();
    let [first, second] = lines[..] else { panic!("two lines end the kit: {kit}") };
    home.write("r/config", format!("{first}\n{second}\n"));
    assert_eq!(fs::read_to_string(home.join("r/config")).unwrap(), config);
    home.done(&["check", "--read-data"]);
}

#[test]
fn folder_with_another_programs_config_is_10() {
    let home = Home::new();
    home.write("r/config", "[core]\n\tbare = false\n");
    assert_says(&home.run(&["snapshots"]), 10, &["not a repository"]);
    let ran = home.run(&["init"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(fs::read(home.join("r/config")).unwrap(), b"[core]\n\tbare = false\n");
}

#[test]
fn file_instead_of_a_repository_is_10() {
    let home = Home::new();
    home.write("r", "just a file");
    assert_says(&home.run(&["snapshots"]), 10, &["is no directory", "a repository is a folder"]);
}

#[test]
fn init_refuses_a_place_that_holds_something_else_and_a_second_time() {
    let home = Home::with_snapshot();
    assert_says(&home.run(&["init"]), 1, &["there is a repository already"]);
    home.write("full/packs/a", "x");
    let ran = ran(home.bare(&["-r", "full", "init"]).env("BACKUP_PASSWORD", PASSWORD));
    assert_says(&ran, 1, &["not empty", "packs/a", "an empty or a new folder"]);
}

#[test]
fn newer_format_version_is_refused_and_left_alone() {
    let home = Home::with_snapshot();
    let config = fs::read_to_string(home.join("r/config")).unwrap();
    assert!(config.contains("\"version\":1,"), "{config}");
    let newer = config.replace("\"version\":1,", "\"version\":999,");
    fs::remove_file(home.join("r/config")).unwrap();
    fs::write(home.join("r/config"), &newer).unwrap();
    for verb in [&["snapshots"][..], &["create", "src"], &["check"]] {
        assert_says(&home.run(verb), 1, &["format version 999", "newer version of this program"]);
    }
    assert_eq!(fs::read_to_string(home.join("r/config")).unwrap(), newer);
}

#[test]
fn unknown_verbs_and_flags_are_2_with_the_nearest() {
    let home = Home::new();
    for (arguments, nearest) in [
        (&["snapshot"][..], "snapshots"),
        (&["creat", "x"], "create"),
        (&["check", "--read-dat"], "--read-data"),
        (&["restore", "latest", "--target", "x", "--conflict", "keep-bakup"], "keep-backup"),
    ] {
        let ran = home.run(arguments);
        assert_says(&ran, 2, &[nearest]);
    }
}

#[test]
fn target_that_is_a_file_is_2() {
    let home = Home::with_snapshot();
    home.write("target", "precious");
    assert_says(&home.run(&["restore", "latest", "--target", "target"]), 2, &["target", " hint: name a folder"]);
    assert_eq!(fs::read(home.join("target")).unwrap(), b"precious");
}

#[test]
fn missing_source_is_an_error_and_makes_no_snapshot() {
    let home = Home::with_snapshot();
    assert_says(&home.run(&["create", "no-such-folder"]), 1, &["no-such-folder", " hint: look for a typing error"]);
    assert_eq!(home.json(&["snapshots"]).last().unwrap()["snapshots"], 1);
}

#[test]
fn nobody_to_ask_is_2_and_says_where_a_password_comes_from() {
    let home = Home::with_snapshot();
    let ran = ran(home.bare(&["-r", "r", "snapshots"]).env_remove("BACKUP_PASSWORD"));
    assert_says(&ran, 2, &["no password is given", "BACKUP_PASSWORD", "--password-file"]);
}

#[test]
fn address_that_no_backend_understands_is_2() {
    let home = Home::new();
    assert_says(
        &home.run(&["-r", "gdrive://folder/x", "snapshots"]),
        2,
        &["no storage backend `gdrive`", "it has `", "`local`"],
    );
    assert_says(&home.run(&["-r", "flie:///x", "snapshots"]), 2, &["`file`"]);
    let ran = home.run(&["-r", "sftp://me:canary-pw@host/x", "snapshots"]);
    assert_says(&ran, 2, &["a password has no place in a URL"]);
    assert!(!ran.stderr.contains("canary-pw"), "{}", ran.stderr);
}

#[test]
fn address_of_another_program_makes_no_folder_of_that_name() {
    let home = Home::new();
    home.write("src/a", "a");
    for place in ["me@nas:backups", "nas:backups", "rest:http://nas/backups", "sftp:me@nas:/backups"] {
        for verb in [&["init"][..], &["snapshots"], &["quickstart", "src"]] {
            assert_says(&home.run(&[&["-r", place], verb].concat()), 2, &["cause: ", "`./"]);
        }
        assert_says(&home.run(&["quickstart", "src", "--to", place]), 2, &["`./"]);
    }
    let mut names: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name != ".config");
    assert_eq!(names, ["src"]);
    home.done(&["-r", "./nas:backups", "init"]);
    assert!(home.join("nas:backups/config").exists());
}

#[cfg(unix)]
#[test]
fn unreadable_source_is_3_and_the_rest_is_stored() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.write("src/open.txt", "readable");
    let closed = home.write("src/closed.txt", "closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let remove = ["restore", "latest", "--target", "out", "--delete"];
    let (ran, removal) = if crate::home::is_root() {
        let Some(runs) = as_nobody(&home) else { return };
        runs(&["-q", "init"]);
        (runs(&["--json", "create", "src"]), runs(&remove))
    } else {
        home.done(&["-q", "init"]);
        (home.run(&["--json", "create", "src"]), home.run(&remove))
    };
    // What the snapshot lacks may be what could not be read.
    assert_says(&removal, 1, &["lacks 1 entries that could not be read", "without `--delete`"]);
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    let lines = ran.lines();
    let problems = crate::home::of_type(&lines, "problem");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0]["path"].as_str().unwrap().ends_with("src/closed.txt"));
    assert_eq!(lines.last().unwrap()["problems"], 1);
    assert_eq!(lines.last().unwrap()["files"], 1);
    assert_eq!(lines.last().unwrap()["files_new"], 1, "what could not be read is not new");
}

/// Runs the binary as a user who may not read everything; says why where it can't.
#[cfg(unix)]
fn as_nobody(home: &Home) -> Option<impl Fn(&[&str]) -> Ran> {
    use std::os::unix::fs::PermissionsExt;
    // The build's folder may be closed to others.
    let binary = home.join("backup");
    fs::copy(crate::home::binary(), &binary).unwrap();
    for path in [home.path().to_owned(), binary.clone()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let (home, repository) = (home.path().to_owned(), home.join("r"));
    let run = move |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&binary).args(arguments);
        command.current_dir(&home).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &home);
        command.env("BACKUP_PASSWORD", PASSWORD).env("BACKUP_REPOSITORY", &repository);
        ran(&mut command)
    };
    let tried = Command::new("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups", "true"]).status();
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!(
            "SKIPPED unreadable_source_is_3_and_the_rest_is_stored: root reads everything, and setpriv does not work"
        );
        return None;
    }
    Some(run)
}

#[cfg(target_os = "linux")]
#[test]
fn no_space_is_15_and_the_repository_goes_on_working() {
    let home = Home::new();
    let small = home.join("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(&small)
        .output()
        .map(|out| out.status);
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED no_space_is_15_and_the_repository_goes_on_working: mounting is not allowed");
        return;
    }
    let _unmount = Unmount(small.clone());
    home.write("src/first", "first");
    // Bytes that no compression shrinks.
    let mut seed: u64 = 5;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed.to_le_bytes()[7]
    })
    .take(8 << 20)
    .collect();
    home.write("more/noise", noise);
    let run = |arguments: &[&str]| ran(home.command(arguments).env("BACKUP_REPOSITORY", small.join("r")));
    assert_eq!(run(&["init"]).code, 0);
    assert_eq!(run(&["create", "src"]).code, 0);
    assert_says(&run(&["create", "more"]), 15, &["no space left", "make room"]);
    assert_eq!(run(&["check", "--read-data"]).code, 0);
    assert_eq!(run(&["restore", "latest", "--target", "out"]).code, 0);
    assert_eq!(fs::read(home.restored("out", "src/first")).unwrap(), b"first");
}

#[cfg(target_os = "linux")]
struct Unmount(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Drop for Unmount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.0.display());
    }
}

#[cfg(unix)]
#[test]
fn reader_of_the_output_that_goes_away_ends_it_quietly() {
    let home = Home::with_snapshot();
    for verb in ["snapshots", "backends", "man"] {
        let mut command = home.command(&[verb]);
        let mut child =
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()),
            (Some(0), String::new())
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_can_not_be_written_is_an_error() {
    let home = Home::with_snapshot();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = home.command(&["snapshots"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(15));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output"));
}
