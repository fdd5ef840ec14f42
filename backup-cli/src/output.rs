//! Everything the command line writes: data on standard output, talk on standard error.

pub(crate) mod entry;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod progress;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::MultiProgress;
use serde::Serialize;

use crate::environment::Environment;
use crate::error::CliError;
use crate::exit_code::Exit;

/// What is written and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutputOptions {
    /// JSON lines instead of text.
    pub(crate) json: bool,
    /// Nothing but what was asked for and errors.
    pub(crate) quiet: bool,
    /// More than usual.
    pub(crate) verbose: bool,
    /// Colours on standard error.
    pub(crate) color: bool,
    /// Bars on standard error.
    pub(crate) bars: bool,
}

impl OutputOptions {
    /// What the surroundings and flags ask for: bars and colours only on a terminal, colours not with `NO_COLOR`.
    pub(crate) fn new(json: bool, quiet: bool, verbose: bool, environment: Environment) -> Self {
        let dumb = environment.text("TERM").is_some_and(|term| term == "dumb");
        let terminal = io::stderr().is_terminal() && !dumb;
        let color = terminal && !json && environment.variable("NO_COLOR").is_none();
        Self { json, quiet, verbose, color, bars: terminal && !json && !quiet }
    }
}

/// Where a command writes. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Output {
    pub(crate) options: OutputOptions,
    /// Lines of data; buffered, because a listing may have millions of them.
    stdout: Arc<Mutex<Box<dyn Write + Send>>>,
    /// Bars are drawn over lines, so lines on standard error go through what draws the bars.
    bars: MultiProgress,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Bytes of output gathered before they are written.
const BUFFER_BYTES: usize = 64 * 1024;

impl Output {
    /// Writes to the process's standard streams.
    pub(crate) fn new(options: OutputOptions) -> Self {
        let stdout = Box::new(io::BufWriter::with_capacity(BUFFER_BYTES, io::stdout()));
        Self { options, stdout: Arc::new(Mutex::new(stdout)), bars: MultiProgress::new() }
    }

    /// Whether lines are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.options.json
    }

    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// One line of data, without its line end.
    pub(crate) fn line(&self, text: impl fmt::Display) -> Result<(), CliError> {
        self.write(|out| writeln!(out, "{text}"))
    }

    /// One line that only people read: nothing with `--json` or `--quiet`.
    pub(crate) fn report(&self, text: impl fmt::Display) -> Result<(), CliError> {
        if self.options.json || self.options.quiet {
            return Ok(());
        }
        self.line(text)?;
        self.flush()
    }

    /// One line of JSON; nothing without `--json`.
    pub(crate) fn json(&self, kind: &'static str, body: &impl Serialize) -> Result<(), CliError> {
        if !self.options.json {
            return Ok(());
        }
        let line = json::line(kind, body);
        self.write(|out| out.write_all(&line))?;
        // A program that reads along wants events when they happen.
        if matches!(kind, "status" | "problem" | "notice" | "summary" | "error") { self.flush() } else { Ok(()) }
    }

    /// Standard output for whoever wants to write bytes.
    pub(crate) fn writer(&self) -> OutputWriter {
        OutputWriter(self.clone())
    }

    /// Bytes of data as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        self.write(|out| out.write_all(bytes))
    }

    /// Writes out what is still in the buffer.
    pub(crate) fn flush(&self) -> Result<(), CliError> {
        self.write(|out| out.flush())
    }

    fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), CliError> {
        match self.write_raw(write) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(CliError::output_closed()),
            Err(error) => Err(CliError::from_error("cannot write to standard output", &error)),
        }
    }

    fn write_raw(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        write(&mut **self.stdout.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One line of talk on standard error; nothing with `--quiet`, a `notice` with `--json`.
    pub(crate) fn say(&self, text: impl fmt::Display) {
        if self.options.json {
            let _ = self.json("notice", &json::Message { message: &text.to_string() });
        } else if !self.options.quiet {
            self.stderr(&text.to_string());
        }
    }

    /// One line of talk for those who want to know more.
    pub(crate) fn detail(&self, text: impl fmt::Display) {
        if self.options.verbose {
            self.say(text);
        }
    }

    /// Something that is wrong while the command goes on; shown even with `--quiet`.
    pub(crate) fn warn(&self, text: impl fmt::Display) {
        if self.options.json {
            let _ = self.json("problem", &json::Message { message: &text.to_string() });
        } else {
            let label = self.paint("1;33", "warning:");
            self.stderr(&format!("{label} {text}"));
        }
    }

    /// The last word of a command that failed.
    pub(crate) fn error(&self, error: &CliError) {
        if self.options.json {
            let _ = self.json("error", &json::Failure::from(error));
            return;
        }
        let text = error.to_string();
        let painted = match text.strip_prefix("error:") {
            Some(rest) => format!("{}{rest}", self.paint("1;31", "error:")),
            None => text,
        };
        self.stderr(&painted);
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.options.color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A closed standard error is nobody's loss, so failing to write there is not an error.
    fn stderr(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    /// The result of a command whose work is done: a reader that went away does not change it.
    pub(crate) fn finished(&self, written: Result<(), CliError>, exit: Exit) -> Result<Exit, CliError> {
        match written.and_then(|()| self.flush()) {
            Err(error) if !error.output_closed => Err(error),
            Ok(()) | Err(_) => Ok(exit),
        }
    }
}

/// Writes to standard output, through the same buffer as lines.
#[derive(Debug)]
pub(crate) struct OutputWriter(Output);

impl Write for OutputWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_raw(|out| out.write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.write_raw(|out| out.flush())
    }
}
