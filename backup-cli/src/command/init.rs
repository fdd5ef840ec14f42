//! `backup init`: makes a repository.

use std::sync::Arc;

use backup_engine::crypto::kdf::PasswordCost;
use backup_engine::format::slot::SlotNote;
use backup_engine::repository::{InitError, InitOptions, NewKey, Repository};
use serde::Serialize;

use crate::args::InitArgs;
use crate::context::{Context, Place};
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::unlock;

#[derive(Serialize)]
struct Summary {
    repository: String,
    id: String,
    format_version: u64,
    /// Whether the store refuses to put over what is there, as it declares.
    create_only: bool,
}

pub(crate) async fn run(context: &Context, args: InitArgs) -> Result<Exit, CliError> {
    let place = context.place()?;
    let key = first_key(context, &place)?;
    let repository = init_at(context, &place, &key, args.label).await?;
    let refuses = context.interrupt.or_stop(repository.refuses_to_overwrite()).await?;
    let create_only =
        refuses.map_err(|error| CliError::from_error("the repository was made, but not looked at again", &error))?;
    let output = &context.output;
    if !create_only {
        output.warn(
            "this store accepts create-only puts and ignores that they are: never make two repositories in one place at once there, and say \
             so in its options where it has one for it (`conditional_puts = false` of `s3`)",
        );
    }
    let summary = Summary {
        create_only,
        repository: place.location(),
        id: repository.config().id.to_string(),
        format_version: repository.config().version,
    };
    let written = output
        .json("summary", &summary)
        .and_then(|()| output.report(format!("made the repository {}", place.shown())))
        .and_then(|()| output.report("make a recovery kit next: backup key recovery-kit"));
    output.finished(written, Exit::Done)
}

/// The first key: a key file that is made if need be, or a password that was given or is asked for.
fn first_key(context: &Context, place: &Place) -> Result<NewKey, CliError> {
    let means = match &context.global.key_file {
        Some(file) => Some(unlock::new_key_file(file)?),
        None => unlock::given(context, place)?,
    };
    match means {
        Some(means) => means.new_key().ok_or_else(|| {
            CliError::usage("a recovery kit or an escrow key can't be the first key")
                .hint("give a password; `backup key recovery-kit` makes a kit")
        }),
        None => Ok(NewKey::Password(unlock::ask_new(context, "New password: ")?, PasswordCost::RECOMMENDED)),
    }
}

/// Makes a repository at a place.
pub(crate) async fn init_at(
    context: &Context,
    place: &Place,
    key: &NewKey,
    label: Option<String>,
) -> Result<Repository, CliError> {
    let backend = context.connect(place).await?;
    let mut options = InitOptions::default();
    options.note = slot_note(context, label);
    Repository::init(backend, key, &options, Arc::clone(&context.clock)).await.map_err(|error| {
        let failed = CliError::from_error(format!("cannot make a repository at {}", place.shown()), &error);
        match error {
            InitError::AlreadyExists => failed.hint("use it as it is, or name another place with `-r PATH`"),
            InitError::DamagedRepository(_) => failed.hint(unlock::CONFIG_COMES_BACK),
            InitError::NotEmpty(_) => failed.hint("name an empty or a new folder with `-r PATH`"),
            _ => failed,
        }
    })
}

/// What is noted with a new key slot.
pub(crate) fn slot_note(context: &Context, label: Option<String>) -> SlotNote {
    SlotNote {
        label,
        created: Some(context.clock.now().to_string()),
        host: Some(context.environment.host()),
        user: Some(context.environment.user()),
    }
}
