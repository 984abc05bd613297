//! The HTTP client of OTLP over HTTP: one connection for each export. With one export
//! in seconds a pool would save nothing, and the client of `reqwest` would bring a
//! second TLS set-up.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, header::HOST};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Handle,
    task::JoinSet,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

/// Most bytes of an answer.
const MOST_BYTES: usize = 1 << 20;

/// Sends requests of the exporters. It works on their runtime, from whatever thread it
/// is called: the SDK exports metrics from one without a runtime.
pub(crate) struct OtlpClient {
    tls: Arc<ClientConfig>,
    timeout: Duration,
    runtime: Handle,
}

impl fmt::Debug for OtlpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtlpClient")
    }
}

impl OtlpClient {
    /// Works on the runtime of its caller.
    pub(crate) fn new(tls: ClientConfig, timeout: Duration) -> Self {
        Self { tls: Arc::new(tls), timeout, runtime: Handle::current() }
    }
}

#[async_trait]
impl HttpClient for OtlpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (tls, timeout) = (self.tls.clone(), self.timeout);
        let sending = async move {
            tokio::time::timeout(timeout, send(tls, request))
                .await
                .map_err(|_| HttpError::from("the collector does not answer in time"))?
        };
        AbortOnDropHandle::new(self.runtime.spawn(sending)).await?
    }
}

async fn send(
    tls: Arc<ClientConfig>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let uri = request.uri();
    let host = uri.host().ok_or("the endpoint has no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    if secure {
        let name = ServerName::try_from(host)?;
        exchange(TlsConnector::from(tls).connect(name, stream).await?, request).await
    } else {
        exchange(stream, request).await
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with this future.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let (mut head, body) = request.into_parts();
    if let Some(authority) = head.uri.authority() {
        head.headers.insert(HOST, authority.as_str().parse()?);
    }
    head.uri = head.uri.path_and_query().map_or("/", |target| target.as_str()).parse()?;
    let response = sender.send_request(Request::from_parts(head, Full::new(body))).await?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MOST_BYTES).collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}
