//! OpenSSH's own server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::process::{Owned, StartError, free_ports, greeting, program};

/// `sshd` for the user who runs the tests, with keys of its own.
#[derive(Debug)]
pub struct Sshd {
    port: u16,
    user: String,
    folder: TempDir,
    _owned: Owned,
}

impl Sshd {
    /// The passphrase of [`Sshd::locked_identity`].
    pub const PASSPHRASE: &'static str = "canary-3d9a61f0-passphrase-of-the-tests";

    /// The server of this process, started when it is first asked for.
    ///
    /// # Panics
    /// When it does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Sshd> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]).expect("sshd starts"))
    }

    /// Starts a server with more lines of configuration; the first word on a subject counts.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(lines: &[&str]) -> Result<Self, StartError> {
        let sshd = program("sshd")?;
        let failed = |error: std::io::Error| StartError::Failed(error.to_string());
        let folder = tempfile::Builder::new().prefix("sshd-").tempdir().map_err(failed)?;
        let at = |name: &str| folder.path().join(name);
        make_key(&at("host_ed25519"), "ed25519", "")?;
        make_key(&at("user_ed25519"), "ed25519", "")?;
        std::fs::copy(at("user_ed25519"), at("locked_ed25519")).map_err(failed)?;
        lock_key(&at("locked_ed25519"), Self::PASSPHRASE)?;
        std::fs::copy(at("user_ed25519.pub"), at("authorized_keys")).map_err(failed)?;
        std::fs::create_dir(at("files")).map_err(failed)?;
        // Where the server separates privileges, and nothing ever is.
        let _ = std::fs::create_dir_all("/run/sshd");
        let [port] = free_ports();
        let mut config: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        config.extend([
            format!("Port {port}"),
            "ListenAddress 127.0.0.1".to_owned(),
            format!("HostKey {}", at("host_ed25519").display()),
            format!("AuthorizedKeysFile {}", at("authorized_keys").display()),
            "StrictModes no".to_owned(),
            "UsePAM no".to_owned(),
            "PermitRootLogin yes".to_owned(),
            "PasswordAuthentication no".to_owned(),
            "PidFile none".to_owned(),
            "MaxStartups 200".to_owned(),
            "LogLevel ERROR".to_owned(),
            "Subsystem sftp internal-sftp".to_owned(),
        ]);
        std::fs::write(at("sshd_config"), config.join("\n") + "\n").map_err(failed)?;
        let key = std::fs::read_to_string(at("host_ed25519.pub")).map_err(failed)?;
        std::fs::write(at("known_hosts"), format!("[127.0.0.1]:{port} {key}")).map_err(failed)?;
        let user = user()?;
        let arguments = ["-D".to_owned(), "-e".to_owned(), "-f".to_owned(), at("sshd_config").display().to_string()];
        let mut owned = Owned::start(&sshd, &arguments, &at("log"))?;
        owned.wait_until(|| greeting(port).is_some_and(|greeting| greeting.starts_with(b"SSH-2.0")))?;
        Ok(Self { port, user, folder, _owned: owned })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who may log in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The private key of who may log in; `.pub` beside it.
    pub fn identity(&self) -> PathBuf {
        self.folder.path().join("user_ed25519")
    }

    /// The same key under a passphrase, without a public half beside it.
    pub fn locked_identity(&self) -> PathBuf {
        self.folder.path().join("locked_ed25519")
    }

    /// The file that knows the server by its address and port.
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    /// The server's key, as it stands in a file of known servers.
    ///
    /// # Panics
    /// When its file is gone.
    pub fn host_key(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("host_ed25519.pub")).expect("it is there").trim().to_owned()
    }

    /// A folder on the server.
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// Lets the holder of a further key in.
    ///
    /// # Panics
    /// When a file can't be written.
    pub fn authorize(&self, public_key: &Path) {
        let file = self.folder.path().join("authorized_keys");
        let known = std::fs::read_to_string(&file).expect("it is there");
        let more = std::fs::read_to_string(public_key).expect("it is there");
        std::fs::write(file, known + &more).expect("it can be written");
    }
}

/// Makes a pair of keys, the public one with `.pub` behind its name.
///
/// # Errors
/// [`StartError`].
pub fn make_key(file: &Path, kind: &str, passphrase: &str) -> Result<(), StartError> {
    keygen(&["-q", "-t", kind, "-N", passphrase, "-C", "tests"], file)
}

/// Puts a key under a passphrase, with as little work to open it as there is: a test opens it often.
fn lock_key(file: &Path, passphrase: &str) -> Result<(), StartError> {
    keygen(&["-q", "-p", "-P", "", "-N", passphrase, "-a", "1"], file)
}

fn keygen(arguments: &[&str], file: &Path) -> Result<(), StartError> {
    let made = Command::new(program("ssh-keygen")?)
        .args(arguments)
        .arg("-f")
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| StartError::Failed(error.to_string()))?;
    match made.status.success() {
        true => Ok(()),
        false => Err(StartError::Failed(String::from_utf8_lossy(&made.stderr).into_owned())),
    }
}

fn user() -> Result<String, StartError> {
    let told = Command::new("id").arg("-un").output().map_err(|error| StartError::Failed(error.to_string()))?;
    Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
}
