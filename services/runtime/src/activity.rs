//! What happens on one connection, and since when nothing does: decides when a
//! connection has had enough time.

use std::{
    convert::Infallible,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    http::{Request, Response, Version},
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::Instant,
};
use tower::{Service, ServiceExt as _};

use crate::{ListenerLimits, unread::ReadToTheEnd};

/// First bytes of every HTTP/2 connection (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI";

/// The state of one connection, shared by what drives it.
#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// Requests whose response has not ended.
    open_requests: usize,
    idle_since: Instant,
    /// First byte of a request head that is not complete (HTTP/1.1 only: HTTP/2
    /// sends other frames too).
    head_since: Option<Instant>,
    is_new: bool,
    is_http2: bool,
    is_evicted: bool,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        let state = State {
            open_requests: 0,
            idle_since: Instant::now(),
            head_since: None,
            is_new: true,
            is_http2: false,
            is_evicted: false,
        };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request head is complete; the request is open until the guard is dropped.
    pub(crate) fn begin_request(self: &Arc<Self>) -> OpenRequest {
        let mut state = self.state();
        state.open_requests += 1;
        state.is_new = false;
        state.head_since = None;
        drop(state);
        OpenRequest(Arc::clone(self))
    }

    /// Bytes arrived.
    fn received(&self, bytes: &[u8]) {
        let mut state = self.state();
        if state.is_new && state.head_since.is_none() && bytes.starts_with(HTTP2_PREFACE) {
            (state.is_http2, state.is_new) = (true, false);
            drop(state);
            self.changed.notify_one();
        } else if state.open_requests == 0 && !state.is_http2 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Since when no request is open; `None`: one is, or the connection is being
    /// closed.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.open_requests == 0 && !state.is_evicted).then_some(state.idle_since)
    }

    /// Closes the connection unless a request has begun.
    pub(crate) fn evict(&self) {
        self.state().is_evicted = true;
        self.changed.notify_one();
    }

    /// When the connection is to be closed; `None` while a request is open.
    fn deadline(&self, limits: &ListenerLimits) -> Option<Instant> {
        let state = self.state();
        match state.head_since {
            _ if state.open_requests > 0 => None,
            _ if state.is_evicted => Some(Instant::now()),
            Some(begun) => Some(begun + limits.header_timeout),
            None if state.is_new => Some(state.idle_since + limits.header_timeout),
            None => Some(state.idle_since + limits.idle_timeout),
        }
    }

    /// Waits until the connection has had enough time.
    pub(crate) async fn expired(&self, limits: &ListenerLimits) {
        loop {
            let wait = match self.deadline(limits) {
                Some(deadline) if deadline <= Instant::now() => return,
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            // Either way the deadline is read anew.
            let _ = tokio::time::timeout(wait, self.changed.notified()).await;
        }
    }
}

/// A request that is open.
#[derive(Debug)]
pub(crate) struct OpenRequest(Arc<Activity>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open_requests -= 1;
        if state.open_requests == 0 {
            state.idle_since = Instant::now();
            drop(state);
            self.0.changed.notify_one();
        }
    }
}

/// A response body that keeps its request open.
#[derive(Debug)]
pub(crate) struct OpenBody {
    body: axum::body::Body,
    _request: OpenRequest,
}

impl Body for OpenBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The address from which a request came, among its extensions.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

/// Answers the requests of one connection, and notes when each is open.
#[derive(Clone)]
pub(crate) struct Noted {
    router: Router,
    activity: Arc<Activity>,
    address: ClientAddress,
}

impl Noted {
    pub(crate) fn new(router: Router, activity: Arc<Activity>, address: IpAddr) -> Self {
        Self { router, activity, address: ClientAddress(address) }
    }
}

impl<B> Service<Request<B>> for Noted
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<OpenBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.address);
        let open = self.activity.begin_request();
        let http1 = request.version() < Version::HTTP_2;
        let request = request.map(axum::body::Body::new);
        // In HTTP/2 an answer needs no connection of its own.
        let request = if http1 { request.map(ReadToTheEnd::wrap) } else { request };
        let answer = self.router.clone().oneshot(request);
        Box::pin(async move {
            let response = answer.await?;
            Ok(response.map(|body| OpenBody { body, _request: open }))
        })
    }
}

/// A socket whose reads are noted.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    socket: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(crate) fn new(socket: S, activity: Arc<Activity>) -> Self {
        Self { socket, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() > before {
            self.activity.received(&buffer.filled()[before..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
