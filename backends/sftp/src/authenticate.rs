//! Proving who we are: keys that somebody named, the agent's, the usual files, then a password.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_core::Secret;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use russh::{MethodKind, MethodSet};

use crate::connection::{Handler, NotConnected};
use crate::destination::Destination;

/// Keys that are tried: servers cut the connection after six attempts by default, and a password may have to follow.
const MAX_KEYS: usize = 5;

/// Questions of a server that are answered in a row.
const MAX_QUESTIONS: usize = 4;

/// Of a file that is said to hold a key, so much is read; the largest RSA keys have a quarter of it.
const MAX_KEY_FILE_BYTES: u64 = 64 << 10;

/// What secrets there are.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    pub(crate) passphrase: Option<Secret>,
    pub(crate) password: Option<Secret>,
}

/// What was tried in vain, for the error.
#[derive(Debug, Default)]
struct Tried {
    what: Vec<String>,
    /// What stood in the way of trying more.
    skipped: Vec<String>,
    keys: usize,
}

impl Tried {
    fn error(self, remaining: &MethodSet) -> NotConnected {
        let mut text = match self.what.is_empty() {
            true => "there is nothing to prove who we are with".to_owned(),
            false => format!("the server refused {}", self.what.join(", ")),
        };
        let accepted: Vec<&str> = remaining.iter().map(<&str>::from).collect();
        if !accepted.is_empty() {
            text = format!("{text}; it accepts {}", accepted.join(", "));
        }
        for skipped in self.skipped {
            text = format!("{text}; {skipped}");
        }
        NotConnected::Unauthenticated(text)
    }
}

/// Logs in.
pub(crate) async fn authenticate(
    session: &mut Handle<Handler>,
    to: &Destination,
    secrets: &Secrets,
) -> Result<(), NotConnected> {
    let user = to.user.as_str();
    let mut tried = Tried::default();
    // Tells which ways there are; few servers let anybody in.
    let mut remaining = match session.authenticate_none(user).await? {
        AuthResult::Success => return Ok(()),
        AuthResult::Failure { remaining_methods, .. } => remaining_methods,
    };
    still_there(session, to, &remaining)?;
    if remaining.contains(&MethodKind::PublicKey) {
        match with_keys(session, to, secrets, &mut tried, &mut remaining).await? {
            Outcome::In => return Ok(()),
            Outcome::Refused => still_there(session, to, &remaining)?,
        }
    }
    let Some(password) = &secrets.password else { return Err(tried.error(&remaining)) };
    let password = text(password, "login_password")?;
    if remaining.contains(&MethodKind::Password) {
        tried.what.push("the password".to_owned());
        match session.authenticate_password(user, password).await? {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure { remaining_methods, .. } => remaining = remaining_methods,
        }
        still_there(session, to, &remaining)?;
    }
    if remaining.contains(&MethodKind::KeyboardInteractive) {
        tried.what.push("the password as an answer to its question".to_owned());
        if with_answers(session, user, password, &mut remaining).await? {
            return Ok(());
        }
        still_there(session, to, &remaining)?;
    }
    Err(tried.error(&remaining))
}

/// A connection that ends looks like a refusal that leaves no way open.
fn still_there(session: &Handle<Handler>, to: &Destination, remaining: &MethodSet) -> Result<(), NotConnected> {
    match session.is_closed() || remaining.is_empty() {
        true => Err(NotConnected::Unreachable(format!("{} ended the connection while we logged in", to.host))),
        false => Ok(()),
    }
}

fn text<'a>(secret: &'a Secret, option: &str) -> Result<&'a str, NotConnected> {
    secret.expose_text().map_err(|_| NotConnected::Config(format!("`{option}` is no text")))
}

enum Outcome {
    In,
    Refused,
}

