//! `backup quickstart`: from nothing to a restore that was proven.

mod compare;
mod proof;
mod sample;

use std::path::PathBuf;
use std::sync::Arc;

use backup_core::StorageErrorKind;
use backup_engine::crypto::kdf::PasswordCost;
use backup_engine::format::slot::SlotType;
use backup_engine::layout;
use backup_engine::repository::{NewKey, Repository};
use serde::Serialize;

use super::create::{capture, show, source_failed};
use super::init::init_at;
use super::key::kit;
use crate::args::create::create_options;
use crate::args::narrow::NarrowArgs;
use crate::args::quickstart::QuickstartArgs;
use crate::context::{Context, Place};
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::human;
use crate::plugins;
use crate::unlock::{self, KeptKey, quoted};
use proof::Proof;

#[derive(Serialize)]
struct Summary<'a> {
    repository: String,
    id: String,
    made: bool,
    key_file: Option<String>,
    recovery_kit: Option<String>,
    snapshot: String,
    problems: u64,
    #[serde(flatten)]
    proof: &'a Proof,
}

/// A repository that is ready, and what was made for it.
struct Ready {
    repository: Repository,
    made: bool,
    key_file: Option<PathBuf>,
    kit: Option<PathBuf>,
}

pub(crate) async fn run(context: &Context, args: QuickstartArgs) -> Result<Exit, CliError> {
    let place = match args.to {
        Some(to) => context.place_named(to)?,
        None => context.place()?,
    };
    let sources: Vec<String> = args.paths.iter().map(|path| quoted(&path.to_string_lossy())).collect();
    let options = args.selection.options(args.paths);
    refuse_nonsense(&place, &options.paths)?;
    let source = Arc::from(plugins::paths_source(options).map_err(|error| source_failed(&error))?);
    let mut own = create_options(context)?;
    own.left_out.extend(context.own_folders(&place));
    let ready = prepare(context, &place, args.kit).await?;
    let report = capture(context, &ready.repository, source, own).await?;
    let captured = show(context, "created", &report)?;
    let snapshot = context.snapshot(&ready.repository, &report.snapshot.to_string(), &NarrowArgs::default()).await?;
    let proof = proof::prove(context, &ready.repository, &snapshot).await?;
    let summary = Summary {
        repository: place.location(),
        id: ready.repository.config().id.to_string(),
        made: ready.made,
        key_file: ready.key_file.as_ref().map(|path| path.display().to_string()),
        recovery_kit: ready.kit.as_ref().map(|path| path.display().to_string()),
        snapshot: report.snapshot.to_string(),
        problems: report.problem_count,
        proof: &proof,
    };
    let exit = if proof.holds() { captured } else { Exit::VerificationFailed };
    let output = &context.output;
    let written = output.json("summary", &summary).and_then(|()| conclude(context, &place, &sources, &proof));
    output.finished(written, exit)
}

fn conclude(context: &Context, place: &Place, sources: &[String], proof: &Proof) -> Result<(), CliError> {
    let output = &context.output;
    for failure in &proof.failures {
        output.warn(failure);
    }
    output.report(proof.sentence())?;
    let repository = quoted(&place.named);
    let steps = [
        ("again, every day:", format!("backup -r {repository} create {}", sources.join(" "))),
        ("what there is:", format!("backup -r {repository} snapshots")),
        ("bring files back:", format!("backup -r {repository} restore latest --target DIR")),
        ("verify all of it:", format!("backup -r {repository} check --read-data")),
    ];
    output.report("")?;
    let rows: Vec<Vec<String>> = steps.into_iter().map(|(what, how)| vec![what.to_owned(), how]).collect();
    human::columns(&rows, &[]).iter().try_for_each(|line| output.report(line))
}

/// A repository inside what it protects would store itself.
fn refuse_nonsense(place: &Place, paths: &[PathBuf]) -> Result<(), CliError> {
    let Ok(target) = std::path::absolute(place.location()) else { return Ok(()) };
    let target = target.canonicalize().unwrap_or(target);
    for path in paths {
        let Ok(path) = path.canonicalize() else {
            return Err(CliError::usage(format!("`{}` does not exist", path.display())).hint("name a file or a folder"));
        };
        if target.starts_with(&path) {
            return Err(CliError::usage(format!(
                "the repository {} would lie inside `{}`, which it is to protect",
                place.shown(),
                path.display()
            ))
            .hint("put the backup on another disk, or at least beside the folder"));
        }
    }
    Ok(())
}

/// Opens the repository, or makes it; and sees to it that there is a recovery kit.
async fn prepare(context: &Context, place: &Place, wanted_kit: Option<PathBuf>) -> Result<Ready, CliError> {
    let backend = context.connect(place).await?;
    let made = match backend.stat(&layout::config()).await {
        Ok(_) => false,
        Err(error) if error.kind() == StorageErrorKind::NotFound => true,
        Err(error) => {
            return Err(CliError::from_error(format!("cannot open the repository {}", place.shown()), &error));
        }
    };
    let (repository, key_file) = match made {
        true => make(context, place).await?,
        false => (context.open_at(place).await?, None),
    };
    let keys = repository.list_keys().await.map_err(|error| CliError::from_error("cannot list the keys", &error))?;
    let has_kit = keys.iter().any(|key| key.slot_type == SlotType::RecoveryKit);
    let kit = match has_kit && wanted_kit.is_none() {
        true => None,
        false => Some(kit::make(context, place, &repository, wanted_kit).await?),
    };
    Ok(Ready { repository, made, key_file, kit })
}

/// Makes the repository with the password that is given or asked for; with a key file where there is neither.
async fn make(context: &Context, place: &Place) -> Result<(Repository, Option<PathBuf>), CliError> {
    let output = &context.output;
    let given = unlock::given(context, place)?.and_then(|means| means.new_key());
    let can_ask = context.environment.can_ask() && !context.global.no_input && !output.is_json();
    let (repository, key_file) = match given {
        Some(key) => (init_at(context, place, &key, None).await?, None),
        None if can_ask => {
            let password = unlock::ask_new(context, &format!("Choose a password for {}: ", place.shown()))?;
            (init_at(context, place, &NewKey::Password(password, PasswordCost::RECOMMENDED), None).await?, None)
        }
        None => {
            let kept = KeptKey::new(context)?;
            match init_at(context, place, &NewKey::KeyFile(kept.bytes.clone()), None).await {
                Ok(repository) => {
                    let path = kept.belongs_to(context, repository.config().id)?;
                    (repository, Some(path))
                }
                Err(error) => {
                    kept.discard();
                    return Err(error);
                }
            }
        }
    };
    context.interrupt.listen(output);
    output.report(format!("made the repository {}", place.shown()))?;
    if let Some(path) = &key_file {
        output.report(format!("key file: {}", path.display()))?;
        output.report("   no password was given, so this file opens the repository; later commands find it there")?;
    }
    Ok((repository, key_file))
}
