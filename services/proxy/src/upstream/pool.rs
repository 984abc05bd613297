//! Connections of one core to one upstream. Idle ones of HTTP/1.1 are kept, the
//! newest is used first, so that those not needed grow old and are closed;
//! HTTP/2 connections are shared. Their number can be bounded.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body as _, Frame};
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    BaseUrl, ConnectError, HttpVersion, Tls, UpstreamConfig,
    connect::connect,
    connection::Connection,
    dial::{Dialler, Failures},
    head::{announce_body, for_http1, for_http2},
    http2,
};
use crate::{
    core::{Counters, Shared},
    expect,
    stream::Stream,
    tap::RequestTap,
    upgrade,
};

/// Most idle connections that are kept.
const MAX_IDLE: usize = 512;

/// Connections to one upstream.
pub(crate) struct Pool {
    base: BaseUrl,
    dialler: Dialler,
    tls: Tls,
    config: UpstreamConfig,
    shared: Arc<Shared>,
    idle: Mutex<Vec<Idle>>,
    http2: http2::Connections,
    /// When an upstream that was offered HTTP/2 did not take it.
    declined_http2: Mutex<Option<Instant>>,
    /// One for each request on HTTP/1.1 and each connection of HTTP/2; `None`:
    /// no limit.
    permits: Option<Arc<Semaphore>>,
}

struct Idle {
    connection: Connection,
    opened: Instant,
    since: Instant,
}

/// A connection, or a share of one, that one request uses; `give_back` makes it
/// idle again.
pub(crate) struct Checkout {
    link: Link,
    /// It served a request before.
    pub(crate) reused: bool,
    opened: Instant,
    /// Given back after the connection: who waited for it finds that.
    permit: Permit,
    pool: Arc<Pool>,
}

/// The right to a connection, where their number is bounded.
pub(crate) type Permit = Option<OwnedSemaphorePermit>;

enum Link {
    Http1(Connection),
    Http2(http2::Lease),
}

impl Pool {
    /// A pool for one of `cores` cores.
    pub(crate) fn new(
        base: BaseUrl,
        tls: Tls,
        config: &UpstreamConfig,
        cores: usize,
        shared: Arc<Shared>,
    ) -> Self {
        let connections = config.pool.connections.map(|all| all.div_ceil(cores.max(1)));
        Self {
            dialler: Dialler::new(base.host(), base.port()),
            base,
            tls,
            config: config.clone(),
            shared,
            idle: Mutex::default(),
            http2: http2::Connections::default(),
            declined_http2: Mutex::default(),
            permits: connections.map(|connections| Arc::new(Semaphore::new(connections))),
        }
    }

    pub(crate) fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// A request is sent again.
    pub(crate) fn retried(&self) {
        Counters::add(&self.shared.counters.upstream_retries);
    }

    /// How upstreams are reached.
    pub(crate) fn config(&self) -> &UpstreamConfig {
        &self.config
    }

    /// A connection for this request: one that is open and free, or a new one.
    /// Waits for a while if there are as many as allowed.
    pub(crate) async fn checkout<B>(
        self: &Arc<Self>,
        request: &Request<B>,
    ) -> Result<Checkout, ConnectError> {
        if self.wants_http2(request)
            && let Some(checkout) = self.share().await?
        {
            return Ok(checkout);
        }
        let permit = self.permit().await?;
        match self.take_idle() {
            Some(Idle { connection, opened, .. }) => {
                Ok(self.lend(Link::Http1(connection), true, opened, permit))
            }
            None => self.open_http1(permit).await,
        }
    }

    /// A connection that no request was sent on.
    pub(crate) async fn checkout_new<B>(
        self: &Arc<Self>,
        request: &Request<B>,
    ) -> Result<Checkout, ConnectError> {
        if self.wants_http2(request)
            && let Some(checkout) = self.share().await?
        {
            return Ok(checkout);
        }
        let permit = self.permit().await?;
        self.open_http1(permit).await
    }

    /// Closes connections that were idle for too long, are too old, or that the
    /// upstream closed.
    pub(crate) fn close_old(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(|idle| self.keeps(idle));
        drop(idle);
        self.http2.close_old(self.config.pool.keep_idle, self.config.pool.max_age);
    }

