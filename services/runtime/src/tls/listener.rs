//! TLS with clients: the certificate that is shown, and whose certificates they have
//! to show.

use std::{fmt, io, path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier,
    server::danger::ClientCertVerifier,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::files::{ListenerTlsFiles, TlsFileError, TlsSettings};
use super::files::{add_authorities, certificates, private_key};
use crate::WatchedFiles;

/// Most bytes that are taken from a client to which nothing but an error is said.
const MAX_IGNORED: u64 = 64 * 1024;

/// The answer to HTTP/2 without TLS: SETTINGS, then GOAWAY with INADEQUATE_SECURITY
/// (RFC 9113, sections 6.5, 6.8 and 7) and a reason that clients show.
const PLAIN_HTTP2: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x32\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0cthis port speaks TLS: use https in the URL";

/// TLS with clients, for any number of connections.
pub struct ListenerTls(WatchedFiles<Arc<ServerConfig>>);

/// Why a connection did not come as far as HTTP.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The client did not begin with TLS.
    #[error("plain HTTP where TLS is expected")]
    PlainHttp,
    /// The handshake failed.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// The connection broke.
    #[error("{0}")]
    Broken(#[from] io::Error),
}

impl fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListenerTls")
    }
}

impl ListenerTls {
    /// What the files say; `name` is that of the files in the log: `the certificates
    /// of the gateway`.
    ///
    /// # Errors
    /// If a file cannot be read or used.
    pub fn new(
        name: &'static str,
        settings: TlsSettings,
        files: ListenerTlsFiles,
    ) -> Result<Self, TlsFileError> {
        let paths = files.paths();
        let read = move || read(&settings, &files).map(Arc::new);
        WatchedFiles::new(name, paths, read).map(Self)
    }

    /// Makes the handshake. A client that speaks plain HTTP/1.1 gets `plain_answer`
    /// and the end; one that speaks plain HTTP/2 is told the same by GOAWAY.
    ///
    /// # Errors
    /// If the client leaves, speaks no TLS, or the handshake fails. The caller bounds
    /// the time.
    pub async fn accept(
        &self,
        mut tcp: TcpStream,
        plain_answer: &[u8],
    ) -> Result<TlsStream<TcpStream>, AcceptError> {
        let mut first = [0; 3];
        let seen = tcp.peek(&mut first).await?;
        // The first letter of a method; TLS begins with 22 (RFC 8446 5.1).
        if first[0].is_ascii_uppercase() {
            let http2 = &first[..seen] == b"PRI";
            tcp.write_all(if http2 { PLAIN_HTTP2 } else { plain_answer }).await?;
            tcp.shutdown().await?;
            // What is left unread when a socket closes takes the answer with it.
            tokio::io::copy(&mut tcp.take(MAX_IGNORED), &mut tokio::io::sink()).await?;
            return Err(AcceptError::PlainHttp);
        }
        TlsAcceptor::from(self.0.get()).accept(tcp).await.map_err(AcceptError::Tls)
    }
}

fn read(settings: &TlsSettings, files: &ListenerTlsFiles) -> Result<ServerConfig, TlsFileError> {
    let chain = certificates(settings.certificate, &files.certificate)?;
    let key = private_key(settings.key, &files.key)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what the default versions need");
    let builder = match &files.client_authorities {
        Some(path) => builder.with_client_cert_verifier(verifier(settings.authorities, path)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| TlsFileError::unusable(settings.key, &files.key, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if let Ok(ticketer) = ring::Ticketer::new() {
        config.ticketer = ticketer;
    }
    Ok(config)
}

fn verifier(
    setting: &'static str,
    authorities: &Path,
) -> Result<Arc<dyn ClientCertVerifier>, TlsFileError> {
    let mut roots = RootCertStore::empty();
    add_authorities(&mut roots, setting, authorities)?;
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
        .build()
        .map_err(|error| TlsFileError::unusable(setting, authorities, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_to_plain_http2_have_the_lengths_that_they_say() {
        let (settings, goaway) = PLAIN_HTTP2.split_at(9);
        assert_eq!(settings, [0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!(usize::from(goaway[2]), goaway.len() - 9);
    }
}
