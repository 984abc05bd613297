//! One connection of the load generator: sends the request, reads the answer
//! without keeping it, and compares it as it comes.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, time::Instant};

use super::{
    meters::{Exchange, Failure},
    schedule::Client,
};

/// Pause after a connection that was refused, so that a dead target does not
/// turn the load into a busy loop.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// Where to connect to and what to ask there.
#[derive(Debug, Clone)]
pub(super) struct Target {
    host: String,
    port: u16,
    uri: Uri,
}

impl Target {
    /// `None` for a URL that is not absolute or not `http`.
    pub(super) fn new(uri: &Uri) -> Option<Self> {
        let is_http = uri.scheme_str() == Some("http");
        let host = uri.host().filter(|_| is_http)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: uri.port_u16().unwrap_or(80), uri: uri.clone() })
    }
}

/// The request that is sent again and again.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) http2: bool,
    pub(super) timeout: Duration,
    /// The right answer.
    pub(super) expected: Option<Bytes>,
}

impl Plan {
    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        let uri = &self.target.uri;
        if self.http2 {
            *request.uri_mut() = uri.clone();
            return request;
        }
        if let Some(path) = uri.path_and_query() {
            *request.uri_mut() = Uri::from(path.clone());
        }
        let host = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        if let Some(host) = host {
            request.headers_mut().entry(header::HOST).or_insert(host);
        }
        request
    }
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A connection that is made when it is needed, and made anew when it broke.
pub(super) struct Connection {
    plan: Arc<Plan>,
    sender: Option<Sender>,
}

impl Connection {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        Self { plan, sender: None }
    }

    /// The body of one answer.
    pub(super) async fn fetch(mut self) -> Result<Bytes, Failure> {
        let timeout = self.plan.timeout;
        let read = async {
            let mut response = self.send().await?;
            let mut whole = BytesMut::new();
            while let Some(frame) = response.body_mut().frame().await {
                if let Ok(data) = frame?.into_data() {
                    whole.extend_from_slice(&data);
                }
            }
            match response.status().as_u16() {
                200..=299 => Ok(whole.freeze()),
                status => Err(Failure::Status(status)),
            }
        };
        tokio::time::timeout(timeout, read).await.unwrap_or(Err(Failure::Timeout))
    }

    async fn try_exchange(&mut self) -> Result<Exchange, Failure> {
        let sent = Instant::now();
        let mut response = self.send().await?;
        let status = response.status();
        let mut exchange = Exchange { head: sent.elapsed(), ..Exchange::default() };
        let mut last: Option<Instant> = None;
        let mut mismatch = None;
        while let Some(frame) = response.body_mut().frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            let now = Instant::now();
            match last.replace(now) {
                Some(last) => exchange.gaps.push(now - last),
                None => exchange.first_byte = Some(now - sent),
            }
            mismatch = mismatch.or_else(|| self.difference(exchange.bytes, &data));
            exchange.bytes += data.len() as u64;
            exchange.pieces += 1;
        }
        if !status.is_success() {
            return Err(Failure::Status(status.as_u16()));
        }
        let expected = self.plan.expected.as_ref().map(|expected| expected.len() as u64);
        let short = expected.filter(|expected| *expected != exchange.bytes);
        match mismatch.or(short.map(|expected| expected.min(exchange.bytes))) {
            Some(at) => Err(Failure::Mismatch(at)),
            None => Ok(exchange),
        }
    }

    /// Offset of the first byte of `data` that is not the expected one.
    fn difference(&self, offset: u64, data: &[u8]) -> Option<u64> {
        let expected = self.plan.expected.as_ref()?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(expected.len());
        let rest = &expected[start..];
        if rest.starts_with(data) {
            return None;
        }
        let same = rest.iter().zip(data).take_while(|(left, right)| left == right).count();
        Some(offset + same as u64)
    }

    async fn send(&mut self) -> Result<hyper::Response<Incoming>, Failure> {
        let ready = match &mut self.sender {
            Some(Sender::Http1(sender)) => sender.ready().await.is_ok(),
            Some(Sender::Http2(sender)) => sender.ready().await.is_ok(),
            None => false,
        };
        if !ready {
            self.sender = Some(self.connect().await?);
        }
        let request = self.plan.request();
        match &mut self.sender {
            Some(Sender::Http1(sender)) => Ok(sender.send_request(request).await?),
            Some(Sender::Http2(sender)) => Ok(sender.send_request(request).await?),
            None => Err(Failure::Connect("no connection".to_owned())),
        }
    }

    async fn connect(&self) -> Result<Sender, Failure> {
        let target = &self.plan.target;
        let failed = |error: &dyn std::fmt::Display| Failure::Connect(error.to_string());
        let stream = TcpStream::connect((target.host.as_str(), target.port))
            .await
            .map_err(|error| failed(&error))?;
        let _ = stream.set_nodelay(true);
        let io = TokioIo::new(stream);
        if self.plan.http2 {
            let (sender, driver) =
                http2::handshake(TokioExecutor::new(), io).await.map_err(|error| failed(&error))?;
            tokio::spawn(driver);
            Ok(Sender::Http2(sender))
        } else {
            let (sender, driver) = http1::handshake(io).await.map_err(|error| failed(&error))?;
            tokio::spawn(driver);
            Ok(Sender::Http1(sender))
        }
    }
}

impl Client for Connection {
    async fn exchange(&mut self) -> Result<Exchange, Failure> {
        let timeout = self.plan.timeout;
        let result = tokio::time::timeout(timeout, self.try_exchange()).await;
        let result = result.unwrap_or(Err(Failure::Timeout));
        match &result {
            Ok(_) | Err(Failure::Status(_)) => {}
            Err(failure) => {
                self.sender = None;
                if matches!(failure, Failure::Connect(_)) {
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
            }
        }
        result
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self::Broken(error.to_string())
    }
}
