//! What every source owes: the view that is captured, and the target that takes it back.
//!
//! The laws restore what they captured in the same run, by the protocol that the engine keeps: directories first, content at its offsets, links
//! after what they share.

mod capture;
mod put_back;

use std::collections::BTreeSet;

use backup_core::{Entry, EntryKind, EntryPath, RestoreTarget, Snapshotter, TargetOptions};

use self::capture::{Captured, capture};
use self::put_back::{put_back, read_back};
use super::{Broken, broken_of, holds};

/// Gives the laws a source to try.
pub trait Harness: Sync {
    /// A snapshotter of a source that nobody changes meanwhile, the same one with each call. It should hold a file of some kilobytes, an empty one, a
    /// directory in a directory and, where the source knows them, links.
    fn snapshotter(&self) -> Box<dyn Snapshotter>;

    /// A place to restore into, empty and another one with each call.
    fn place(&self) -> TargetOptions;
}

/// One law: `Err` with an example where it is broken.
type Law = fn(&dyn Harness, u64) -> Result<(), String>;

const LAWS: &[(&str, Law)] = &[
    ("it_describes_itself_the_same_again", it_describes_itself_the_same_again),
    ("entries_stand_in_canonical_order", entries_stand_in_canonical_order),
    ("directories_stand_before_what_is_in_them", directories_stand_before_what_is_in_them),
    ("two_views_show_the_same", two_views_show_the_same),
    ("content_is_as_long_as_its_entry_says", content_is_as_long_as_its_entry_says),
    ("small_reads_give_the_same", small_reads_give_the_same),
    ("an_empty_place_has_nothing", an_empty_place_has_nothing),
    ("what_is_put_back_is_what_was_captured", what_is_put_back_is_what_was_captured),
    ("a_file_that_is_not_committed_is_not_there", a_file_that_is_not_committed_is_not_there),
    ("an_old_file_stays_until_the_commit", an_old_file_stays_until_the_commit),
    ("extra_names_are_those_that_are_not_kept", extra_names_are_those_that_are_not_kept),
    ("what_is_removed_is_gone", what_is_removed_is_gone),
];

/// Bytes that a large read asks for.
const LARGE_READ: usize = 64 << 10;

/// The laws that a source breaks.
pub fn broken(harness: &dyn Harness, seed: u64) -> Vec<Broken> {
    broken_of(LAWS.iter().map(|(law, holds)| (*law, holds(harness, seed))), seed)
}

/// The names of all laws.
pub fn names() -> impl Iterator<Item = &'static str> {
    LAWS.iter().map(|(name, _)| *name)
}

fn captured(harness: &dyn Harness) -> Result<Captured, String> {
    capture(harness.snapshotter().as_ref(), LARGE_READ)
}

fn target(harness: &dyn Harness) -> Result<Box<dyn RestoreTarget>, String> {
    harness.snapshotter().target(&harness.place()).map_err(|error| error.to_string())
}

/// The source, put back into an empty place.
fn restored(harness: &dyn Harness) -> Result<(Captured, Box<dyn RestoreTarget>), String> {
    let (captured, target) = (captured(harness)?, target(harness)?);
    put_back(&captured, target.as_ref())?;
    Ok((captured, target))
}

fn it_describes_itself_the_same_again(harness: &dyn Harness, _: u64) -> Result<(), String> {
    let (first, second) = (harness.snapshotter().describe(), harness.snapshotter().describe());
    holds!(first == second, "{first:?}, then {second:?}");
    holds!(first.roots.is_sorted_by(|a, b| a < b), "roots are not sorted, or one is there twice: {:?}", first.roots);
    holds!(!first.kind.is_empty(), "it says not of what kind it is");
    Ok(())
}