/// Tries keys until one is accepted. One that is accepted but not enough ends it, too: what is missing is another way.
async fn with_keys(
    session: &mut Handle<Handler>,
    to: &Destination,
    secrets: &Secrets,
    tried: &mut Tried,
    remaining: &mut MethodSet,
) -> Result<Outcome, NotConnected> {
    let mut agent = Agent::reach(to.agent.as_deref(), tried).await;
    let named = to.identities.iter().map(|file| (file, to.identities_are_ours));
    let usual = to.usual_identities.iter().map(|file| (file, false));
    // The agent's own keys stand between the files that somebody named and those that may just be there.
    let mut agents = agent.as_mut().map(|agent| std::mem::take(&mut agent.keys)).unwrap_or_default();
    let count = to.identities.len();
    for (number, (file, is_named)) in named.chain(usual).enumerate() {
        // What is accepted may not be enough; what is missing then is another way.
        if !remaining.contains(&MethodKind::PublicKey) {
            return Ok(Outcome::Refused);
        }
        if number >= count && !agents.is_empty() {
            for key in std::mem::take(&mut agents) {
                if let Some(agent) = &mut agent
                    && agent.accepted(session, to, key, tried, remaining).await?
                {
                    return Ok(Outcome::In);
                }
            }
        }
        let public = public_half(file).await;
        // What the agent holds needs no passphrase.
        let held = agents.iter().position(|(key, _)| public.as_ref().is_some_and(|public| same(public, key)));
        if let (Some(at), Some(agent)) = (held, &mut agent) {
            let key = agents.swap_remove(at);
            if agent.accepted(session, to, key, tried, remaining).await? {
                return Ok(Outcome::In);
            }
            continue;
        }
        match private_key(file, is_named, secrets.passphrase.as_ref()).await? {
            Found::Key(key) => {
                let hash = hash_for(session, key.public_key()).await?;
                if !tried.may_try() {
                    continue;
                }
                tried.what.push(format!("the key {}", file.display()));
                let key = PrivateKeyWithHashAlg::new(key, hash);
                let result = session.authenticate_publickey(&to.user, key).await?;
                if is_in(result, remaining) {
                    return Ok(Outcome::In);
                }
            }
            Found::Nothing => {}
            Found::Locked => {
                tried.skipped.push(format!("{} has a passphrase, and none is given", file.display()));
            }
        }
    }
    if !to.identities_only {
        for key in agents {
            if let Some(agent) = &mut agent
                && agent.accepted(session, to, key, tried, remaining).await?
            {
                return Ok(Outcome::In);
            }
        }
    }
    Ok(Outcome::Refused)
}

impl Tried {
    fn may_try(&mut self) -> bool {
        self.keys += 1;
        self.keys <= MAX_KEYS
    }
}

fn is_in(result: AuthResult, remaining: &mut MethodSet) -> bool {
    match result {
        AuthResult::Success => true,
        AuthResult::Failure { remaining_methods, .. } => {
            *remaining = remaining_methods;
            false
        }
    }
}

fn same(a: &PublicKey, b: &PublicKey) -> bool {
    a.key_data() == b.key_data()
}

/// The hash that signatures of an RSA key are made with; the old one only where the server knows no other.
async fn hash_for(session: &Handle<Handler>, key: &PublicKey) -> Result<Option<HashAlg>, NotConnected> {
    if !key.algorithm().is_rsa() {
        return Ok(None);
    }
    Ok(session.best_supported_rsa_hash().await?.unwrap_or(Some(HashAlg::Sha512)))
}

/// The public key beside a private one, if there is such a file.
async fn public_half(file: &Path) -> Option<PublicKey> {
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    let content = read(&PathBuf::from(name)).await.ok()?;
    content.parse().ok()
}

enum Found {
    Key(Arc<PrivateKey>),
    Nothing,
    Locked,
}

async fn private_key(file: &Path, is_named: bool, passphrase: Option<&Secret>) -> Result<Found, NotConnected> {
    let wrong = |why: String| NotConnected::Config(format!("the key {}: {why}", file.display()));
    let content = match read(file).await {
        Ok(content) => content,
        Err(_) if !is_named => return Ok(Found::Nothing),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let passphrase = passphrase.map(|secret| text(secret, "passphrase")).transpose()?.map(str::to_owned);
    // Making a key out of a passphrase takes a good part of a second.
    let had_passphrase = passphrase.is_some();
    let decoding =
        tokio::task::spawn_blocking(move || russh::keys::decode_secret_key(&content, passphrase.as_deref())).await;
    match decoding.map_err(|error| wrong(error.to_string()))? {
        Ok(key) => Ok(Found::Key(Arc::new(key))),
        Err(russh::keys::Error::KeyIsEncrypted) => Ok(Found::Locked),
        Err(_) if !is_named => Ok(Found::Nothing),
        Err(error) if had_passphrase => Err(wrong(format!("{error}; is the passphrase right?"))),
        Err(error) => Err(wrong(error.to_string())),
    }
}

async fn read(file: &Path) -> std::io::Result<String> {
    let file = file.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        use std::io::Read;
        let mut content = String::new();
        std::fs::File::open(file)?.take(MAX_KEY_FILE_BYTES).read_to_string(&mut content)?;
        Ok(content)
    });
    reading.await.map_err(std::io::Error::other)?
}

