//! Connections, made as they are needed and made again when they end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backup_core::registry::ConnectContext;
use backup_core::{SecretRef, StorageError, StorageErrorKind, StorageOperation, StorageResult};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::SftpConfig;
use crate::authenticate::Secrets;
use crate::connection::{Connection, NotConnected};
use crate::destination::{Destination, Surroundings, destination};
use crate::known_hosts::{KnownKeys, Pin};

/// Of a configuration file or a file of known servers, so much is read.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Connections more than those that are there that may fail in a row before no further ones are tried.
const MAX_REFUSALS: u32 = 3;

/// Connections to one server.
#[derive(Debug)]
pub(crate) struct Pool {
    config: SftpConfig,
    context: ConnectContext,
    state: Mutex<State>,
    /// Connections that calls make, for want of any.
    making: Arc<Semaphore>,
    /// One more is made at a time beside the calls.
    growing: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    members: Vec<Member>,
    /// How often in a row one connection more could not be made beside those that are there.
    refusals: u32,
}

#[derive(Debug)]
struct Member {
    connection: Arc<Connection>,
    calls: usize,
}

/// A connection for one call.
///
/// A call that is given up before it is done may have been so because nothing came any more: its connection gets no further
/// calls. Those that are under way on it go on.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Arc<Connection>,
    pool: Arc<Pool>,
    is_done: bool,
}

impl Lease {
    /// The call came to its end, good or bad.
    pub(crate) fn done(mut self) {
        self.is_done = true;
    }
}

impl std::ops::Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        let Some(at) = state.members.iter().position(|m| Arc::ptr_eq(&m.connection, &self.connection)) else { return };
        if self.is_done {
            state.members[at].calls -= 1;
        } else {
            let retired = state.members.swap_remove(at).connection;
            drop(state);
            // Without a runtime everything is over anyway.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { retired.client.settle().await });
            }
        }
    }
}

impl Pool {
    /// A pool with a first connection.
    pub(crate) async fn open(config: &SftpConfig, context: &ConnectContext) -> StorageResult<Arc<Self>> {
        let pool = Arc::new(Self {
            config: config.clone(),
            context: context.clone(),
            state: Mutex::default(),
            making: Arc::new(Semaphore::new(config.connections)),
            growing: Arc::new(Semaphore::new(1)),
        });
        let connection = pool.connect().await.map_err(NotConnected::into_error)?;
        pool.state().members.push(Member { connection: Arc::new(connection), calls: 0 });
        Ok(pool)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection for a call; makes one where there is none, and one more beside the call where all are busy.
    pub(crate) async fn lease(self: &Arc<Self>, operation: StorageOperation) -> StorageResult<Lease> {
        if let Some(lease) = self.take() {
            return Ok(lease);
        }
        // Nobody closes the semaphore.
        let _permit = Arc::clone(&self.making).acquire_owned().await.ok();
        // Somebody else may have made one meanwhile.
        if let Some(lease) = self.take() {
            return Ok(lease);
        }
        let connection = self.connect().await.map_err(|error| error.into_interruption(operation))?;
        Ok(self.join(connection))
    }

    fn join(self: &Arc<Self>, connection: Connection) -> Lease {
        let connection = Arc::new(connection);
        let mut state = self.state();
        // What stood in the way of more may be gone.
        state.refusals = 0;
        state.members.push(Member { connection: Arc::clone(&connection), calls: 1 });
        drop(state);
        Lease { connection, pool: Arc::clone(self), is_done: false }
    }

    /// The least busy connection, if there is any.
    fn take(self: &Arc<Self>) -> Option<Lease> {
        let mut state = self.state();
        state.members.retain(|member| member.connection.client.ended().is_none());
        let allowed = if state.refusals < MAX_REFUSALS { self.config.connections } else { 1 };
        let count = state.members.len();
        let least = state.members.iter_mut().min_by_key(|member| member.calls)?;
        let all_are_busy = least.calls > 0;
        least.calls += 1;
        let lease = Lease { connection: Arc::clone(&least.connection), pool: Arc::clone(self), is_done: false };
        drop(state);
        if all_are_busy
            && count < allowed
            && let Ok(permit) = Arc::clone(&self.growing).try_acquire_owned()
        {
            tokio::spawn(Arc::clone(self).grow(permit));
        }
        Some(lease)
    }

    /// Makes one connection more; where that fails, the ones that are there have to do.
    async fn grow(self: Arc<Self>, permit: OwnedSemaphorePermit) {
        let connected = self.connect().await;
        let mut state = self.state();
        match connected {
            Ok(connection) => {
                state.refusals = 0;
                state.members.push(Member { connection: Arc::new(connection), calls: 0 });
            }
            Err(_) => state.refusals = state.refusals.saturating_add(1),
        }
        drop(state);
        drop(permit);
    }

    async fn connect(&self) -> Result<Connection, NotConnected> {
        let (to, known) = known(&self.config, &self.context).await?;
        let secrets = Secrets {
            passphrase: self.secret(self.config.passphrase.as_ref()).await?,
            password: self.secret(self.config.login_password.as_ref()).await?,
        };
        Connection::open(&to, known, &secrets, self.config.folder()).await
    }

    async fn secret(&self, reference: Option<&SecretRef>) -> Result<Option<backup_core::Secret>, NotConnected> {
        match reference {
            None => Ok(None),
            Some(reference) => match self.context.secret(reference).await {
                Ok(secret) => Ok(Some(secret)),
                Err(error) => Err(NotConnected::Config(with_cause(&error))),
            },
        }
    }
}

fn with_cause(error: &StorageError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    }
}

