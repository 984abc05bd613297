//! A TLS server with a certificate authority of its own, made for the test.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{
    ClientConfig, ConfigBuilder, HandshakeKind, RootCertStore, ServerConfig,
    client::WantsClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_rustls::TlsAcceptor;

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: CertificateDer<'static>,
    pub pem: String,
}

/// A signed certificate and its key.
pub struct Identity {
    pub certificate_pem: String,
    pub key_pem: String,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), certificate: der, pem }
    }

    /// For these names or addresses.
    pub fn sign(&self, names: &[&str]) -> Identity {
        self.sign_until(names, 2100)
    }

    /// Expired, if the year is past.
    pub fn sign_until(&self, names: &[&str], year: i32) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    /// Its certificate as a file.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join("authority.pem");
        std::fs::write(&path, &self.pem).unwrap();
        path
    }
}

impl Identity {
    /// A client that shows it.
    pub fn client(&self, builder: ConfigBuilder<ClientConfig, WantsClientCert>) -> ClientConfig {
        let chain = vec![self.certificate.clone()];
        builder.with_client_auth_cert(chain, self.key.clone_key()).unwrap()
    }

    /// Certificate and key as files.
    pub fn write(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (directory.join("client.pem"), directory.join("client.key"));
        std::fs::write(&certificate, &self.certificate_pem).unwrap();
        std::fs::write(&key, &self.key_pem).unwrap();
        (certificate, key)
    }
}

/// One TLS handshake, as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    pub server_name: Option<String>,
    pub protocol: Option<String>,
    pub resumed: bool,
    pub client_certificate: Option<CertificateDer<'static>>,
}

impl Identity {
    /// A server that shows it and asks clients for nothing.
    pub fn server(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        builder.with_single_cert(vec![self.certificate.clone()], self.key.clone_key()).unwrap()
    }

    pub fn is(&self, certificate: Option<&CertificateDer<'static>>) -> bool {
        certificate == Some(&self.certificate)
    }
}

/// Answers every request with `{}` when it has all of it.
pub struct TlsUpstream {
    pub address: SocketAddr,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
    acceptor: AbortHandle,
}

impl TlsUpstream {
    /// Speaks these protocols. Asks for a client certificate if there is an
    /// authority for them.
    pub async fn start(
        identity: &Identity,
        protocols: &[&str],
        clients: Option<&Authority>,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.certificate.clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
                builder.with_client_cert_verifier(verifier.unwrap())
            }
        };
        let mut config = builder
            .with_single_cert(vec![identity.certificate.clone()], identity.key.clone_key())
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handshakes = Arc::default();
        let acceptor = tokio::spawn(accept(listener, config.into(), Arc::clone(&handshakes)));
        Self { address, handshakes, acceptor: acceptor.abort_handle() }
    }

    pub fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.address.port())
    }

    pub fn handshakes(&self) -> Vec<Handshake> {
        self.handshakes.lock().unwrap().clone()
    }
}

impl Drop for TlsUpstream {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (config, handshakes) = (config.clone(), handshakes.clone());
        tokio::spawn(async move {
            let Ok(stream) = TlsAcceptor::from(config).accept(tcp).await else { return };
            let tls = stream.get_ref().1;
            handshakes.lock().unwrap().push(Handshake {
                server_name: tls.server_name().map(str::to_owned),
                protocol: tls.alpn_protocol().map(|name| String::from_utf8(name.into()).unwrap()),
                resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
                client_certificate: tls
                    .peer_certificates()
                    .map(|chain| chain[0].clone().into_owned()),
            });
            let service = service_fn(|request: Request<Incoming>| async {
                request.into_body().collect().await?;
                Ok::<_, hyper::Error>(Response::new(Full::new(bytes::Bytes::from_static(b"{}"))))
            });
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
