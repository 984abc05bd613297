//! TLS with clients: the certificate that modash shows, and whose certificates it
//! wants to see. The files are read again when they change; sessions are resumed.

use std::{path::Path, sync::Arc};

use modash_runtime::WatchedFiles;
use rustls::{
    RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier,
    server::danger::ClientCertVerifier,
};

use crate::{
    settings::ListenerTlsFiles,
    tls_files::{TlsFileError, add_authorities, certificates, private_key},
};

const CERTIFICATE: &str = "MODASH_PROXY_TLS_CERT_FILE";
const KEY: &str = "MODASH_PROXY_TLS_KEY_FILE";
const CLIENT_AUTHORITIES: &str = "MODASH_PROXY_TLS_CLIENT_CA_FILE";

/// TLS with clients, shared by all cores.
pub(crate) struct ListenerTls(WatchedFiles<Arc<ServerConfig>>);

impl ListenerTls {
    /// What the files say.
    pub(crate) fn new(files: ListenerTlsFiles) -> Result<Self, TlsFileError> {
        let paths = [Some(&files.certificate), Some(&files.key), files.client_authorities.as_ref()];
        let paths = paths.into_iter().flatten().cloned().collect();
        let read = move || read(&files).map(Arc::new);
        WatchedFiles::new("the certificates for clients", paths, read).map(Self)
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.0.get()
    }
}

fn read(files: &ListenerTlsFiles) -> Result<ServerConfig, TlsFileError> {
    let chain = certificates(CERTIFICATE, &files.certificate)?;
    let key = private_key(KEY, &files.key)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what the default versions need");
    let builder = match &files.client_authorities {
        Some(path) => builder.with_client_cert_verifier(verifier(path)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| TlsFileError::unusable(KEY, &files.key, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if let Ok(ticketer) = ring::Ticketer::new() {
        config.ticketer = ticketer;
    }
    Ok(config)
}

fn verifier(authorities: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsFileError> {
    let mut roots = RootCertStore::empty();
    add_authorities(&mut roots, CLIENT_AUTHORITIES, authorities)?;
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
        .build()
        .map_err(|error| TlsFileError::unusable(CLIENT_AUTHORITIES, authorities, &error))
}
