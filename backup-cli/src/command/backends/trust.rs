//! `backup backends trust`: makes a server known by its key.

use std::fs::OpenOptions;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::path::Path;

use backup_core::registry::{ConnectContext, Introduction, Standing};
use serde::Serialize;

use crate::args::TrustArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;

/// Where the server's own administrator reads the fingerprint.
const COMPARE: &str = "the server itself tells it by `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`";

#[derive(Serialize)]
struct Summary<'a> {
    server: &'a str,
    algorithm: &'a str,
    fingerprint: &'a str,
    /// Whether it was known before.
    known: bool,
    file: String,
}

pub(crate) async fn run(context: &Context, args: &TrustArgs) -> Result<Exit, CliError> {
    let place = match &args.repository {
        Some(named) => context.place_named(named.clone())?,
        None => context.place()?,
    };
    let with = ConnectContext::new(context.secrets()?, context.clock.clone());
    let shown = place.config.backend.introduce(&with).await;
    let shown = shown.map_err(|error| CliError::from_error(format!("cannot reach {}", place.shown()), &error))?;
    let Some(shown) = shown else {
        return Err(CliError::usage(format!("{} is not recognised by a key", place.shown()))
            .hint("this is for servers that are, such as `sftp://`"));
    };
    let Introduction { server, algorithm, fingerprint, .. } = &shown;
    if let Standing::Refused(why) = &shown.standing {
        let file = shown.file.display();
        return Err(CliError::new(Exit::Unreachable, "this server is not to be trusted").because(why.clone()).hint(format!(
            "ask whoever runs it; if it was set up anew, remove its old key first: ssh-keygen -R '{server}' -f '{file}'"
        )));
    }
    let is_known = shown.standing == Standing::Known;
    match &args.fingerprint {
        Some(expected) if expected.trim() != fingerprint => {
            let failed = CliError::new(Exit::Unreachable, format!("{server} shows another key than the expected one"));
            return Err(failed.because(format!("it shows the {algorithm} key {fingerprint}")).hint(COMPARE));
        }
        Some(_) => {}
        None if is_known => {}
        None => agreed(context, &shown)?,
    }
    if !is_known {
        append(&shown.file, &shown.line).map_err(|error| {
            CliError::from_error(format!("cannot write to the known servers in {}", shown.file.display()), &error)
        })?;
    }
    let output = &context.output;
    let file = shown.file.display().to_string();
    output.json("summary", &Summary { server, algorithm, fingerprint, known: is_known, file: file.clone() })?;
    output.report(match is_known {
        true => format!("{server} was known already by its {algorithm} key {fingerprint}"),
        false => format!("{server} is known from now on by its {algorithm} key {fingerprint} ({file})"),
    })?;
    Ok(Exit::Done)
}

/// Asks a person whether the key is the right one.
fn agreed(context: &Context, shown: &Introduction) -> Result<(), CliError> {
    let Introduction { server, algorithm, fingerprint, .. } = shown;
    if context.global.no_input || context.output.is_json() || !context.environment.can_ask() {
        return Err(CliError::usage(format!(
            "{server} shows the {algorithm} key {fingerprint}, and there is nobody to ask"
        ))
        .hint(format!("compare it ({COMPARE}), then add `--fingerprint {fingerprint}`")));
    }
    let question =
        format!("{server} shows the {algorithm} key\n  {fingerprint}\n{COMPARE}\nIs it the same? Write yes: ");
    let mut stderr = io::stderr().lock();
    let unheard = |error| CliError::from_error("cannot ask", &error);
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).map_err(unheard)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(unheard)?;
    match answer.trim().eq_ignore_ascii_case("yes") {
        true => Ok(()),
        false => Err(CliError::new(Exit::Failed, "nothing was written down")),
    }
}

/// Adds a line to a file that only its owner may read; a last line without an end gets one.
fn append(file: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut open = options.open(file)?;
    let mut text = String::new();
    let mut last = [b'\n'];
    if open.seek(SeekFrom::End(-1)).is_ok() {
        open.read_exact(&mut last)?;
    }
    if last != *b"\n" {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
    open.write_all(text.as_bytes())?;
    open.sync_all()
}
