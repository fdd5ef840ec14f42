//! An account of the emulator: opened through the backend, and seen past it.

use std::sync::Arc;

use backup_backend_dropbox::{DropboxBackend, DropboxConfig};
use backup_core::registry::ConnectContext;
use backup_core::secret::MapResolver;
use backup_core::{ManualClock, ObjectKey, PutBody, SecretRef, StorageResult, Timestamp};
use backup_test_emulators::dropbox::{App, Called, Dropbox, Tokens};
use bytes::Bytes;

/// An app that sees a folder of its own.
pub(crate) const APP: &str = "canaryless-app-key";
pub(crate) const APP_SECRET: &str = "canary-93b0e7-secret-of-the-app";

/// One account with one app, whose user has consented.
pub(crate) struct Account {
    pub(crate) dropbox: Dropbox,
    pub(crate) tokens: Tokens,
    pub(crate) clock: Arc<ManualClock>,
}

impl Account {
    pub(crate) fn new() -> Self {
        let dropbox = Dropbox::start();
        dropbox.add_app(App {
            key: APP.to_owned(),
            secret: APP_SECRET.to_owned(),
            redirect_uris: Vec::new(),
            folder: Some("Backups".to_owned()),
        });
        let tokens = dropbox.plant_tokens(APP);
        Self { dropbox, tokens, clock: Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000))) }
    }

    /// The configuration of a folder.
    pub(crate) fn config(&self, folder: &str) -> DropboxConfig {
        let mut config = DropboxConfig::new(APP, "").with_folder(folder);
        config.tokens = None;
        config.refresh_token = SecretRef::parse("env:REFRESH").ok();
        config.api_endpoint = Some(self.dropbox.api_url());
        config.content_endpoint = Some(self.dropbox.content_url());
        config.web_endpoint = Some(self.dropbox.api_url());
        config.ca_file = Some(self.dropbox.ca_file().to_owned());
        config
    }

    pub(crate) fn context(&self) -> ConnectContext {
        let secrets = MapResolver::new().with("env:REFRESH", &self.tokens.refresh_token).with("env:SECRET", APP_SECRET);
        ConnectContext::new(Arc::new(secrets), self.clock.clone())
    }

    pub(crate) async fn open(&self, folder: &str) -> StorageResult<DropboxBackend> {
        DropboxBackend::connect(&self.config(folder), &self.context()).await
    }

    /// The calls of functions that have this in their names.
    pub(crate) fn calls(&self, part: &str) -> Vec<Called> {
        self.dropbox.calls().into_iter().filter(|called| called.function.contains(part)).collect()
    }

    /// The bytes of a file that the app sees.
    pub(crate) fn file(&self, path: &str) -> Option<Bytes> {
        self.dropbox.files_of(APP).remove(path).map(|file| file.bytes)
    }
}

pub(crate) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

/// A body in uneven pieces whose bytes tell where they stand.
pub(crate) fn body(len: usize) -> (Vec<u8>, PutBody) {
    let bytes: Vec<u8> = (0..len).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect();
    let pieces = bytes.chunks(7_000_013).map(Bytes::copy_from_slice).collect();
    (bytes, PutBody::from_pieces(pieces))
}
