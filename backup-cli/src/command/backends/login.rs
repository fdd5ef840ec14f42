//! `backup backends login`: a person's consent, and the tokens that come of it.

use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

use backup_core::Secret;
use backup_core::registry::ConnectContext;
use serde::Serialize;

use crate::args::LoginArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;

/// How long a person has for finding a password, a second factor, and the right account.
const BROWSER_LIMIT: Duration = Duration::from_secs(600);

/// Codes have some dozens of characters.
const MAX_CODE_BYTES: u64 = 4 << 10;

#[derive(Serialize)]
struct Summary {
    file: String,
}

pub(crate) async fn run(context: &Context, args: &LoginArgs) -> Result<Exit, CliError> {
    let place = match &args.repository {
        Some(named) => context.place_named(named.clone())?,
        None => context.place()?,
    };
    let with = ConnectContext::new(context.secrets()?, context.clock.clone());
    let failed = |error| CliError::from_error(format!("cannot log in to {}", place.shown()), &error);
    let begun = place.config.backend.login(&with, args.browser_port).await.map_err(failed)?;
    let Some(login) = begun else {
        return Err(CliError::usage(format!("{} wants no consent", place.shown()))
            .hint("this is for services that do, such as `dropbox://`"));
    };
    let file = login.file().display().to_string();
    say(&format!("Follow this address and give consent:\n\n  {}\n\n", login.url()))?;
    match args.browser_port {
        Some(_) => login.from_browser(BROWSER_LIMIT).await.map_err(failed)?,
        None => {
            say("The code that is shown then: ")?;
            let code = read_code()?;
            login.with_code(&code).await.map_err(failed)?;
        }
    }
    context.output.json("summary", &Summary { file: file.clone() })?;
    context.output.report(format!("consent was given; its tokens are in {file}"))?;
    Ok(Exit::Done)
}

/// The address is for a person, also where the output is for a program.
fn say(text: &str) -> Result<(), CliError> {
    let mut stderr = io::stderr().lock();
    stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush())
        .map_err(|error| CliError::from_error("cannot ask", &error))
}

fn read_code() -> Result<Secret, CliError> {
    let mut line = String::new();
    let read = io::stdin().lock().take(MAX_CODE_BYTES).read_line(&mut line);
    read.map_err(|error| CliError::from_error("cannot read the code", &error))?;
    match line.trim() {
        "" => Err(CliError::new(Exit::Failed, "there is no code; nothing was written down")),
        code => Ok(Secret::from(code.to_owned())),
    }
}