/// Answers each question with the password, as long as the server asks.
async fn with_answers(
    session: &mut Handle<Handler>,
    user: &str,
    password: &str,
    remaining: &mut MethodSet,
) -> Result<bool, NotConnected> {
    let mut asked = session.authenticate_keyboard_interactive_start(user, None).await?;
    let mut answered = false;
    for _ in 0..=MAX_QUESTIONS {
        match asked {
            KeyboardInteractiveAuthResponse::Success => return Ok(true),
            KeyboardInteractiveAuthResponse::Failure { remaining_methods, .. } => {
                *remaining = remaining_methods;
                return Ok(false);
            }
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                // One question whose answer is hidden is for the password, once; whatever else is asked is known to nobody here.
                let answers = match prompts.as_slice() {
                    [] => Vec::new(),
                    [one] if !one.echo && !answered => {
                        answered = true;
                        vec![password.to_owned()]
                    }
                    _ => return Ok(false),
                };
                asked = session.authenticate_keyboard_interactive_respond(answers).await?;
            }
        }
    }
    Ok(false)
}

/// The agent and the keys that it holds.
struct Agent {
    #[cfg(unix)]
    client: AgentClient<tokio::net::UnixStream>,
    keys: Vec<(PublicKey, String)>,
}

impl Agent {
    /// Reaches the agent; one that can't be reached is one that holds nothing.
    #[cfg(unix)]
    async fn reach(socket: Option<&Path>, tried: &mut Tried) -> Option<Self> {
        let mut client = match AgentClient::connect_uds(socket?).await {
            Ok(client) => client,
            Err(error) => {
                tried.skipped.push(format!("the SSH agent could not be reached ({error})"));
                return None;
            }
        };
        match client.request_identities().await {
            Ok(identities) => {
                let keys = identities.into_iter().filter_map(|identity| match identity {
                    AgentIdentity::PublicKey { key, comment } => Some((key, comment)),
                    AgentIdentity::Certificate { .. } => None,
                });
                let keys = keys.collect();
                Some(Self { client, keys })
            }
            Err(error) => {
                tried.skipped.push(format!("the SSH agent did not answer ({error})"));
                None
            }
        }
    }

    #[cfg(not(unix))]
    async fn reach(socket: Option<&Path>, tried: &mut Tried) -> Option<Self> {
        if socket.is_some() {
            tried.skipped.push("the SSH agent is not asked on this system".to_owned());
        }
        None
    }

    #[cfg(unix)]
    async fn accepted(
        &mut self,
        session: &mut Handle<Handler>,
        to: &Destination,
        (key, comment): (PublicKey, String),
        tried: &mut Tried,
        remaining: &mut MethodSet,
    ) -> Result<bool, NotConnected> {
        if !tried.may_try() {
            return Ok(false);
        }
        let hash = hash_for(session, &key).await?;
        tried.what.push(format!("the agent's key {comment}"));
        match session.authenticate_publickey_with(&to.user, key, hash, &mut self.client).await {
            Ok(result) => Ok(is_in(result, remaining)),
            Err(error) => {
                tried.skipped.push(format!("the SSH agent did not sign ({error})"));
                Ok(false)
            }
        }
    }

    #[cfg(not(unix))]
    #[expect(clippy::unused_async, reason = "the same call as where there is an agent")]
    async fn accepted(
        &mut self,
        _session: &mut Handle<Handler>,
        _to: &Destination,
        _key: (PublicKey, String),
        _tried: &mut Tried,
        _remaining: &mut MethodSet,
    ) -> Result<bool, NotConnected> {
        Ok(false)
    }
}
