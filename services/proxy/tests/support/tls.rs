//! A TLS server that notes its handshakes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
pub use modash_test_support::Authority;
use modash_test_support::Identity;
use rustls::{
    HandshakeKind, ServerConfig, pki_types::CertificateDer, server::WebPkiClientVerifier,
};
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_rustls::TlsAcceptor;

/// One TLS handshake, as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    pub server_name: Option<String>,
    pub protocol: Option<String>,
    pub resumed: bool,
    pub client_certificate: Option<CertificateDer<'static>>,
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
                let roots = authority.roots().into();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                builder.with_client_cert_verifier(verifier.unwrap())
            }
        };
        let (chain, key) = identity.parts();
        let mut config = builder.with_single_cert(chain, key).unwrap();
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
