//! With what a repository is opened, and where that comes from.
//!
//! In this order: `--key-file`, `--escrow-key-file`, `--recovery-kit`, `--password-file`, `--password-command`; the variables
//! BACKUP_PASSWORD, BACKUP_PASSWORD_FILE, BACKUP_PASSWORD_COMMAND, BACKUP_KEY_FILE; the repository's `password` in the
//! configuration; a key file that `quickstart` made for this repository; a question on the terminal.

mod kit;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_core::{Secret, SecretError, SecretRef, StorageBackend};
use backup_engine::crypto::escrow::EscrowPrivateKey;
use backup_engine::crypto::kdf::PasswordCost;
use backup_engine::id::RepositoryId;
use backup_engine::repository::{NewKey, OpenError, Repository, Unlock, read_config};
use zeroize::Zeroizing;

use crate::args::key::NewSecretArgs;
use crate::context::{Context, Place};
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::interrupt::interrupted;
use crate::secrets;

use kit::code_in;
pub(crate) use kit::create_private;
pub(crate) use kit::{KitText, write as write_kit};

/// What opens a repository.
pub(crate) enum Means {
    Password(Zeroizing<String>),
    KeyFile(Zeroizing<Vec<u8>>),
    RecoveryCode(Zeroizing<String>),
    Escrow(EscrowPrivateKey),
}

impl Means {
    fn unlock(self) -> Unlock {
        match self {
            Self::Password(password) => Unlock::Password(password),
            Self::KeyFile(key) => Unlock::Key(key),
            Self::RecoveryCode(code) => Unlock::RecoveryCode(code),
            Self::Escrow(private) => Unlock::Escrow(private),
        }
    }

    /// The same as the key of a new slot; `None` for recovery codes and private keys kept elsewhere, which are never the first key.
    pub(crate) fn new_key(&self) -> Option<NewKey> {
        match self {
            Self::Password(password) => Some(NewKey::password(password.as_str())),
            Self::KeyFile(key) => Some(NewKey::KeyFile(key.clone())),
            Self::RecoveryCode(_) | Self::Escrow(_) => None,
        }
    }
}

/// Opens the repository at a place; gives back with what, for commands that change that.
pub(crate) async fn open(
    context: &Context,
    place: &Place,
    backend: Arc<dyn StorageBackend>,
) -> Result<(Repository, Unlock), CliError> {
    // Nobody is asked for the password of a repository that isn't there.
    let id = identify(place, &*backend).await?;
    let (means, asked) = match given(context, place)? {
        Some(means) => (means, false),
        None => match kept_key(context, id)? {
            Some(means) => (means, false),
            None => (Means::Password(ask(context, &format!("Password for {}: ", place.shown()))?), true),
        },
    };
    let unlock = means.unlock();
    let opened = Repository::open(backend, &unlock, Arc::clone(&context.clock)).await;
    opened.map(|repository| (repository, unlock)).map_err(|error| open_failed(place, &error, asked))
}

/// What the repository at a place calls itself.
async fn identify(place: &Place, backend: &dyn StorageBackend) -> Result<RepositoryId, CliError> {
    let failed = |error: OpenError| open_failed(place, &error, false);
    Ok(read_config(backend).await.map_err(failed)?.repository())
}

/// How a repository without its `config` gets it again.
pub(crate) const CONFIG_COMES_BACK: &str =
    "bring the object `config` back from a copy of the repository, or from the two lines of it in the recovery kit";

fn open_failed(place: &Place, error: &OpenError, asked: bool) -> CliError {
    let failed = CliError::from_error(format!("cannot open the repository {}", place.shown()), error);
    match error {
        OpenError::NotFound => failed.hint(match &place.nearest {
            Some(name) => format!("did you mean the configured `{name}`?"),
            None if place.is_default => {
                "name the repository: `-r PATH`, or BACKUP_REPOSITORY; `backup quickstart FOLDER` makes one here"
                    .to_owned()
            }
            None => format!("make one with `backup -r {} init`", quoted(&place.named)),
        }),
        OpenError::ConfigLost(_) => failed.hint(CONFIG_COMES_BACK),
        OpenError::TornConfig(_) => failed.hint(format!(
            "`backup -r {} init` finishes what was begun; if it finds data already, {CONFIG_COMES_BACK}",
            quoted(&place.named)
        )),
        OpenError::NotARepository(_) => failed.hint("name the folder of a repository, or another one to `init`"),
        OpenError::NewerVersion(_) => failed.hint("use a newer version of this program; nothing was changed"),
        OpenError::WrongKey { .. } if asked => failed.hint("try again, or use `--recovery-kit FILE`"),
        OpenError::WrongKey { .. } => failed.hint(
            "look at BACKUP_PASSWORD, `--password-file` or the configuration; `--recovery-kit FILE` opens it too",
        ),
        OpenError::KeysLost(_) => failed.hint("bring back the folder `keys` from a copy of the repository"),
        _ => failed,
    }
}

