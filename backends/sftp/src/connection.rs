//! One connection to a server: found, recognised, logged in, and asked what it can do.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backup_core::storage::error::RetryAdvice;
use backup_core::{StorageError, StorageErrorKind, StorageOperation};
use bytes::Bytes;
use russh::client::{Config, Handle, connect_stream};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use russh::{Preferred, cipher};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::authenticate::{Secrets, authenticate};
use crate::client::{Answer, Client};
use crate::destination::Destination;
use crate::failure::Failed;
use crate::known_hosts::{KnownKeys, Untrusted};
use crate::wire::{self, Reply, Request, Status};

/// Bytes that a server may send before it hears that some were taken: enough for a line of 1 Gbit/s and 60 ms.
const WINDOW_BYTES: u32 = 8 << 20;

/// Bytes in one packet of SSH, the largest that every implementation takes.
const PACKET_BYTES: u32 = 32 << 10;

/// A line that is silent for so long is asked whether it is still there.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// Questions without an answer after which a line counts as dead.
const KEEPALIVES: usize = 4;

/// A line on which nothing at all comes is given up after this, whatever else is under way on it.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(120);

/// How long logging in may take, the making of keys on a slow server included.
const LOG_IN_WITHIN: Duration = Duration::from_secs(60);

/// What servers take that say nothing else, data and what stands around it.
const USUAL_TRANSFER_BYTES: u32 = 32 << 10;

/// What OpenSSH takes; more gains nothing.
const MAX_TRANSFER_BYTES: u32 = 255 << 10;

/// Ciphers in hardware first: both ends have less to do.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotConnected {
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    TimedOut(String),
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    #[error("{0}")]
    Unauthenticated(String),
    #[error(transparent)]
    Ssh(#[from] russh::Error),
    #[error(transparent)]
    Sftp(#[from] Failed),
}

impl NotConnected {
    pub(crate) fn into_error(self) -> StorageError {
        let kind = match &self {
            Self::Config(_) => StorageErrorKind::Config,
            Self::TimedOut(_) => StorageErrorKind::Timeout,
            Self::Untrusted(_) => StorageErrorKind::HostKeyMismatch,
            Self::Unauthenticated(_) => StorageErrorKind::Unauthenticated,
            Self::Ssh(russh::Error::NoCommonAlgo { .. }) => StorageErrorKind::Config,
            Self::Sftp(failed) => match failed.kind() {
                StorageErrorKind::NotFound | StorageErrorKind::Unsupported => StorageErrorKind::Config,
                kind => kind,
            },
            Self::Unreachable(_) | Self::Ssh(_) => StorageErrorKind::Unavailable,
        };
        StorageError::new(kind, StorageOperation::Connect).with_detail(self.to_string())
    }

    /// The same for a connection that was there before and has to be made again in the middle of an operation.
    pub(crate) fn into_interruption(self, operation: StorageOperation) -> StorageError {
        let error = self.into_error();
        let retry = error.retry();
        let again = StorageError::new(error.kind(), operation);
        let detail = error.detail().unwrap_or_default();
        let retry = if operation == StorageOperation::Put && retry == RetryAdvice::Verify {
            RetryAdvice::After(Duration::ZERO)
        } else {
            retry
        };
        again.with_retry(retry).with_detail(format!("the connection could not be made again: {detail}"))
    }
}

/// Looks at the server's key.
#[derive(Debug)]
pub(crate) struct Handler {
    known: KnownKeys,
    shown: Shown,
}

/// The key that was shown.
type Shown = Arc<Mutex<Option<PublicKey>>>;

impl russh::client::Handler for Handler {
    type Error = NotConnected;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            // None was asked for.
            return Ok(false);
        };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        self.known.check(key)?;
        Ok(true)
    }
}

/// What a server can do besides the protocol itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// Replaces a name at once.
    pub(crate) posix_rename: bool,
    /// Gives second names and refuses taken ones.
    pub(crate) hardlink: bool,
    pub(crate) fsync: bool,
    pub(crate) statvfs: bool,
    /// Bytes of data in one read and in one write.
    pub(crate) read_bytes: u32,
    pub(crate) write_bytes: u32,
}

/// A connection with one SFTP session on it.
pub(crate) struct Connection {
    pub(crate) client: Arc<Client>,
    pub(crate) abilities: Abilities,
    /// The directory of the store, absolute.
    pub(crate) root: String,
    /// Keeps the connection.
    _session: Handle<Handler>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("abilities", &self.abilities).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, logs in and looks what the server can do. Changes nothing on it.
    pub(crate) async fn open(
        to: &Destination,
        known: KnownKeys,
        secrets: &Secrets,
        folder: &str,
    ) -> Result<Self, NotConnected> {
        let opening = async {
            let mut session = reach(to, known, Shown::default()).await?;
            authenticate(&mut session, to, secrets).await?;
            let channel = session.channel_open_session().await?;
            channel.request_subsystem(true, "sftp").await?;
            let (client, extensions) = Client::greet(channel).await?;
            let root = absolute(&client, folder).await?;
            let abilities = abilities(&client, &extensions, &root).await?;
            Ok(Self { client: Arc::new(client), abilities, root, _session: session })
        };
        let limit = to.connect_timeout + LOG_IN_WITHIN;
        match timeout(limit, opening).await {
            Ok(result) => result,
            Err(_) => Err(NotConnected::TimedOut(format!("{} did not let us in within {limit:?}", to.host))),
        }
    }
}

