//! Making a recovery kit.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use backup_engine::repository::keys::{encode_recovery_code, new_recovery_code};
use backup_engine::repository::{NewKey, Repository};

use crate::command::init::slot_note;
use crate::context::{Context, Place};
use crate::error::CliError;
use crate::unlock::{self, KitText};

/// Writes a kit and adds its code as a key.
///
/// The file is written first: a code that nobody knows would open the repository for nobody.
pub(crate) async fn make(
    context: &Context,
    place: &Place,
    repository: &Repository,
    wanted: Option<PathBuf>,
) -> Result<PathBuf, CliError> {
    let id = repository.config().id.to_string();
    let made = context.clock.now().to_string();
    let path = match wanted {
        Some(path) => path,
        None => {
            let folder = context.environment.config_folder().ok_or_else(unlock::no_folder)?.join("recovery-kits");
            folder.join(format!("{}-{}.txt", &id[..8], made.replace(':', "")))
        }
    };
    refuse_inside(place, &path)?;
    let secret = new_recovery_code();
    let code = encode_recovery_code(&secret);
    let config = context.interrupt.or_stop(repository.config_object()).await?;
    let config = config.map_err(|error| CliError::from_error("no recovery kit was made", &error))?;
    let kit = KitText { repository: &place.absolute_location(), id, made, config };
    unlock::write_kit(&path, &kit, &code).map_err(|error| {
        CliError::from_error(format!("cannot write the recovery kit `{}`", path.display()), &error)
            .hint("name a file that isn't there yet: `--kit FILE`")
    })?;
    let added = repository.add_key(&NewKey::RecoveryCode(secret), &slot_note(context, None)).await;
    if let Err(error) = added {
        // A kit that opens nothing would be trusted.
        let _ = std::fs::remove_file(&path);
        return Err(CliError::from_error("no recovery kit was made", &error));
    }
    context.output.report(format!("recovery kit: {}", path.display()))?;
    context.output.report("   print it, keep it away from this computer, and delete the file")?;
    // Only for eyes: a log or a pipe would keep it.
    if std::io::stderr().is_terminal() && !context.output.is_json() {
        context.output.say(format!("   its code: {}", *code));
    }
    Ok(path)
}

/// A kit inside the repository would be lost with it, and open it for whoever has it.
fn refuse_inside(place: &Place, kit: &Path) -> Result<(), CliError> {
    let Ok(repository) = Path::new(&place.location()).canonicalize() else { return Ok(()) };
    let Ok(absolute) = std::path::absolute(kit) else { return Ok(()) };
    let parent = absolute.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
    match parent.is_some_and(|parent| parent.starts_with(&repository)) {
        true => Err(CliError::usage("the recovery kit would lie inside the repository that it opens")
            .hint("name another place: `--kit FILE`")),
        false => Ok(()),
    }
}