/// A word of a command line as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// What flags, environment and configuration give, in this order.
pub(crate) fn given(context: &Context, place: &Place) -> Result<Option<Means>, CliError> {
    let global = &context.global;
    let variable = |name: &str| context.environment.variable(name);
    let path = |name: &str| variable(name).map(PathBuf::from);
    if let Some(file) = &global.key_file {
        return key_file(file).map(Some);
    }
    if let Some(file) = &global.escrow_key_file {
        return escrow_key(file).map(Some);
    }
    if let Some(file) = &global.recovery_kit {
        return recovery_kit(file).map(Some);
    }
    if let Some(file) = &global.password_file {
        return password_file(context, file).map(Some);
    }
    if let Some(command) = &global.password_command {
        return password_command(context, command).map(Some);
    }
    if variable("BACKUP_PASSWORD").is_some() {
        return password(context, &SecretRef::Env("BACKUP_PASSWORD".to_owned())).map(Some);
    }
    if let Some(file) = path("BACKUP_PASSWORD_FILE") {
        return password_file(context, &file).map(Some);
    }
    if let Some(command) = context.environment.text("BACKUP_PASSWORD_COMMAND") {
        return password_command(context, &command).map(Some);
    }
    if let Some(file) = path("BACKUP_KEY_FILE") {
        return key_file(&file).map(Some);
    }
    place.config.password.as_ref().map(|reference| password(context, reference)).transpose()
}

fn password(context: &Context, reference: &SecretRef) -> Result<Means, CliError> {
    let secret = context.secrets()?.resolve(reference).map_err(|error| no_secret("the password", &error))?;
    text(&secret).map(Means::Password)
}

