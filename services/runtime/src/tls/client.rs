//! TLS towards servers: which authorities are trusted, and which certificate is shown.

use std::{fmt, io, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::files::{ClientTlsFiles, TlsFileError, TlsSettings};
use super::files::{add_authorities, certificates, private_key};
use crate::WatchedFiles;

/// TLS towards servers. Clones share the certificates and the sessions.
#[derive(Clone)]
pub struct ClientTls(Arc<WatchedFiles<Configs>>);

/// The two differ in what they offer; sessions of one are good for the other.
#[derive(Clone)]
struct Configs {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

impl ClientTls {
    /// With the system's certificate authorities, and what the files say; `name` is
    /// that of the files in the log: `the certificates for upstreams`.
    ///
    /// # Errors
    /// If a file cannot be read or used.
    pub fn new(
        name: &'static str,
        settings: TlsSettings,
        files: ClientTlsFiles,
    ) -> Result<Self, TlsFileError> {
        let watched = WatchedFiles::new(name, files.paths(), move || read(&settings, &files));
        Ok(Self(Arc::new(watched?)))
    }

    /// Opens TLS over a connection to this host, whose certificate has to have that
    /// name. HTTP/2 is offered only if asked for.
    ///
    /// # Errors
    /// If the handshake fails; [`super::tls_advice`] says what to do.
    pub async fn connect<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        tcp: T,
        offer_http2: bool,
    ) -> io::Result<TlsStream<T>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let Configs { http1, http2 } = self.0.get();
        TlsConnector::from(if offer_http2 { http2 } else { http1 }).connect(name, tcp).await
    }
}

fn read(settings: &TlsSettings, files: &ClientTlsFiles) -> Result<Configs, TlsFileError> {
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has what the default versions need");
    let builder = versions.with_root_certificates(roots(settings, files)?);
    let mut http1 = match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(settings.certificate, certificate)?;
            let secret = private_key(settings.key, key)?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|error| TlsFileError::unusable(settings.key, key, &error))?
        }
        _ => builder.with_no_client_auth(),
    };
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut http2 = http1.clone();
    http2.alpn_protocols.insert(0, b"h2".to_vec());
    Ok(Configs { http1: http1.into(), http2: http2.into() })
}

fn roots(settings: &TlsSettings, files: &ClientTlsFiles) -> Result<RootCertStore, TlsFileError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &files.authorities {
        add_authorities(&mut roots, settings.authorities, path)?;
    }
    Ok(roots)
}
