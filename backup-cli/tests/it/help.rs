//! Output that stays as it is: what people copy and programs match.

use crate::home::Home;

#[test]
fn exit_codes_are_documented() {
    let help = Home::new().done(&["--help"]).stdout;
    let codes = &help[help.find("Exit codes:").unwrap()..];
    insta::assert_snapshot!(codes.trim_end(), @r"
    Exit codes:
        0  done
        1  failed
        2  wrong command line or configuration
        3  finished, but some entries could not be read or written
        4  verification failed
       10  no repository
       11  held by another
       12  wrong password or key
       13  store unreachable
       14  credentials missing, expired or revoked
       15  no space left
       16  repository damaged
      130  interrupted
    ");
}

#[test]
fn verbs_are_these() {
    let help = Home::new().done(&["-h"]).stdout;
    let commands = &help[help.find("Commands:").unwrap()..help.find("Options:").unwrap()];
    insta::assert_snapshot!(commands.trim_end(), @r"
    Commands:
      quickstart   Protect files in one go, and prove that they can be restored
      init         Make a repository
      create       Store a snapshot of files or of a configured source
      snapshots    List snapshots
      ls           List what is in a snapshot
      find         Find files in all snapshots
      diff         Show what changed between two snapshots
      dump         Write a file's content to standard output
      restore      Bring files back
      check        Verify the repository, and say which files damage hurts
      stats        Show how large everything is, and what deduplication and compression save
      tag          Tag a snapshot
      pin          Keep snapshots whatever a retention policy says
      unpin        Let retention policies decide about snapshots again
      key          Manage what opens the repository: passwords, key files, recovery kits
      catalog      Write a list of all snapshots that other programs can read
      backends     List the plug-ins of this program: storage backends, sources, policies
      conformance  Try a place for a repository with the suite that storage backends must pass
      config       Check, show and describe the configuration
      repair       Mend what can be mended
      completions  Write completions for a shell
      man          Write the manual pages
      help         Print this message or the help of the given subcommand(s)
    ");
}

#[test]
fn error_has_three_parts() {
    let home = Home::new();
    let error = home.run(&["-r", "nowhere", "snapshots"]).stderr;
    insta::assert_snapshot!(error.trim_end(), @r"
    error: cannot open the repository `nowhere`
    cause: there is no repository
     hint: make one with `backup -r nowhere init`
    ");
}

#[test]
fn every_verb_has_help() {
    let home = Home::new();
    let help = home.done(&["-h"]).stdout;
    let commands = &help[help.find("Commands:").unwrap()..help.find("Options:").unwrap()];
    let verbs = commands.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    for verb in verbs.filter(|verb| *verb != "help") {
        let help = home.done(&[verb, "--help"]).stdout;
        assert!(help.contains("Usage: backup"), "{verb}");
        assert_eq!(home.done(&["help", verb]).stdout, help, "{verb}");
    }
    assert_eq!(home.done(&["help"]).stdout, home.done(&["--help"]).stdout);
    assert_eq!(home.done(&["help", "key", "add"]).stdout, home.done(&["key", "add", "--help"]).stdout);
    assert_eq!(home.run(&["help", "nosuch"]).code, 2);
}
