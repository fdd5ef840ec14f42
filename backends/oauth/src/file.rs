//! The file that tokens are kept in.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use backup_core::{Secret, StorageErrorKind, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Access, OAuthError, Tokens};

/// A file of tokens is larger than this only if it is another file.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// A file that only its owner may read, replaced as a whole.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
    client_id: String,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    client_id: String,
    refresh_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at_secs: Option<i64>,
}

impl TokenFile {
    /// The file of a program with this id; touches nothing.
    pub fn new(path: impl Into<PathBuf>, client_id: impl Into<String>) -> Self {
        Self { path: path.into(), client_id: client_id.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, what: &str) -> OAuthError {
        OAuthError::new(StorageErrorKind::Config, format!("the file of tokens `{}` {what}", self.path.display()))
    }

    /// Reads the tokens; may block.
    ///
    /// # Errors
    /// `Unauthenticated` when there is no file; `Config` when others can read it, or it isn't one of this program.
    pub fn read(&self) -> Result<Tokens, OAuthError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let why = format!("there is no file of tokens `{}`; log in first", self.path.display());
                return Err(OAuthError::new(StorageErrorKind::Unauthenticated, why));
            }
            Err(error) => return Err(self.failed(&format!("can't be read: {error}"))),
        };
        let facts = file.metadata().map_err(|error| self.failed(&format!("can't be read: {error}")))?;
        // Looked at through the open file: it can't be exchanged in between.
        if !facts.is_file() || facts.len() > MAX_FILE_BYTES {
            return Err(self.failed("is no such file"));
        }
        #[cfg(unix)]
        if std::os::unix::fs::PermissionsExt::mode(&facts.permissions()) & 0o077 != 0 {
            return Err(self.failed("can be read by others; take their rights away with `chmod 600`, and log in again if others may have read it"));
        }
        // What is wrong with it is not told: the message could hold a token.
        let stored: Stored = serde_json::from_reader(file).map_err(|_| self.failed("can't be understood"))?;
        if stored.client_id != self.client_id {
            return Err(self.failed("was written for another app; log in again"));
        }
        let access = stored.access_token.zip(stored.expires_at_secs);
        let access = access.map(|(token, secs)| Access { token: token.into(), expires: Timestamp::from_secs(secs) });
        Ok(Tokens { refresh: stored.refresh_token.into(), access })
    }

    /// Replaces the file: afterwards it holds these tokens, or what it held before; may block.
    ///
    /// # Errors
    /// `Config` when it can't be written.
    pub fn write(&self, tokens: &Tokens) -> Result<(), OAuthError> {
        let text =
            |secret: &Secret| secret.expose_text().map(str::to_owned).map_err(|_| self.failed("takes no such token"));
        let stored = Stored {
            client_id: self.client_id.clone(),
            refresh_token: text(&tokens.refresh)?,
            access_token: tokens.access.as_ref().map(|access| text(&access.token)).transpose()?,
            expires_at_secs: tokens.access.as_ref().map(|access| access.expires.secs()),
        };
        let json = serde_json::to_vec_pretty(&stored).map_err(|_| self.failed("takes no such token"))?;
        self.replace(&json).map_err(|error| self.failed(&format!("can't be written: {error}")))
    }

    fn replace(&self, content: &[u8]) -> std::io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        // On Unix its mode is 0600 from the beginning.
        let mut file = tempfile::Builder::new().prefix(".tokens-").tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "canary-5d1f0a-token";

    fn tokens() -> Tokens {
        let access = Access { token: format!("{CANARY}-access").into(), expires: Timestamp::from_secs(77) };
        Tokens { refresh: CANARY.to_owned().into(), access: Some(access) }
    }

    #[test]
    fn tokens_come_back_from_a_file_that_only_its_owner_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("new/tokens.json"), "app");
        assert_eq!(file.read().unwrap_err().kind(), StorageErrorKind::Unauthenticated);
        file.write(&tokens()).unwrap();
        file.write(&tokens()).unwrap();
        let read = file.read().unwrap();
        assert_eq!(read.refresh.expose_text(), Ok(CANARY));
        let access = read.access.unwrap();
        assert_eq!((access.token.expose_text(), access.expires.secs()), (Ok("canary-5d1f0a-token-access"), 77));
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 1, "something was left beside it");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(file.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[cfg(unix)]
    #[test]
    fn file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("tokens.json"), "app");
        file.write(&tokens()).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            let error = file.read().unwrap_err();
            assert_eq!(error.kind(), StorageErrorKind::Config, "{mode:o}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn file_of_another_app_or_another_kind_is_refused_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        TokenFile::new(&path, "app").write(&tokens()).unwrap();
        let error = TokenFile::new(&path, "other").read().unwrap_err();
        assert!(error.kind() == StorageErrorKind::Config && error.to_string().contains("another app"), "{error}");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 2]).unwrap();
        let error = TokenFile::new(&path, "app").read().unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Config);
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error:?}");
        assert!(!format!("{:?}", tokens()).contains(CANARY));
    }
}
