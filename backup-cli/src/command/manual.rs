//! `backup completions` and `backup man`: what a package installs beside the binary.

use std::path::Path;

use clap::CommandFactory;
use serde::Serialize;

use crate::args::{CommandLine, CompletionsArgs, ManArgs};
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;

#[derive(Serialize)]
struct Text<'a> {
    name: &'a str,
    text: &'a str,
}

pub(crate) fn completions(context: &Context, args: &CompletionsArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut CommandLine::command(), "backup", &mut script);
    write(context, "completions", &args.shell.to_string(), &script)?;
    Ok(Exit::Done)
}

pub(crate) fn pages(context: &Context, args: &ManArgs) -> Result<Exit, CliError> {
    let command = CommandLine::command();
    match &args.out {
        None => {
            let page = page(command)?;
            write(context, "man", "backup.1", &page)?;
        }
        Some(folder) => write_all(context, command, folder)?,
    }
    Ok(Exit::Done)
}

fn page(command: clap::Command) -> Result<Vec<u8>, CliError> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|error| CliError::from_error("cannot write the manual", &error))?;
    Ok(page)
}

fn write_all(context: &Context, command: clap::Command, folder: &Path) -> Result<(), CliError> {
    let failed = |error: std::io::Error| {
        CliError::from_error(format!("cannot write the manual into `{}`", folder.display()), &error)
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(command, folder).map_err(failed)?;
    let folder = folder.display().to_string();
    context.output.json("man", &Text { name: "folder", text: &folder })?;
    context.output.report(format!("wrote the manual into `{folder}`"))
}

fn write(context: &Context, kind: &'static str, name: &str, bytes: &[u8]) -> Result<(), CliError> {
    if context.output.is_json() {
        return context.output.json(kind, &Text { name, text: &String::from_utf8_lossy(bytes) });
    }
    context.output.bytes(bytes)
}
