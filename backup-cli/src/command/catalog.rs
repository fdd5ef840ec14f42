//! `backup catalog`: a list of all snapshots that other programs can read.

use std::io::Write;
use std::path::Path;

use backup_engine::query::catalog::Catalog;
use serde::Serialize;

use super::unread;
use crate::args::query::CatalogArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::human;

#[derive(Serialize)]
struct Document<'a> {
    catalog: &'a Catalog,
}

#[derive(Serialize)]
struct Summary {
    out: String,
    snapshots: usize,
    unreadable: usize,
}

pub(crate) async fn run(context: &Context, args: &CatalogArgs) -> Result<Exit, CliError> {
    let repository = context.open().await?;
    let catalog = context.interrupt.or_stop(repository.catalog()).await?;
    let catalog = catalog.map_err(|error| unread::failed("the catalog can't be made", &error))?;
    let output = &context.output;
    let text = serde_json::to_string_pretty(&catalog).expect("a catalog is plain data");
    if args.out == Path::new("-") {
        match output.is_json() {
            true => output.json("catalog", &Document { catalog: &catalog })?,
            false => output.line(text)?,
        }
    } else {
        let out = args.out.display().to_string();
        write(&args.out, &text).map_err(|error| CliError::from_error(format!("cannot write `{out}`"), &error))?;
        let snapshots = catalog.snapshots.len();
        let told = format!("wrote {} into `{out}`", human::things(snapshots as u64, "snapshot", "snapshots"));
        output.json("summary", &Summary { out, snapshots, unreadable: catalog.unreadable.len() })?;
        output.report(told)?;
    }
    Ok(if catalog.unreadable.is_empty() { Exit::Done } else { Exit::Corrupt })
}

/// Replaces the file all at once: who reads it sees the old or the new one.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