    /// A connection that leaves HTTP is one of HTTP/1.1.
    fn wants_http2<B>(&self, request: &Request<B>) -> bool {
        if self.base.is_http2_only() {
            return true;
        }
        let wanted = match self.config.http {
            HttpVersion::Same => request.version() == Version::HTTP_2,
            HttpVersion::Http2 => !upgrade::asks(request.headers()),
            HttpVersion::Http1 => false,
        };
        wanted && self.base.is_https() && !self.declined_http2()
    }

    /// Whether the upstream has not taken HTTP/2 lately.
    fn declined_http2(&self) -> bool {
        let declined = self.declined_http2.lock().unwrap_or_else(PoisonError::into_inner);
        declined.is_some_and(|at| at.elapsed() < self.config.pool.max_age)
    }

    fn lend(
        self: &Arc<Self>,
        link: Link,
        reused: bool,
        opened: Instant,
        permit: Permit,
    ) -> Checkout {
        Checkout { link, reused, opened, permit, pool: self.clone() }
    }

    fn take_idle(&self) -> Option<Idle> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut newest) = idle.pop() {
            if self.keeps(&mut newest) {
                return Some(newest);
            }
        }
        None
    }

    fn keeps(&self, idle: &mut Idle) -> bool {
        idle.since.elapsed() < self.config.pool.keep_idle
            && idle.opened.elapsed() < self.config.pool.max_age
            && idle.connection.is_idle()
    }

    /// The right to a connection, at once or after a wait.
    async fn permit(&self) -> Result<Permit, ConnectError> {
        let Some(permits) = &self.permits else { return Ok(None) };
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return Ok(Some(permit));
        }
        Counters::add(&self.shared.counters.upstream_waits);
        let waited = timeout(self.config.pool.wait, permits.clone().acquire_owned());
        match waited.await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            _ => Err(self.busy()),
        }
    }

    fn busy(&self) -> ConnectError {
        Counters::add(&self.shared.counters.upstream_busy);
        ConnectError::Busy(self.config.pool.wait)
    }

    async fn open_http1(self: &Arc<Self>, permit: Permit) -> Result<Checkout, ConnectError> {
        let mut failures = Failures::default();
        let opening = async {
            let stream = self.connect(false, &mut failures).await?;
            Connection::open(stream).await.map_err(ConnectError::Handshake)
        };
        let opened = timeout(self.config.connect_timeout, opening).await;
        let connection = opened.unwrap_or_else(|_| Err(self.timed_out(failures)))?;
        Ok(self.lend(Link::Http1(connection), false, Instant::now(), permit))
    }

    /// A stream of an HTTP/2 connection, or a connection of HTTP/1.1 from an
    /// upstream that does not speak it; `None` if another request has found out in
    /// the meantime that it does not.
    async fn share(self: &Arc<Self>) -> Result<Option<Checkout>, ConnectError> {
        if let Some(checkout) = self.shared() {
            return Ok(Some(checkout));
        }
        let Ok(_opening) = timeout(self.config.connect_timeout, self.http2.opening.lock()).await
        else {
            return Err(self.timed_out(Failures::default()));
        };
        if self.declined_http2() {
            return Ok(None);
        }
        let permit = loop {
            if let Some(checkout) = self.shared() {
                return Ok(Some(checkout));
            }
            match self.permits.clone().map(Semaphore::try_acquire_owned) {
                None => break None,
                Some(Ok(permit)) => break Some(permit),
                Some(Err(_)) => self.stream_freed().await?,
            }
        };
        let mut failures = Failures::default();
        let opened =
            timeout(self.config.connect_timeout, self.open_http2(permit, &mut failures)).await;
        opened.unwrap_or_else(|_| Err(self.timed_out(failures))).map(Some)
    }

    /// A stream of a connection that is open.
    fn shared(self: &Arc<Self>) -> Option<Checkout> {
        let lease = self.http2.lease(self.config.pool.max_age)?;
        Some(self.lend(Link::Http2(lease), true, Instant::now(), None))
    }

    async fn open_http2(
        self: &Arc<Self>,
        permit: Permit,
        failures: &mut Failures,
    ) -> Result<Checkout, ConnectError> {
        let stream = self.connect(true, failures).await?;
        let now = Instant::now();
        if self.base.is_http2_only() || stream.chose_http2() {
            let added = self.http2.add(stream, permit).await;
            let lease = added.map_err(ConnectError::Handshake)?;
            return Ok(self.lend(Link::Http2(lease), false, now, None));
        }
        *self.declined_http2.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        let connection = Connection::open(stream).await.map_err(ConnectError::Handshake)?;
        Ok(self.lend(Link::Http1(connection), false, now, permit))
    }

    /// Waits until a stream or a connection of HTTP/2 has ended.
    async fn stream_freed(&self) -> Result<(), ConnectError> {
        Counters::add(&self.shared.counters.upstream_waits);
        let freed = self.http2.freed.notified();
        timeout(self.config.pool.wait, freed).await.map_err(|_| self.busy())
    }

    async fn connect(
        &self,
        offer_http2: bool,
        failures: &mut Failures,
    ) -> Result<Stream, ConnectError> {
        let stream = connect(&self.base, &self.dialler, &self.tls, offer_http2, failures).await?;
        Counters::add(&self.shared.counters.upstream_connections);
        Ok(stream)
    }

    fn timed_out(&self, failures: Failures) -> ConnectError {
        ConnectError::TimedOut(self.config.connect_timeout, failures)
    }
}

