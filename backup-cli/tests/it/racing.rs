//! Several processes that begin at the same moment.

use std::process::{Command, Stdio};

use crate::home::{Home, Ran, of_type};
use crate::listing::{assert_holds, list};
use crate::random::Random;

/// Starts commands at once and waits for all of them; says how each ended.
fn race(commands: &mut [Command]) -> Vec<Ran> {
    let started: Vec<_> = commands
        .iter_mut()
        .map(|command| command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let ended = started.into_iter().map(|child| {
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap_or_else(|| panic!("ended by {}", output.status)),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    });
    ended.collect()
}

#[test]
fn processes_that_create_at_once_all_get_a_sound_snapshot() {
    let mut random = Random::new(23);
    for round in 0..6 {
        let home = Home::in_memory();
        home.done(&["-q", "init"]);
        let shared = random.bytes(1 << 20);
        // Half of what each stores the others store as well, and the last two have the very same source.
        let sources = ["one", "two", "three", "three"];
        for source in &sources[..3] {
            home.write(&format!("{source}/shared"), &shared);
            let own = 400_000 + random.below(1000);
            home.write(&format!("{source}/own"), random.bytes(own));
            home.write(&format!("{source}/text"), format!("{source} in round {round}\n").repeat(50));
        }
        let mut commands: Vec<_> = sources.iter().map(|source| home.command(&["--json", "create", source])).collect();
        let ended = race(&mut commands);
        home.done(&["check", "--read-data"]);
        for (source, ran) in sources.iter().zip(&ended) {
            assert_eq!(ran.code, 0, "round {round}: {}{}", ran.stdout, ran.stderr);
            let lines = ran.lines();
            let id = lines.last().unwrap()["snapshot"].as_str().unwrap();
            home.done(&["-q", "restore", id, "--target", &format!("out-{id}")]);
            let restored = home.restored(&format!("out-{id}"), source);
            assert_holds(&restored, &list(&home.join(source)), &format!("round {round}, {source}"));
        }
        assert_eq!(of_type(&home.json(&["snapshots"]), "snapshot").len(), 4);
        // And the next ones find everything in its place.
        for source in &sources[..3] {
            let lines = home.json(&["create", source]);
            assert_eq!(lines.last().unwrap()["new_bytes"], 0, "round {round}: {lines:?}");
        }
    }
}

#[test]
fn of_processes_that_init_at_once_one_succeeds_and_its_repository_works() {
    for round in 0..10 {
        let home = Home::in_memory();
        home.write("src/text", "text");
        let mut commands: Vec<_> = (0..4).map(|_| home.command(&["-q", "init"])).collect();
        let ended = race(&mut commands);
        let (done, refused): (Vec<_>, Vec<_>) = ended.iter().partition(|ran| ran.code == 0);
        assert_eq!(done.len(), 1, "round {round}");
        for ran in refused {
            assert_eq!(ran.code, 1, "round {round}: {}", ran.stderr);
            assert!(ran.stderr.contains("there is a repository already"), "round {round}: {}", ran.stderr);
        }
        home.done(&["-q", "create", "src"]);
        home.done(&["check", "--read-data"]);
        // A slot and an epoch: the keys of those who lost are gone.
        assert_eq!(home.files("r/keys").len(), 2, "round {round}");
        home.done(&["-q", "restore", "latest", "--target", "out"]);
        assert_holds(&home.restored("out", "src"), &list(&home.join("src")), "after init");
    }
}
