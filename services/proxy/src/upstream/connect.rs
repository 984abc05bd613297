//! Opening one connection to an upstream: name look-up, TCP, TLS, HTTP/1.1.

use std::{io, path::Path, sync::Arc, time::Duration};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::BaseUrl;
use crate::tap::RequestTap;

/// Why an upstream could not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Name look-up, TCP or TLS failed.
    #[error("{0}")]
    Unreachable(io::Error),
    /// It took longer than the connect timeout.
    #[error("no connection within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The HTTP handshake failed.
    #[error("{0}")]
    Handshake(hyper::Error),
}

/// TLS for upstreams, shared by all of them.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// With the system's certificate authorities, and those of a PEM file.
    pub(crate) fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        if let Some(path) = ca_file {
            let read = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| format!("cannot be read as PEM: {error}"))?;
            if read.is_empty() {
                return Err("holds no certificate".to_owned());
            }
            for certificate in read {
                roots.add(certificate).map_err(|error| format!("is not usable: {error}"))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

/// Opens a connection within the time limit.
pub(super) async fn connect(
    base: &BaseUrl,
    tls: &Tls,
    timeout: Duration,
) -> Result<http1::SendRequest<RequestTap>, ConnectError> {
    tokio::time::timeout(timeout, open(base, tls))
        .await
        .unwrap_or(Err(ConnectError::TimedOut(timeout)))
}

async fn open(base: &BaseUrl, tls: &Tls) -> Result<http1::SendRequest<RequestTap>, ConnectError> {
    let tcp =
        TcpStream::connect((base.host(), base.port())).await.map_err(ConnectError::Unreachable)?;
    // A request is one write; waiting for more would only delay it.
    let _ = tcp.set_nodelay(true);
    if !base.is_https() {
        return handshake(TokioIo::new(tcp)).await;
    }
    let name = ServerName::try_from(base.host().to_owned())
        .map_err(|error| ConnectError::Unreachable(io::Error::other(error)))?;
    let stream = TlsConnector::from(tls.0.clone())
        .connect(name, tcp)
        .await
        .map_err(ConnectError::Unreachable)?;
    handshake(TokioIo::new(stream)).await
}

async fn handshake<I>(io: I) -> Result<http1::SendRequest<RequestTap>, ConnectError>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .handshake(io)
        .await
        .map_err(ConnectError::Handshake)?;
    tokio::spawn(async move {
        // The request that used it reports the error.
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(sender)
}
