//! A server that nobody knows yet shows its key, for a person to compare.

use std::path::PathBuf;

use backup_core::registry::{ConnectContext, Introduction, Standing};
use russh::keys::HashAlg;

use crate::SftpConfig;
use crate::connection::{NotConnected, shown_key};
use crate::known_hosts::Untrusted;
use crate::pool::known;

/// Asks a server for its key and looks what is known of it.
pub(crate) async fn introduce(config: &SftpConfig, context: &ConnectContext) -> Result<Introduction, NotConnected> {
    let (to, known) = known(config, context).await?;
    let mut key = shown_key(&to, known.clone()).await?;
    key.set_comment("");
    let server = to.key_name.clone();
    let standing = match known.check(&key) {
        Ok(()) => Standing::Known,
        Err(Untrusted::Unknown { .. }) => Standing::Unknown,
        Err(refused) => Standing::Refused(refused.to_string()),
    };
    let written = key.to_openssh().map_err(|error| NotConnected::Config(error.to_string()))?;
    Ok(Introduction {
        algorithm: key.algorithm().as_str().to_owned(),
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        standing,
        file: to.known_hosts.into_iter().next().unwrap_or_else(|| PathBuf::from("known_hosts")),
        line: format!("{server} {}", written.trim()),
        server,
    })
}