fn entries_stand_in_canonical_order(harness: &dyn Harness, _: u64) -> Result<(), String> {
    let captured = captured(harness)?;
    let wrong = captured.entries.windows(2).find(|pair| pair[0].path >= pair[1].path);
    holds!(wrong.is_none(), "{:?}", wrong.map(|pair| (&pair[0].path, &pair[1].path)));
    holds!(!captured.entries.is_empty(), "there is nothing in the source to try it with");
    Ok(())
}

fn directories_stand_before_what_is_in_them(harness: &dyn Harness, _: u64) -> Result<(), String> {
    let mut directories = BTreeSet::new();
    for entry in captured(harness)?.entries {
        let parent = entry.path.parent();
        holds!(parent.is_none_or(|parent| directories.contains(&parent)), "nothing leads to {:?}", entry.path);
        if entry.kind == EntryKind::Directory {
            directories.insert(entry.path);
        }
    }
    Ok(())
}

fn two_views_show_the_same(harness: &dyn Harness, _: u64) -> Result<(), String> {
    captured(harness)?.same_as(&captured(harness)?)
}

fn content_is_as_long_as_its_entry_says(harness: &dyn Harness, _: u64) -> Result<(), String> {
    let captured = captured(harness)?;
    for entry in captured.files() {
        let told = entry
            .extents
            .as_ref()
            .map_or(entry.size_bytes, |extents| extents.iter().map(|extent| extent.len_bytes).sum());
        let read = captured.content[&entry.path].len() as u64;
        holds!(read == told, "{:?}: {read} bytes are read where the entry tells {told}", entry.path);
    }
    holds!(captured.files().any(|entry| entry.size_bytes > 0), "there is no file to try it with");
    Ok(())
}

fn small_reads_give_the_same(harness: &dyn Harness, seed: u64) -> Result<(), String> {
    let few = usize::try_from(seed % 5).unwrap_or(0) + 1;
    captured(harness)?.same_content_as(&capture(harness.snapshotter().as_ref(), few)?)
}

fn there(target: &dyn RestoreTarget, path: &EntryPath) -> Result<Option<Entry>, String> {
    target.inspect(path).map_err(|error| error.to_string())
}

fn an_empty_place_has_nothing(harness: &dyn Harness, _: u64) -> Result<(), String> {
    let (captured, target) = (captured(harness)?, target(harness)?);
    for entry in captured.files() {
        let found = there(target.as_ref(), &entry.path)?;
        holds!(found.is_none(), "{:?} is there before anything was restored", entry.path);
    }
    Ok(())
}

fn what_is_put_back_is_what_was_captured(harness: &dyn Harness, _: u64) -> Result<(), String> {
    let (captured, target) = restored(harness)?;
    for entry in &captured.entries {
        let Some(found) = there(target.as_ref(), &entry.path)? else {
            return Err(format!("{:?} was restored and is not there", entry.path));
        };
        holds!(found.kind == entry.kind, "{:?} was {:?} and is {:?}", entry.path, entry.kind, found.kind);
        if entry.kind == EntryKind::File {
            let told = (found.size_bytes, found.modified, found.mode);
            let expected = (entry.size_bytes, entry.modified, entry.mode);
            holds!(told == expected, "{:?} was {expected:?} and is {told:?}", entry.path);
            let same = read_back(target.as_ref(), entry)? == captured.whole(entry);
            holds!(same, "{:?} has other content than was restored", entry.path);
        }
    }
    Ok(())
}

/// A file of the source that has content, for a restore to be tried with.
fn some_file(captured: &Captured) -> Result<Entry, String> {
    let found = captured.files().find(|entry| entry.size_bytes > 0 && entry.extents.is_none() && entry.links == 1);
    found.cloned().ok_or_else(|| "there is no plain file to try it with".to_owned())
}

