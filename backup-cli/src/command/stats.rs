//! `backup stats`: how large everything is.

use std::collections::BTreeSet;

use backup_engine::id::SnapshotId;
use backup_engine::query::stats::Stats;
use serde::Serialize;

use super::unread;
use crate::args::narrow::NarrowArgs;
use crate::args::query::StatsArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::human;

#[derive(Serialize)]
struct Summary<'a> {
    #[serde(flatten)]
    stats: &'a Stats,
    deduplication_ratio: Option<f64>,
    compression_ratio: Option<f64>,
    total_ratio: Option<f64>,
}

pub(crate) async fn run(context: &Context, args: &StatsArgs) -> Result<Exit, CliError> {
    if !args.narrow.is_open() && !args.usage {
        return Err(CliError::usage("the sums are those of all snapshots: there is nothing to choose from")
            .hint("with `--usage` each snapshot has a line of its own"));
    }
    let repository = context.open().await?;
    let (list, _) = context.list_snapshots(&repository, &NarrowArgs::default()).await?;
    let narrow = args.narrow.narrow()?;
    let counting = list.snapshots.iter().filter(|it| narrow.accepts(&it.record.host, &it.record.source, &it.tags));
    let counting: BTreeSet<SnapshotId> = counting.map(|snapshot| snapshot.id).collect();
    for (id, error) in &list.damaged {
        context
            .output
            .warn(CliError::from_error(format!("snapshot {} can't be read", id.short()), error).in_one_line());
    }
    let stats = context.interrupt.or_stop(repository.stats(list.snapshots, args.usage)).await?;
    let mut stats = stats.map_err(|error| unread::failed("the sizes can't be added up", &error))?;
    if let Some(usage) = &mut stats.usage {
        usage.snapshots.retain(|snapshot| counting.contains(&snapshot.id));
    }
    show(context, &stats)?;
    let unread = stats.usage.as_ref().map_or(0, |usage| usage.unread_parts) + stats.damaged_index_objects;
    Ok(if unread == 0 && list.damaged.is_empty() { Exit::Done } else { Exit::Corrupt })
}

fn show(context: &Context, stats: &Stats) -> Result<(), CliError> {
    let output = &context.output;
    if output.is_json() {
        let summary = Summary {
            stats,
            deduplication_ratio: stats.deduplication_ratio(),
            compression_ratio: stats.compression_ratio(),
            total_ratio: stats.total_ratio(),
        };
        return output.json("summary", &summary);
    }
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
    let mut rows = vec![
        ["snapshots", &human::count(stats.snapshots), ""].map(str::to_owned).to_vec(),
        ["entries", &human::count(stats.entries), "in all snapshots together"].map(str::to_owned).to_vec(),
        ["logical", &human::size(stats.logical_bytes), "as plain copies"].map(str::to_owned).to_vec(),
        [
            "unique",
            &human::size(stats.unique_bytes),
            &format!("{} times less by deduplication", ratio(stats.deduplication_ratio())),
        ]
        .map(str::to_owned)
        .to_vec(),
        [
            "packs",
            &human::size(stats.pack_bytes),
            &format!("{} times less by compression", ratio(stats.compression_ratio())),
        ]
        .map(str::to_owned)
        .to_vec(),
        [
            "stored",
            &human::size(stats.stored_bytes),
            &format!("in {} objects; {} times less in all", human::count(stats.objects), ratio(stats.total_ratio())),
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    if let Some(usage) = &stats.usage {
        let unneeded = human::size(usage.unneeded_stored_bytes);
        rows.push(["unneeded", &unneeded, "stored, and in no snapshot"].map(str::to_owned).to_vec());
    }
    human::columns(&rows, &[1]).iter().try_for_each(|line| output.line(line))?;
    let Some(usage) = &stats.usage else { return Ok(()) };
    let mut rows = vec![["SNAPSHOT", "SIZE", "ITS OWN", "STORED"].map(str::to_owned).to_vec()];
    for snapshot in &usage.snapshots {
        let sizes = [snapshot.logical_bytes, snapshot.own_bytes, snapshot.own_stored_bytes].map(human::size);
        rows.push(std::iter::once(snapshot.id.short()).chain(sizes).collect());
    }
    output.line("")?;
    human::columns(&rows, &[1, 2, 3]).iter().try_for_each(|line| output.line(line))
}
