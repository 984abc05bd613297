//! One question and its answer, bounded in time and bytes.

use std::{future::poll_fn, pin::pin, time::Duration};

use http::{HeaderMap, Request, StatusCode, header};
use http_body::Body as _;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use modash_runtime::ClientTls;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    settings::BaseUrl,
    upstream::{ConnectError, Dialler, Failures, connect},
};

/// Most bytes of an answer that are read.
const MOST_BYTES: usize = 1 << 20;

/// Longest message of an error that is passed on.
const LONGEST_MESSAGE: usize = 200;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreached {
    /// What kind of failure.
    pub kind: UnreachedKind,
    /// In words, as applications get them.
    pub why: String,
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnreachedKind {
    /// The name or the connection.
    Connection,
    /// TLS.
    Tls,
    /// It took too long.
    Time,
    /// What came is no HTTP.
    Http,
}

/// An answer; of a long one its beginning.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Asks one upstream, on one connection as long as that lasts.
pub(super) struct Caller {
    base: BaseUrl,
    tls: ClientTls,
    dialler: Dialler,
    connect_within: Duration,
    key: Option<String>,
    sender: Option<Sender>,
}

enum Sender {
    Http1(http1::SendRequest<String>),
    Http2(http2::SendRequest<String>),
}

impl Caller {
    pub(super) fn new(
        base: BaseUrl,
        tls: ClientTls,
        connect_within: Duration,
        key: Option<String>,
    ) -> Self {
        let dialler = Dialler::new(base.host(), base.port());
        Self { base, tls, dialler, connect_within, key, sender: None }
    }

    /// Sends a request and reads the answer. A connection that has ended meanwhile is
    /// opened anew.
    pub(super) async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: String,
        within: Duration,
    ) -> Result<Answer, Unreached> {
        let mut kept = self.sender.take();
        let usable = match &mut kept {
            Some(sender) => sender.is_ready().await,
            None => false,
        };
        let mut sender = match kept.filter(|_| usable) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let request = self.request(method, path, body, &sender);
        let asking = async {
            let response = sender.send(request).await?;
            let (head, body) = response.into_parts();
            let body = read(body).await?;
            Ok::<_, hyper::Error>(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            })
        };
        let answer = timeout(within, asking).await.map_err(|_| Unreached {
            kind: UnreachedKind::Time,
            why: format!("no answer to {method} {path} within {} s", within.as_secs()),
        })?;
        let answer = answer.map_err(|error| Unreached::no_http(&error))?;
        self.sender = Some(sender);
        Ok(answer)
    }

    fn request(&self, method: &str, path: &str, body: String, sender: &Sender) -> Request<String> {
        let uri = match sender {
            Sender::Http1(_) => path.to_owned(),
            Sender::Http2(_) => {
                let scheme = if self.base.is_https() { "https" } else { "http" };
                format!("{scheme}://{}{path}", self.base.authority())
            }
        };
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(header::USER_AGENT, concat!("modash-doctor/", env!("CARGO_PKG_VERSION")));
        if matches!(sender, Sender::Http1(_)) {
            request = request.header(header::HOST, self.base.host_header());
        }
        if method == "POST" {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let anthropic = self.base.host().ends_with("anthropic.com");
        if anthropic {
            request = request.header("anthropic-version", "2023-06-01");
        }
        match &self.key {
            Some(key) if anthropic => request = request.header("x-api-key", key),
            Some(key) => request = request.header(header::AUTHORIZATION, format!("Bearer {key}")),
            None => {}
        }
        // Paths are those of this module, and keys were checked.
        request.body(body).unwrap_or_default()
    }

    async fn connect(&self) -> Result<Sender, Unreached> {
        let mut failures = Failures::default();
        let opening = connect(&self.base, &self.dialler, &self.tls, false, &mut failures);
        let link = match timeout(self.connect_within, opening).await {
            Ok(link) => link.map_err(|error| Unreached::not_connected(&error))?,
            Err(_) => {
                return Err(Unreached::not_connected(&ConnectError::TimedOut(
                    self.connect_within,
                    failures,
                )));
            }
        };
        let io = TokioIo::new(link);
        if self.base.is_http2_only() {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), io)
                .await
                .map_err(|error| Unreached::no_http(&error))?;
            // Ends with the sender.
            tokio::spawn(driver);
            return Ok(Sender::Http2(sender));
        }
        let (sender, driver) =
            http1::handshake(io).await.map_err(|error| Unreached::no_http(&error))?;
        tokio::spawn(driver);
        Ok(Sender::Http1(sender))
    }
}

impl Sender {
    async fn is_ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    async fn send(&mut self, request: Request<String>) -> hyper::Result<http::Response<Incoming>> {
        match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        }
    }
}

/// The body, or its beginning.
async fn read(body: Incoming) -> hyper::Result<Vec<u8>> {
    let mut body = pin!(body);
    let mut read = Vec::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        if let Ok(bytes) = frame?.into_data() {
            read.extend_from_slice(&bytes);
        }
        if read.len() >= MOST_BYTES {
            read.truncate(MOST_BYTES);
            break;
        }
    }
    Ok(read)
}

impl Unreached {
    fn not_connected(error: &ConnectError) -> Self {
        let kind = match error {
            ConnectError::Tls(_) => UnreachedKind::Tls,
            ConnectError::TimedOut(..) | ConnectError::Busy(_) => UnreachedKind::Time,
            ConnectError::Unreachable(_) => UnreachedKind::Connection,
            ConnectError::Handshake(_) => UnreachedKind::Http,
        };
        Self { kind, why: error.to_string() }
    }

    fn no_http(error: &hyper::Error) -> Self {
        Self { kind: UnreachedKind::Http, why: error.to_string() }
    }
}

impl Answer {
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The message of an error, or the first line of a text; cut.
    pub(super) fn message(&self) -> Option<String> {
        let json = self.json();
        let said = json.as_ref().and_then(|json| {
            let places = ["/error/message", "/error", "/message", "/detail"];
            places.iter().find_map(|place| json.pointer(place)?.as_str())
        });
        let text = match (said, &json) {
            (Some(said), _) => said.to_owned(),
            (None, Some(_)) => return None,
            (None, None) => {
                let text = String::from_utf8_lossy(&self.body);
                // A page for browsers says nothing here.
                let line = text.lines().next().unwrap_or_default().trim().to_owned();
                if line.starts_with('<') {
                    return None;
                }
                line
            }
        };
        let line: String = text
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .take(LONGEST_MESSAGE)
            .collect();
        (!line.is_empty()).then_some(line)
    }

    pub(super) fn is_success(&self) -> bool {
        StatusCode::from_u16(self.status).is_ok_and(|status| status.is_success())
    }
}
