//! An authority made for one run, and a certificate that names every host which an emulator stands for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Every name under which an emulator can be asked.
const NAMES: [&str; 9] = [
    "localhost",
    "127.0.0.1",
    "www.googleapis.com",
    "oauth2.googleapis.com",
    "accounts.google.com",
    "api.dropboxapi.com",
    "content.dropboxapi.com",
    "notify.dropboxapi.com",
    "www.dropbox.com",
];

/// What a server needs to speak TLS, and a file for those who are to trust it.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) server: Arc<ServerConfig>,
    ca_file: PathBuf,
    _folder: TempDir,
}

impl Certificate {
    /// Makes an authority and a certificate.
    ///
    /// # Panics
    /// When the disk takes no file.
    pub(crate) fn make() -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "Authority of the emulators");
        // Python's `ssl` refuses an authority that doesn't say what its key is for.
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate().expect("a key can be made");
        let root = authority.self_signed(&authority_key).expect("the parameters are sound");
        let issuer = Issuer::new(authority, authority_key);

        let mut leaf = CertificateParams::new(NAMES.map(str::to_owned)).expect("the names are sound");
        leaf.distinguished_name.push(DnType::CommonName, "Emulator");
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let leaf_key = KeyPair::generate().expect("a key can be made");
        let signed = leaf.signed_by(&leaf_key, &issuer).expect("the parameters are sound");

        let folder = tempfile::tempdir().expect("a folder can be made");
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, root.pem()).expect("a file can be written");

        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        let mut server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows the usual versions")
            .with_no_client_auth()
            .with_single_cert(vec![signed.der().clone()], key)
            .expect("key and certificate belong together");
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { server: Arc::new(server), ca_file, _folder: folder }
    }

    /// The authority's certificate, a PEM file.
    pub(crate) fn ca_file(&self) -> &Path {
        &self.ca_file
    }
}