impl Checkout {
    /// Sends a request and waits for the head of its response. The error has the
    /// request if none of it was sent.
    pub(crate) async fn send(
        &mut self,
        mut request: Request<RequestTap>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestTap>>> {
        match &mut self.link {
            Link::Http1(connection) => {
                for_http1(&mut request);
                announce_body(&mut request);
                expect::ask_upstream(&mut request);
                connection.send(request).await
            }
            Link::Http2(lease) => {
                for_http2(&mut request, &self.pool.base);
                // hyper does not show what comes before a response of HTTP/2.
                expect::ask_client(&request);
                lease.sender.try_send_request(request).await
            }
        }
    }

    /// Longest time from the end of a request to the head of its response.
    pub(crate) fn head_timeout(&self) -> Option<Duration> {
        self.pool.config.head_timeout
    }

    /// The next frame of the body of the response that `send` gave.
    pub(crate) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match &mut self.link {
            Link::Http1(connection) => connection.poll_frame(body, context),
            Link::Http2(_) => Pin::new(body).poll_frame(context),
        }
    }

    /// After a response with status 101: the stream below, what was read from it
    /// beyond that response, and the right to the connection.
    pub(crate) async fn leave_http(self) -> Option<(Stream, Bytes, Permit)> {
        match self.link {
            Link::Http1(connection) => {
                let (stream, read) = connection.leave_http().await?;
                Some((stream, read, self.permit))
            }
            Link::Http2(_) => None,
        }
    }

    /// Makes the connection idle; only after both bodies ended.
    pub(crate) fn give_back(self) {
        let Link::Http1(mut connection) = self.link else { return };
        if !connection.is_idle() {
            return;
        }
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { connection, opened: self.opened, since: Instant::now() });
        }
        drop(idle);
        drop(self.permit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::TlsFiles;

    fn pool(url: &str, http: HttpVersion) -> Pool {
        let config = UpstreamConfig { http, ..UpstreamConfig::default() };
        let tls = Tls::new(TlsFiles::default()).unwrap();
        Pool::new(url.parse().unwrap(), tls, &config, 1, Arc::new(Shared::new(None)))
    }

    #[test]
    fn http2_is_spoken_where_client_setting_and_url_allow() {
        let request = |version, upgrade: bool| {
            let mut request = Request::get("/").version(version);
            if upgrade {
                request = request.header("connection", "upgrade").header("upgrade", "websocket");
            }
            request.body(()).unwrap()
        };
        let (old, new) = (request(Version::HTTP_11, false), request(Version::HTTP_2, false));
        let websocket = request(Version::HTTP_11, true);
        for (url, http, expected) in [
            ("https://h", HttpVersion::Same, [false, true, false]),
            ("https://h", HttpVersion::Http2, [true, true, false]),
            ("https://h", HttpVersion::Http1, [false, false, false]),
            ("http://h", HttpVersion::Http2, [false, false, false]),
            ("h2c://h", HttpVersion::Same, [true, true, true]),
        ] {
            let pool = pool(url, http);
            let wants = [&old, &new, &websocket].map(|request| pool.wants_http2(request));
            assert_eq!(wants, expected, "{url} {http:?}");
        }
    }
}
