//! `backup dump`: writes a file's content.

use std::fs::OpenOptions;
use std::io::{self, Write};

use backup_engine::query::QueryError;
use serde::Serialize;

use super::unread;
use crate::args::query::DumpArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::human;
use crate::output::json::PathText;
use crate::paths;

#[derive(Serialize)]
struct Summary {
    snapshot: String,
    #[serde(flatten)]
    path: PathText,
    bytes: u64,
    out: String,
}

pub(crate) async fn run(context: &Context, args: &DumpArgs) -> Result<Exit, CliError> {
    let output = &context.output;
    let path = paths::entry(&args.path)?.ok_or_else(|| CliError::usage("`/` is no file"))?;
    if args.out.is_none() && output.is_json() {
        return Err(CliError::usage("with `--json`, the content has no place on standard output")
            .hint("write it into a file: `--out FILE`"));
    }
    let repository = context.open().await?;
    let snapshot = context.snapshot(&repository, &args.snapshot).await?;
    let out: Box<dyn Write + Send> = match &args.out {
        None => Box::new(output.writer()),
        Some(file) => Box::new(OpenOptions::new().write(true).create_new(true).open(file).map_err(|error| {
            CliError::from_error(format!("cannot write `{}`", file.display()), &error)
                .hint("name a file that isn't there yet")
        })?),
    };
    let dumped = context.interrupt.or_stop(repository.dump(&snapshot, &path, out)).await?;
    let (_, dumped) = dumped.map_err(|error| match &error {
        QueryError::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe => CliError::output_closed(),
        _ => unread::failed(format!("cannot write out `/{path}`"), &error),
    })?;
    if let Some(file) = &args.out {
        let out = file.display().to_string();
        let text = format!("wrote {} into `{out}`", human::size(dumped.bytes));
        let summary = Summary { snapshot: snapshot.id.to_string(), path: (&path).into(), bytes: dumped.bytes, out };
        output.json("summary", &summary)?;
        output.report(text)?;
    }
    Ok(Exit::Done)
}
