//! A request as the fake upstream received it, while it goes on and afterwards.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Version, request::Parts};
use tokio::sync::watch;

/// How far a request's body has come.
#[derive(Debug, Default, Clone)]
struct Body {
    bytes: BytesMut,
    trailers: Option<HeaderMap>,
    end: Option<End>,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// As its sender meant it to.
    Whole,
    /// The other side broke it off.
    Broken,
}

/// One received request. Clones show the same one.
#[derive(Debug, Clone)]
pub struct Received {
    /// Method.
    pub method: Method,
    /// Path and query as sent.
    pub target: String,
    /// Protocol version.
    pub version: Version,
    /// Headers; for spelling and order see `raw_head`.
    pub headers: HeaderMap,
    /// With HTTP/1.1 the exact bytes of request line and headers, the empty line
    /// included, if the client does not pipeline. Empty with HTTP/2.
    pub raw_head: Bytes,
    /// Number of the connection, from 1 in the order in which they came.
    pub connection: usize,
    body: Arc<watch::Sender<Body>>,
    answered: Arc<watch::Sender<Option<End>>>,
    sent: Arc<AtomicU64>,
}

impl Received {
    pub(crate) fn new(parts: &Parts, raw_head: Bytes, connection: usize) -> Self {
        let target =
            parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string);
        Self {
            method: parts.method.clone(),
            target,
            version: parts.version,
            headers: parts.headers.clone(),
            raw_head,
            connection,
            body: Arc::default(),
            answered: Arc::default(),
            sent: Arc::default(),
        }
    }

    /// What has come of the body.
    #[must_use]
    pub fn body_so_far(&self) -> Bytes {
        Bytes::copy_from_slice(&self.body.borrow().bytes)
    }

    /// The whole body, when it is there; None when the client broke it off.
    pub async fn body(&self) -> Option<Bytes> {
        let mut watch = self.body.subscribe();
        let body = watch.wait_for(|body| body.end.is_some()).await.ok()?;
        (body.end == Some(End::Whole)).then(|| Bytes::copy_from_slice(&body.bytes))
    }

    /// Returns when the body is at least `length` bytes long.
    pub async fn body_reached(&self, length: usize) {
        let _ = self.body.subscribe().wait_for(|body| body.bytes.len() >= length).await;
    }

    /// Trailers of the request, if it has ended with any.
    #[must_use]
    pub fn trailers(&self) -> Option<HeaderMap> {
        self.body.borrow().trailers.clone()
    }

    /// Returns when the client has left before the answer was complete; never
    /// when it got it all.
    pub async fn cancelled(&self) {
        let mut watch = self.answered.subscribe();
        let _ = watch.wait_for(|end| *end == Some(End::Broken)).await;
    }

    /// Bytes of the answer's body that its connection has taken so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether the whole answer was handed to the connection.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        *self.answered.borrow() == Some(End::Whole)
    }

    /// Whether an answer with this status has no body, whatever the script says.
    pub(crate) fn is_bodiless(&self, status: StatusCode) -> bool {
        self.method == Method::HEAD || matches!(status.as_u16(), 100..=199 | 204 | 304)
    }

    pub(crate) fn add_body(&self, bytes: &[u8]) {
        self.body.send_modify(|body| body.bytes.extend_from_slice(bytes));
    }

    pub(crate) fn add_trailers(&self, trailers: HeaderMap) {
        self.body.send_modify(|body| body.trailers = Some(trailers));
    }

    pub(crate) fn add_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn end_body(&self, end: End) {
        self.body.send_modify(|body| body.end = Some(end));
    }

    /// The first end counts.
    pub(crate) fn end_answer(&self, end: End) {
        self.answered.send_if_modified(|answered| {
            let first = answered.is_none();
            if first {
                *answered = Some(end);
            }
            first
        });
    }
}