fn a_file_that_is_not_committed_is_not_there(harness: &dyn Harness, _: u64) -> Result<(), String> {
    let (captured, target) = restored(harness)?;
    let mut entry = some_file(&captured)?;
    let parent = entry.path.parent().ok_or("the file lies in no directory")?;
    entry.path = parent.join(b"never-committed").map_err(|error| error.to_string())?;
    let writer = target.create_file(&entry).map_err(|error| error.to_string())?;
    writer.write_at(0, b"half").map_err(|error| error.to_string())?;
    holds!(there(target.as_ref(), &entry.path)?.is_none(), "a file is there before it is committed");
    drop(writer);
    holds!(there(target.as_ref(), &entry.path)?.is_none(), "a file is there that was never committed");
    let extra = extra(target.as_ref(), &captured, &parent, None)?;
    holds!(extra.is_empty(), "what was never committed left {extra:?}");
    Ok(())
}

fn an_old_file_stays_until_the_commit(harness: &dyn Harness, _: u64) -> Result<(), String> {
    let (captured, target) = restored(harness)?;
    let entry = some_file(&captured)?;
    let writer = target.create_file(&entry).map_err(|error| error.to_string())?;
    writer.write_at(0, b"other").map_err(|error| error.to_string())?;
    let before = read_back(target.as_ref(), &entry)?;
    holds!(before == captured.whole(&entry), "an old file changed before the new one was committed");
    let other = Entry { size_bytes: 5, ..entry.clone() };
    writer.commit(&other).map_err(|error| error.to_string())?;
    let after = read_back(target.as_ref(), &other)?;
    holds!(after == b"other", "after the commit the file has {} bytes that are not the new ones", after.len());
    Ok(())
}

/// The names in a directory that are none of those captured there, and not `left_out`.
fn extra(
    target: &dyn RestoreTarget,
    captured: &Captured,
    directory: &EntryPath,
    left_out: Option<&EntryPath>,
) -> Result<Vec<Vec<u8>>, String> {
    let inside = captured.entries.iter().filter(|entry| entry.path.parent().as_ref() == Some(directory));
    let keep: Vec<Vec<u8>> =
        inside.filter(|entry| Some(&entry.path) != left_out).map(|entry| entry.path.name().to_vec()).collect();
    target.extra_names(directory, &keep).map_err(|error| error.to_string())
}

fn extra_names_are_those_that_are_not_kept(harness: &dyn Harness, _: u64) -> Result<(), String> {
    let (captured, target) = restored(harness)?;
    let directories = captured.entries.iter().filter(|entry| entry.kind == EntryKind::Directory);
    for directory in directories {
        let names = extra(target.as_ref(), &captured, &directory.path, None)?;
        holds!(names.is_empty(), "in {:?} everything is kept, and these are named: {names:?}", directory.path);
    }
    let entry = some_file(&captured)?;
    let parent = entry.path.parent().ok_or("the file lies in no directory")?;
    let names = extra(target.as_ref(), &captured, &parent, Some(&entry.path))?;
    holds!(names == [entry.path.name().to_vec()], "{:?} is not kept, and these are named: {names:?}", entry.path);
    Ok(())
}

fn what_is_removed_is_gone(harness: &dyn Harness, _: u64) -> Result<(), String> {
    let (captured, target) = restored(harness)?;
    let below = |directory: &EntryPath| captured.entries.iter().filter(|e| e.path.is_within(directory)).count();
    let directories = captured.entries.iter().filter(|entry| entry.kind == EntryKind::Directory);
    // The innermost one that something lies in.
    let found = directories.filter(|entry| below(&entry.path) > 1).min_by_key(|entry| below(&entry.path));
    let directory = found.ok_or("there is no directory with something in it to try it with")?;
    target.remove(&directory.path).map_err(|error| error.to_string())?;
    for entry in &captured.entries {
        let expected = !entry.path.is_within(&directory.path);
        // What lies below something that is gone may also be refused.
        let found = target.inspect(&entry.path).ok().flatten().is_some();
        holds!(found == expected, "{:?} was removed; {:?} is there: {found}", directory.path, entry.path);
    }
    Ok(())
}
