//! TLS to upstreams: which authorities are trusted, what modash shows, and what
//! to do when a handshake fails. The files are read again when they change;
//! sessions are resumed.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use modash_runtime::WatchedFiles;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore, pki_types::ServerName,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    settings::TlsFiles,
    tls_files::{TlsFileError, add_authorities, certificates, private_key},
};

/// TLS for upstreams, shared by all of them and by all cores.
#[derive(Clone)]
pub(crate) struct Tls(Arc<WatchedFiles<Configs>>);

/// The two differ in what they offer; sessions of one are good for the other.
#[derive(Clone)]
struct Configs {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Tls {
    /// With the system's certificate authorities, and what the files say.
    pub(crate) fn new(files: TlsFiles) -> Result<Self, TlsFileError> {
        let paths: Vec<_> = paths(&files).map(Path::to_owned).collect();
        let watched =
            WatchedFiles::new("the certificates for upstreams", paths, move || read(&files));
        Ok(Self(Arc::new(watched?)))
    }

    /// Opens TLS over a connection to this host. HTTP/2 is offered only if asked
    /// for.
    pub(super) async fn connect<T: AsyncRead + AsyncWrite + Unpin>(
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

fn paths(files: &TlsFiles) -> impl Iterator<Item = &Path> {
    let all = [&files.authorities, &files.certificate, &files.key];
    all.into_iter().flatten().map(PathBuf::as_path)
}

const AUTHORITIES: &str = "MODASH_PROXY_UPSTREAM_CA_FILE";
const CERTIFICATE: &str = "MODASH_PROXY_UPSTREAM_CERT_FILE";
const KEY: &str = "MODASH_PROXY_UPSTREAM_KEY_FILE";

fn read(files: &TlsFiles) -> Result<Configs, TlsFileError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has what the default versions need");
    let builder = versions.with_root_certificates(roots(files)?);
    let mut http1 = match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(CERTIFICATE, certificate)?;
            let secret = private_key(KEY, key)?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|error| TlsFileError::unusable(KEY, key, &error))?
        }
        _ => builder.with_no_client_auth(),
    };
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut http2 = http1.clone();
    http2.alpn_protocols.insert(0, b"h2".to_vec());
    Ok(Configs { http1: http1.into(), http2: http2.into() })
}

fn roots(files: &TlsFiles) -> Result<RootCertStore, TlsFileError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &files.authorities {
        add_authorities(&mut roots, AUTHORITIES, path)?;
    }
    Ok(roots)
}

/// What a failed connection says about TLS and what to do about it; `None` if it
/// is about something else.
pub(crate) fn advice(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(explain(error));
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn explain(error: &rustls::Error) -> String {
    use CertificateError as Bad;
    let todo = match error {
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "its certificate has expired: renew it there, and check this machine's clock"
        }
        rustls::Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "its certificate is not valid yet: check this machine's clock"
        }
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => {
            "its certificate is signed by an authority that is not trusted here: \
             if it should be, give that authority's certificate in MODASH_PROXY_UPSTREAM_CA_FILE"
        }
        rustls::Error::InvalidCertificate(
            Bad::NotValidForName | Bad::NotValidForNameContext { .. },
        ) => {
            "its certificate is for another host: use a name that the certificate has in the \
             upstream's URL"
        }
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::AccessDenied,
        ) => {
            "it refuses modash's client certificate, or wants one: see \
             MODASH_PROXY_UPSTREAM_CERT_FILE and MODASH_PROXY_UPSTREAM_KEY_FILE"
        }
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "it does not speak the version of HTTP that was offered: see \
             MODASH_PROXY_UPSTREAM_HTTP"
        }
        rustls::Error::InvalidMessage(_) => {
            "it does not answer with TLS: should its URL begin with http://?"
        }
        _ => return format!("TLS: {error}"),
    };
    format!("TLS: {todo} ({error})")
}
