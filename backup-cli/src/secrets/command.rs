//! A secret that a program prints.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use backup_core::Secret;
use zeroize::Zeroizing;

use super::{MAX_SECRET_BYTES, without_line_end};

/// Long enough for a person to unlock a password manager.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the program prints on standard output. Its standard error and input are the terminal's.
///
/// # Errors
/// What went wrong in words, without anything that the program printed.
pub(super) fn output(words: &[String]) -> Result<Secret, String> {
    let [program, arguments @ ..] = words else { return Err("no program".to_owned()) };
    let mut child = Command::new(program)
        .args(arguments)
        // The program has no need of the password that it is to replace.
        .env_remove("BACKUP_PASSWORD")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("`{program}`: {error}"))?;
    let result = read(&mut child);
    if result.is_err() {
        // It may have ended by itself; then there is nothing to kill.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let bytes = result?;
    if status.success() { Ok(without_line_end(bytes)) } else { Err(status.to_string()) }
}

fn read(child: &mut Child) -> Result<Vec<u8>, String> {
    let Some(pipe) = child.stdout.take() else { return Err("it has no output".to_owned()) };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::with_capacity(256));
        let read = pipe.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes);
        // Nobody listens any more when it took too long.
        let _ = sender.send(read.map(|_| bytes));
    });
    match receiver.recv_timeout(PATIENCE) {
        Ok(Ok(bytes)) if bytes.len() as u64 > MAX_SECRET_BYTES => Err("it printed too much for a secret".to_owned()),
        Ok(Ok(mut bytes)) => Ok(std::mem::take(&mut *bytes)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
