//! `backup key`: what opens the repository.

mod escrow;
pub(crate) mod kit;
mod slot;

use backup_engine::format::slot::SlotType;
use backup_engine::repository::{KeyError, NewKey, Repository, Unlock};
use serde::Serialize;

use super::init::slot_note;
use crate::args::key::{AddArgs, KeyCommand, NewSecretArgs};
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::human;
use crate::unlock;

#[derive(Serialize)]
struct KeyLine {
    id: String,
    kind: &'static str,
    label: Option<String>,
    created: Option<String>,
    host: Option<String>,
    user: Option<String>,
}

#[derive(Serialize)]
struct Added {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<String>,
}

#[derive(Serialize)]
struct Removed {
    removed: String,
}

#[derive(Serialize)]
struct Written {
    recovery_kit: String,
}

pub(crate) async fn run(context: &Context, command: KeyCommand) -> Result<Exit, CliError> {
    match command {
        KeyCommand::List => list(context).await,
        KeyCommand::Add(args) => add(context, args).await,
        KeyCommand::Remove { id } => remove(context, &id).await,
        KeyCommand::Passwd(args) => passwd(context, &args).await,
        KeyCommand::GenerateEscrow { out } => escrow::generate(context, &out),
        KeyCommand::RecoveryKit { kit } => {
            let place = context.place()?;
            let repository = context.open_at(&place).await?;
            let path = kit::make(context, &place, &repository, kit).await?;
            let output = &context.output;
            let summary = Written { recovery_kit: path.display().to_string() };
            output.finished(output.json("summary", &summary), Exit::Done)
        }
    }
}

/// The type of a key in words.
fn kind(slot_type: SlotType) -> &'static str {
    match slot_type {
        SlotType::Password => "password",
        SlotType::KeyFile => "key-file",
        SlotType::RecoveryKit => "recovery-kit",
        SlotType::Keyring => "keyring",
        SlotType::Escrow => "escrow",
    }
}

async fn list(context: &Context) -> Result<Exit, CliError> {
    let repository = context.open().await?;
    let keys = context.interrupt.or_stop(repository.list_keys()).await?;
    let keys = keys.map_err(|error| CliError::from_error("cannot list the keys", &error))?;
    let output = &context.output;
    let mut rows = vec![["ID", "TYPE", "LABEL", "MADE", "BY"].map(str::to_owned).to_vec()];
    for key in keys {
        let note = key.note;
        let line = KeyLine {
            id: key.id.to_string(),
            kind: kind(key.slot_type),
            label: note.label,
            created: note.created,
            host: note.host,
            user: note.user,
        };
        output.json("key", &line)?;
        let made = line.created.as_deref().and_then(backup_engine::snapshots::parse_time);
        let by = [line.user, line.host].into_iter().flatten().collect::<Vec<_>>().join("@");
        rows.push(vec![
            line.id[..8].to_owned(),
            line.kind.to_owned(),
            line.label.unwrap_or_default(),
            made.map(human::time).unwrap_or_default(),
            by,
        ]);
    }
    if !output.is_json() {
        human::columns(&rows, &[]).iter().try_for_each(|line| output.line(line))?;
    }
    Ok(Exit::Done)
}

async fn add(context: &Context, args: AddArgs) -> Result<Exit, CliError> {
    let recipient = args.escrow_recipient.as_deref().map(escrow::recipient).transpose()?;
    let repository = context.open().await?;
    let key = match recipient {
        Some(public) => NewKey::Escrow(public),
        None => unlock::new_secret(context, &args.secret)?,
    };
    let id = repository.add_key(&key, &slot_note(context, args.label)).await;
    let id = id.map_err(|error| CliError::from_error("no key was added", &error))?.to_string();
    let output = &context.output;
    let text = format!("added the key {}", &id[..8]);
    let written = output.json("summary", &Added { id, removed: None }).and_then(|()| output.report(text));
    output.finished(written, Exit::Done)
}

async fn remove(context: &Context, id: &str) -> Result<Exit, CliError> {
    let repository = context.open().await?;
    let removed = remove_slot(&repository, id).await?;
    let output = &context.output;
    let text = format!("removed the key {}", &removed[..8]);
    let written = output.json("summary", &Removed { removed }).and_then(|()| output.report(text));
    output.finished(written, Exit::Done)
}

async fn remove_slot(repository: &Repository, id: &str) -> Result<String, CliError> {
    let removed = repository.remove_key(id).await.map_err(|error| {
        let failed = CliError::from_error(format!("cannot remove the key `{id}`"), &error);
        match error {
            KeyError::NotFound(_) | KeyError::Ambiguous(_) => failed.hint("`backup key list` shows the ids"),
            KeyError::LastSlot => failed.hint("add another key first: `backup key add`"),
            _ => failed,
        }
    })?;
    Ok(removed.to_string())
}

/// Adds the new password before the old one goes: there is no moment without one.
async fn passwd(context: &Context, args: &NewSecretArgs) -> Result<Exit, CliError> {
    let place = context.place()?;
    let (repository, opened_with) = context.open_with(&place).await?;
    let Unlock::Password(old) = &opened_with else {
        return Err(CliError::usage("the repository was not opened with a password, so there is none to replace")
            .hint("add one with `backup key add`, and remove what you don't want with `backup key remove`"));
    };
    let old = slot::opened_by(&repository, old.as_bytes()).await?;
    let key = unlock::new_secret(context, args)?;
    let note = slot_note(context, old.note.label.clone());
    let id = repository.add_key(&key, &note).await;
    let id = id.map_err(|error| CliError::from_error("the password was not changed", &error))?.to_string();
    let removed = remove_slot(&repository, &old.id.to_string()).await?;
    let output = &context.output;
    let text = format!("the password was changed: key {} instead of {}", &id[..8], &removed[..8]);
    let written = output.json("summary", &Added { id, removed: Some(removed) }).and_then(|()| output.report(text));
    output.finished(written, Exit::Done)
}