fn text(secret: &Secret) -> Result<Zeroizing<String>, CliError> {
    let text =
        secret.expose_text().map_err(|kind| CliError::usage("the password can't be used").because(kind.to_string()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn password_file(context: &Context, file: &Path) -> Result<Means, CliError> {
    let path = file.to_str().ok_or_else(|| CliError::usage("the password file's path is no text"))?;
    password(context, &SecretRef::File(path.to_owned()))
}

fn password_command(context: &Context, command: &str) -> Result<Means, CliError> {
    let reference = SecretRef::parse(&format!("cmd:{command}"))
        .map_err(|error| CliError::usage("the password command can't be used").because(error.to_string()))?;
    password(context, &reference)
}

fn no_secret(what: &str, error: &SecretError) -> CliError {
    CliError::new(Exit::Usage, format!("cannot read {what}")).caused_by(error)
}

fn key_file(file: &Path) -> Result<Means, CliError> {
    let bytes = secrets::file_bytes(file)
        .map_err(|reason| CliError::usage(format!("cannot read the key file `{}`", file.display())).because(reason))?;
    if bytes.is_empty() {
        return Err(CliError::usage(format!("the key file `{}` is empty", file.display())));
    }
    Ok(Means::KeyFile(bytes))
}

fn escrow_key(file: &Path) -> Result<Means, CliError> {
    let failed = || CliError::usage(format!("cannot use the private key `{}`", file.display()));
    let bytes = secrets::file_bytes(file).map_err(|reason| failed().because(reason))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| failed().because("it is no text"))?;
    let key = EscrowPrivateKey::parse(text).map_err(|error| {
        failed()
            .caused_by(&error)
            .hint("it is the file that `backup key generate-escrow` wrote; the public key opens nothing")
    })?;
    Ok(Means::Escrow(key))
}

fn recovery_kit(file: &Path) -> Result<Means, CliError> {
    let failed = || CliError::usage(format!("cannot use the recovery kit `{}`", file.display()));
    let bytes = secrets::any_file_bytes(file).map_err(|reason| failed().because(reason))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| failed().because("it is no text"))?;
    let code = code_in(text).ok_or_else(|| {
        failed()
            .because("there is no complete recovery code in it")
            .hint("the code has fourteen groups of four letters; compare each with the paper")
    })?;
    Ok(Means::RecoveryCode(code))
}

/// Where the key file lies that opens a repository without a password.
pub(crate) fn kept_key_path(context: &Context, id: RepositoryId) -> Option<PathBuf> {
    Some(context.environment.config_folder()?.join("keys").join(format!("{id}.key")))
}

fn kept_key(context: &Context, id: RepositoryId) -> Result<Option<Means>, CliError> {
    match kept_key_path(context, id) {
        Some(path) if path.exists() => key_file(&path).map(Some),
        _ => Ok(None),
    }
}

/// Keeps a new key where later commands find it by themselves. Before the repository has an id, the key lies under a name of
/// its own, so that no moment is without it.
pub(crate) struct KeptKey {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    path: PathBuf,
}

impl KeptKey {
    pub(crate) fn new(context: &Context) -> Result<Self, CliError> {
        let folder = context.environment.config_folder().ok_or_else(no_folder)?.join("keys");
        let bytes =
            secrets::new_key().map_err(|reason| CliError::new(Exit::Failed, "cannot make a key").because(reason))?;
        let stamp = context.clock.now().to_string().replace(':', "");
        let path = folder.join(format!("new-{stamp}-{}.key", std::process::id()));
        create_private(&path, &bytes)
            .map_err(|error| CliError::from_error(format!("cannot keep the key file `{}`", path.display()), &error))?;
        Ok(Self { bytes, path })
    }

    /// Gives the key the name by which it is found.
    pub(crate) fn belongs_to(self, context: &Context, id: RepositoryId) -> Result<PathBuf, CliError> {
        let path = kept_key_path(context, id).ok_or_else(no_folder)?;
        std::fs::rename(&self.path, &path).map_err(|error| {
            CliError::from_error(format!("the key stays in `{}`", self.path.display()), &error)
                .hint("open the repository with `--key-file` and that file")
        })?;
        Ok(path)
    }

    /// Takes it away again: the repository was not made.
    pub(crate) fn discard(self) {
        // An unused key left behind hurts nobody.
        let _ = std::fs::remove_file(&self.path);
    }
}

pub(crate) fn no_folder() -> CliError {
    CliError::usage("this user has no configuration folder").hint("set HOME or XDG_CONFIG_HOME")
}

/// The secret for a new key slot: a file, a program, BACKUP_NEW_PASSWORD, a question.
pub(crate) fn new_secret(context: &Context, args: &NewSecretArgs) -> Result<NewKey, CliError> {
    let means = if let Some(file) = &args.new_key_file {
        Some(new_key_file(file)?)
    } else if let Some(file) = &args.new_password_file {
        Some(password_file(context, file)?)
    } else if let Some(command) = &args.new_password_command {
        Some(password_command(context, command)?)
    } else if context.environment.variable("BACKUP_NEW_PASSWORD").is_some() {
        Some(password(context, &SecretRef::Env("BACKUP_NEW_PASSWORD".to_owned()))?)
    } else {
        None
    };
    match means.and_then(|means| means.new_key()) {
        Some(key) => Ok(key),
        None => Ok(NewKey::Password(ask_new(context, "New password: ")?, PasswordCost::RECOMMENDED)),
    }
}

/// The key in a file, which is made if it is not there.
pub(crate) fn new_key_file(file: &Path) -> Result<Means, CliError> {
    match secrets::new_key() {
        Ok(key) if !file.exists() => match create_private(file, &key) {
            Ok(()) => Ok(Means::KeyFile(key)),
            Err(error) => Err(CliError::from_error(format!("cannot make the key file `{}`", file.display()), &error)),
        },
        Ok(_) => key_file(file),
        Err(reason) => Err(CliError::new(Exit::Failed, "cannot make a key").because(reason)),
    }
}

/// Asks for a password.
pub(crate) fn ask(context: &Context, question: &str) -> Result<Zeroizing<String>, CliError> {
    if context.global.no_input || context.output.is_json() || !context.environment.can_ask() {
        return Err(CliError::usage("no password is given and there is nobody to ask").hint(
            "set BACKUP_PASSWORD, or use `--password-file FILE`, `--password-command COMMAND` or `--key-file FILE`",
        ));
    }
    // The question switches signals off and raises them itself; caught, the terminal is put back in order first.
    context.interrupt.listen(&context.output);
    let answer = rpassword::prompt_password(question).map(Zeroizing::new).map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => interrupted(),
        io::ErrorKind::UnexpectedEof => CliError::usage("no password was given"),
        _ => CliError::from_error("cannot read the password", &error),
    })?;
    if context.interrupt.token().is_cancelled() { Err(interrupted()) } else { Ok(answer) }
}

/// Asks for a new password, twice.
pub(crate) fn ask_new(context: &Context, question: &str) -> Result<Zeroizing<String>, CliError> {
    /// Who mistypes it three times wants to begin again.
    const ATTEMPTS: usize = 3;
    for _ in 0..ATTEMPTS {
        let password = ask(context, question)?;
        if password.is_empty() {
            context.output.warn("an empty password protects nothing");
            continue;
        }
        if *password == *ask(context, "Once more, to be sure: ")? {
            return Ok(password);
        }
        context.output.warn("the two are not the same");
    }
    Err(CliError::usage("no password was chosen"))
}