/// Where a configuration leads, and which keys the server there may show.
pub(crate) async fn known(
    config: &SftpConfig,
    context: &ConnectContext,
) -> Result<(Destination, KnownKeys), NotConnected> {
    let around = surroundings(config, context).await?;
    let to = destination(config, &around).map_err(NotConnected::Config)?;
    let mut known = KnownKeys::of(&to.key_name);
    if let Some(pin) = config.host_key.as_deref().and_then(Pin::parse) {
        known.pin(pin);
        return Ok((to, known));
    }
    for file in &to.known_hosts {
        let unread =
            |why: String| NotConnected::Config(format!("cannot read the known servers in {}: {why}", file.display()));
        if let Some(content) = read(file.clone()).await.map_err(|error| unread(error.to_string()))? {
            known.add_file(file, &content).map_err(unread)?;
        }
    }
    Ok((to, known))
}

/// What the environment and the files of the home folder say, asked through whoever gives secrets out: a backend does
/// not look around by itself.
async fn surroundings(config: &SftpConfig, context: &ConnectContext) -> Result<Surroundings, NotConnected> {
    let variable = async |name: &str| {
        let reference = SecretRef::parse(&format!("env:{name}")).ok()?;
        let secret = context.secret(&reference).await.ok()?;
        secret.expose_text().ok().map(str::to_owned).filter(|text| !text.is_empty())
    };
    let home = match variable("HOME").await {
        Some(home) => Some(home),
        None => variable("USERPROFILE").await,
    };
    let home = home.map(std::path::PathBuf::from);
    let user = match variable("USER").await {
        Some(user) => Some(user),
        None => variable("USERNAME").await,
    };
    let file = match &config.ssh_config {
        Some(file) if file.as_os_str() == "none" => None,
        Some(file) => Some((file.clone(), true)),
        None => home.as_ref().map(|home| (home.join(".ssh/config"), false)),
    };
    let mut ssh_config = None;
    if let Some((file, is_named)) = file {
        let wrong = |why: String| NotConnected::Config(format!("cannot read `{}`: {why}", file.display()));
        match read(file.clone()).await.map_err(|error| wrong(error.to_string()))? {
            Some(content) => ssh_config = Some((file, content)),
            None if is_named => return Err(wrong("there is no such file".to_owned())),
            None => {}
        }
    }
    let agent = variable("SSH_AUTH_SOCK").await.map(std::path::PathBuf::from);
    Ok(Surroundings { home, user, agent, ssh_config })
}

/// What a file holds; `None` where there is none.
async fn read(file: std::path::PathBuf) -> std::io::Result<Option<String>> {
    let reading = tokio::task::spawn_blocking(move || {
        use std::io::Read;
        let mut content = Vec::new();
        match std::fs::File::open(file) {
            Ok(file) => file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if content.len() as u64 > MAX_FILE_BYTES {
            return Err(std::io::Error::other("the file is too large"));
        }
        Ok(Some(String::from_utf8_lossy(&content).into_owned()))
    });
    reading.await.map_err(std::io::Error::other)?
}

/// An error about how a store is configured.
pub(crate) fn misconfigured(detail: impl Into<String>) -> StorageError {
    StorageError::new(StorageErrorKind::Config, StorageOperation::Connect).with_detail(detail)
}