/// The key that a server shows; nothing is believed and nobody is logged in.
pub(crate) async fn shown_key(to: &Destination, known: KnownKeys) -> Result<PublicKey, NotConnected> {
    let shown = Arc::new(Mutex::new(None));
    let limit = to.connect_timeout + LOG_IN_WITHIN;
    let reached = match timeout(limit, reach(to, known, Arc::clone(&shown))).await {
        Ok(reached) => reached,
        Err(_) => Err(NotConnected::TimedOut(format!("{} did not show its key within {limit:?}", to.host))),
    };
    let key = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (key, reached) {
        (Some(key), _) => Ok(key),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(NotConnected::Unreachable(format!("{} showed no key", to.host))),
    }
}

/// Connects and makes sure that it is the right server.
async fn reach(to: &Destination, known: KnownKeys, shown: Shown) -> Result<Handle<Handler>, NotConnected> {
    let stream = match timeout(to.connect_timeout, TcpStream::connect((to.host.as_str(), to.port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return Err(NotConnected::Unreachable(format!("cannot connect to {} port {}: {error}", to.host, to.port)));
        }
        Err(_) => {
            return Err(NotConnected::TimedOut(format!(
                "{} port {} did not answer within {:?}",
                to.host, to.port, to.connect_timeout
            )));
        }
    };
    // Small requests are not to wait for company.
    stream.set_nodelay(true).map_err(russh::Error::from)?;
    let key = known.preferred(&Preferred::DEFAULT.key);
    let config = Config {
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES,
        keepalive_interval: Some(KEEPALIVE_EVERY),
        keepalive_max: KEEPALIVES,
        inactivity_timeout: Some(GIVEN_UP_AFTER),
        preferred: Preferred {
            key: Cow::Owned(key),
            cipher: Cow::Borrowed(CIPHERS),
            compression: Cow::Borrowed(&[russh::compression::NONE]),
            ..Preferred::DEFAULT
        },
        nodelay: true,
        ..Config::default()
    };
    let handler = Handler { known, shown };
    connect_stream(Arc::new(config), stream, handler).await
}

/// The path of the store without anything relative in it; it need not be there.
async fn absolute(client: &Client, folder: &str) -> Result<String, Failed> {
    if folder.starts_with('/') {
        return Ok(folder.trim_end_matches('/').to_owned());
    }
    let home = match client.ask(Request::realpath(".")).await? {
        Reply::Names(names) if names.len() == 1 => names.into_iter().next().map(|named| named.name).unwrap_or_default(),
        other => return Err(crate::failure::unexpected(other)),
    };
    let home = String::from_utf8_lossy(&home).trim_end_matches('/').to_owned();
    Ok(if folder == "." { home } else { format!("{home}/{folder}") })
}

/// Looks which of the extensions that a server names are there: some name what they refuse.
async fn abilities(client: &Client, extensions: &[Bytes], root: &str) -> Result<Abilities, Failed> {
    let named = |name: &str| extensions.iter().any(|extension| *extension == name.as_bytes());
    // No file has this name, and where one has, it is given a name that it has already.
    let nothing = format!("{root}/.tmp-probe");
    // All at once: it takes one journey. What is not named is not sent: some servers hang up on what they don't know.
    let ask = async |name: &str, request: Request| match named(name) {
        true => client.send(request).await.map(Some),
        false => Ok(None),
    };
    let rename = ask("posix-rename@openssh.com", Request::posix_rename(&nothing, &nothing)).await?;
    let link = ask("hardlink@openssh.com", Request::hardlink(&nothing, &nothing)).await?;
    let room = ask("statvfs@openssh.com", Request::statvfs(if root.is_empty() { "/" } else { root })).await?;
    let limits = ask("limits@openssh.com", Request::limits()).await?;
    let sync = ask("fsync@openssh.com", Request::fsync(b"none")).await?;
    let known = async |answer: Option<Answer>| match answer {
        None => Ok(false),
        Some(answer) => {
            Ok::<_, Failed>(!matches!(answer.await?, Reply::Status(status) if status.code == Status::UNSUPPORTED))
        }
    };
    let (posix_rename, hardlink) = (known(rename).await?, known(link).await?);
    let (statvfs, fsync) = (known(room).await?, known(sync).await?);
    let limits = match limits {
        Some(limits) => match limits.await? {
            Reply::Extended(reply) => transfer_limits(reply).unwrap_or_default(),
            _ => Limits::default(),
        },
        None => Limits::default(),
    };
    let bytes = |limit: Option<u32>| limit.unwrap_or(USUAL_TRANSFER_BYTES).clamp(1, MAX_TRANSFER_BYTES);
    Ok(Abilities {
        posix_rename,
        hardlink,
        fsync,
        statvfs,
        read_bytes: bytes(limits.read_bytes),
        write_bytes: bytes(limits.write_bytes),
    })
}

#[derive(Debug, Default)]
struct Limits {
    read_bytes: Option<u32>,
    write_bytes: Option<u32>,
}

/// Reads the answer to `limits@openssh.com`; zero is no limit told.
fn transfer_limits(mut reply: Bytes) -> Result<Limits, wire::Malformed> {
    let reply = &mut reply;
    let _packet = wire::long(reply)?;
    let mut limit = || {
        let told = wire::long(reply)?;
        Ok(if told == 0 { None } else { Some(u32::try_from(told).unwrap_or(u32::MAX)) })
    };
    Ok(Limits { read_bytes: limit()?, write_bytes: limit()? })
}
