//! From nothing to a proven restore, in one command.

use std::fs;

use crate::home::{Home, of_type, ran};

#[test]
fn quickstart_protects_a_folder_and_proves_a_restore() {
    let home = Home::new();
    for number in 0..40 {
        home.write(&format!("src/{number}"), vec![number; usize::from(number) * 1000]);
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        fs::write(home.join("src").join(std::ffi::OsStr::from_bytes(b"odd\xff")), "odd").unwrap();
    }
    home.settle();
    let ran = home.done(&["quickstart", "src", "--to", "disk"]);
    assert!(ran.stdout.contains("proven restorable: 25/25 files"), "{}", ran.stdout);
    assert!(ran.stdout.contains("backup -r disk create src"), "{}", ran.stdout);
    let kits: Vec<_> = home.files(".config/backup/recovery-kits");
    assert_eq!(kits.len(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&kits[0].0).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!home.join(".config/backup/keys").exists(), "a password was given");
    let again = home.json(&["quickstart", "src", "--to", "disk"]);
    let summary = again.last().unwrap();
    assert_eq!(
        (&summary["type"], &summary["made"], &summary["proven"]),
        (&"summary".into(), &false.into(), &25.into())
    );
    assert!(summary["recovery_kit"].is_null(), "there is one already");
    assert_eq!(of_type(&again, "created")[0]["files_unchanged"], if cfg!(unix) { 41 } else { 40 });
    assert_eq!(home.run(&["-r", "disk", "key", "list"]).stdout.matches("recovery-kit").count(), 1);
}

#[test]
fn quickstart_without_a_password_keeps_a_key_file_that_later_commands_find() {
    let home = Home::new();
    home.write("src/a", "a");
    let lines = ran(&mut home.bare(&["--json", "quickstart", "src", "--to", "disk"])).lines();
    let summary = lines.last().unwrap();
    let key = summary["key_file"].as_str().unwrap();
    assert!(key.ends_with(&format!("keys/{}.key", summary["id"].as_str().unwrap())), "{key}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(home.files(".config/backup/keys").len(), 1, "no key is left over");
    assert_eq!(ran(&mut home.bare(&["-r", "disk", "create", "src"])).code, 0);
    fs::remove_file(key).unwrap();
    assert_eq!(ran(&mut home.bare(&["-r", "disk", "snapshots"])).code, 2);
    let kit = summary["recovery_kit"].as_str().unwrap();
    assert_eq!(ran(&mut home.bare(&["-r", "disk", "--recovery-kit", kit, "snapshots"])).code, 0);
}

#[test]
fn quickstart_refuses_a_repository_inside_what_it_protects() {
    let home = Home::new();
    home.write("src/a", "a");
    for inside in ["src", "src/backup", "src/new/deep"] {
        let ran = home.run(&["quickstart", "src", "--to", inside]);
        assert_eq!(ran.code, 2, "{inside}: {}", ran.stderr);
        assert!(ran.stderr.contains("would lie inside"), "{}", ran.stderr);
    }
    assert_eq!(home.files("src").len(), 1);
    let ran = home.run(&["quickstart", "missing", "--to", "disk"]);
    assert_eq!((ran.code, home.join("disk").exists()), (2, false), "{}", ran.stderr);
}

#[test]
fn quickstart_keeps_the_kit_out_of_the_repository() {
    let home = Home::new();
    home.write("src/a", "a");
    let ran = home.run(&["quickstart", "src", "--to", "disk", "--kit", "disk/kit.txt"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(!home.join("disk/kit.txt").exists());
    home.done(&["quickstart", "src", "--to", "disk", "--kit", "kit.txt"]);
    assert!(home.join("kit.txt").exists());
}

#[test]
fn quickstart_that_proves_nothing_says_so() {
    let home = Home::new();
    fs::create_dir(home.join("src")).unwrap();
    let ran = home.done(&["quickstart", "src", "--to", "disk"]);
    assert!(ran.stdout.contains("nothing could be proven"), "{}", ran.stdout);
}
