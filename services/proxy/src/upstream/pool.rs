//! Connections of one core to one upstream. Idle ones of HTTP/1.1 are kept, the
//! newest is used first, so that those not needed grow old and are closed;
//! HTTP/2 connections are shared. Their number can be bounded.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header::CONNECTION};
use http_body::{Body as _, Frame};
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    BaseUrl, ConnectError, HttpVersion, Tls, UpstreamConfig,
    connect::connect,
    connection::{Connection, Look},
    dial::{Dialler, Failures},
    habits::{After, Habits},
    head::{announce_body, for_http1, for_http2},
    http2,
    lease::IdleStream,
    socket,
    wire::Reopen,
};
use crate::{
    core::{Counters, Shared},
    tap::RequestTap,
};

/// Most idle connections that are kept.
pub(super) const MAX_IDLE: usize = 512;

/// Connections to one upstream.
pub(crate) struct Pool {
    base: BaseUrl,
    dialler: Dialler,
    tls: Tls,
    config: UpstreamConfig,
    shared: Arc<Shared>,
    kept: Mutex<Kept>,
    http2: http2::Connections,
    /// When an upstream that was offered HTTP/2 did not take it.
    declined_http2: Mutex<Option<Instant>>,
    /// One for each request on HTTP/1.1 and each connection of HTTP/2; `None`:
    /// no limit.
    pub(super) permits: Option<Arc<Semaphore>>,
}

/// Connections of HTTP/1.1 without a request.
#[derive(Default)]
pub(super) struct Kept {
    idle: Vec<Idle>,
    /// Those that the relay used.
    pub(super) streams: Vec<IdleStream>,
    /// When the upstream closes them.
    pub(super) habits: Habits,
}

struct Idle {
    connection: Connection,
    opened: Instant,
    since: Instant,
    /// What its last answer was.
    after: After,
    /// Its rest has been counted.
    outlived: bool,
}

/// A connection, or a share of one, that one request uses; `give_back` makes it
/// idle again.
pub(crate) struct Checkout {
    link: Link,
    /// It served a request before.
    pub(crate) reused: bool,
    /// What that was, and how long it was idle since then.
    before: Option<(After, Duration)>,
    /// What the answer on it is; `None`: the upstream will close the connection.
    after: Option<After>,
    /// The request was sent again.
    pub(crate) went_again: bool,
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
            kept: Mutex::default(),
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
            Some((Idle { connection, opened, after, .. }, unused)) => {
                let mut checkout = self.lend(Link::Http1(connection), true, opened, permit);
                checkout.before = Some((after, unused));
                Ok(checkout)
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
        let now = Instant::now();
        let mut kept = self.kept();
        let Kept { idle, habits, .. } = &mut *kept;
        idle.retain_mut(|idle| self.keeps(idle, habits, now));
        drop(kept);
        self.close_old_streams(now);
        self.http2.close_old(self.config.pool.keep_idle, self.config.pool.max_age);
    }

    fn wants_http2<B>(&self, request: &Request<B>) -> bool {
        if self.base.is_http2_only() {
            return true;
        }
        let wanted = match self.config.http {
            HttpVersion::Same => request.version() == Version::HTTP_2,
            HttpVersion::Http2 => true,
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
        Checkout {
            link,
            reused,
            before: None,
            after: None,
            went_again: false,
            opened,
            permit,
            pool: self.clone(),
        }
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest connection that can take a request, and how long it was idle.
    fn take_idle(&self) -> Option<(Idle, Duration)> {
        let now = Instant::now();
        let mut kept = self.kept();
        let Kept { idle, habits, .. } = &mut *kept;
        for place in (0..idle.len()).rev() {
            let candidate = &mut idle[place];
            if !self.keeps(candidate, habits, now) {
                idle.remove(place);
                continue;
            }
            let unused = now.saturating_duration_since(candidate.since);
            if !habits.allow(candidate.after, unused) {
                continue;
            }
            match candidate.connection.look() {
                Look::Ready => return Some((idle.remove(place), unused)),
                Look::Later => {}
                Look::Closed => {
                    habits.closed(candidate.after, unused);
                    idle.remove(place);
                }
            }
        }
        if self.permits.is_some() && !idle.is_empty() {
            // Makes room under the limit for the one that is opened now.
            idle.remove(0);
        }
        None
    }

    /// Whether an idle connection is kept. Learns from what happened to it.
    fn keeps(&self, idle: &mut Idle, habits: &mut Habits, now: Instant) -> bool {
        if let Some(woken) = idle.connection.woken()
            && !idle.connection.rest()
        {
            habits.closed(idle.after, woken.saturating_duration_since(idle.since));
            return false;
        }
        let unused = now.saturating_duration_since(idle.since);
        if !idle.outlived && habits.open(idle.after, unused) {
            idle.outlived = true;
        }
        unused < self.config.pool.keep_idle
            && now.saturating_duration_since(idle.opened) < self.config.pool.max_age
    }

    /// The right to a connection, at once or after a wait.
    pub(super) async fn permit(&self) -> Result<Permit, ConnectError> {
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
            let link = self.connect(false, &mut failures).await?;
            Connection::open(link, self.reopening()).await.map_err(ConnectError::Handshake)
        };
        let opened = timeout(self.config.connect_timeout, opening).await;
        let connection = opened.unwrap_or_else(|_| Err(self.timed_out(failures)))?;
        Ok(self.lend(Link::Http1(connection), false, Instant::now(), permit))
    }

    /// A stream of an HTTP/2 connection, or a connection of HTTP/1.1 from an
    /// upstream that does not speak it; `None` if another request has found out in
    /// the meantime that it does not.
    async fn share(self: &Arc<Self>) -> Result<Option<Checkout>, ConnectError> {
        let mut waiting = None;
        let mut permit = None;
        loop {
            if let Some(checkout) = self.shared() {
                return Ok(Some(checkout));
            }
            // Whoever waits for a permit leaves this to others.
            let Ok(opening) = timeout(self.config.connect_timeout, self.http2.opening.lock()).await
            else {
                return Err(self.timed_out(Failures::default()));
            };
            if self.declined_http2() {
                return Ok(None);
            }
            if let Some(checkout) = self.shared() {
                return Ok(Some(checkout));
            }
            if let Some(permits) = &self.permits
                && permit.is_none()
            {
                permit = permits.clone().try_acquire_owned().ok();
            }
            if permit.is_some() || self.permits.is_none() {
                let mut failures = Failures::default();
                let opening = self.open_http2(permit, &mut failures);
                let opened = timeout(self.config.connect_timeout, opening).await;
                return opened.unwrap_or_else(|_| Err(self.timed_out(failures))).map(Some);
            }
            drop(opening);
            permit = self.room(&mut waiting).await?;
        }
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
        let opened = Connection::open(stream, self.reopening()).await;
        let connection = opened.map_err(ConnectError::Handshake)?;
        Ok(self.lend(Link::Http1(connection), false, now, permit))
    }

    /// Waits until a stream of HTTP/2 has ended, or for the right to a connection,
    /// which it gives then. `waiting`: since when this request waits.
    async fn room(&self, waiting: &mut Option<Instant>) -> Result<Permit, ConnectError> {
        let since = *waiting.get_or_insert_with(|| {
            Counters::add(&self.shared.counters.upstream_waits);
            Instant::now()
        });
        let Some(permits) = self.permits.clone() else { return Ok(None) };
        let room = async {
            tokio::select! {
                () = self.http2.freed.notified() => None,
                permit = permits.acquire_owned() => permit.ok(),
            }
        };
        let left = self.config.pool.wait.saturating_sub(since.elapsed());
        timeout(left, room).await.map_err(|_| self.busy())
    }

    pub(super) async fn connect(
        &self,
        offer_http2: bool,
        failures: &mut Failures,
    ) -> Result<socket::Link, ConnectError> {
        let stream = connect(&self.base, &self.dialler, &self.tls, offer_http2, failures).await?;
        Counters::add(&self.shared.counters.upstream_connections);
        Ok(stream)
    }

    /// How a connection of HTTP/1.1 is replaced on which a request met its end.
    fn reopening(self: &Arc<Self>) -> Reopen {
        let pool = Arc::downgrade(self);
        Box::new(move || {
            let pool = pool.clone();
            Box::pin(async move {
                let pool = pool.upgrade().ok_or(io::ErrorKind::NotConnected)?;
                pool.retried();
                let mut failures = Failures::default();
                let opened =
                    timeout(pool.config.connect_timeout, pool.connect(false, &mut failures)).await;
                opened.unwrap_or_else(|_| Err(pool.timed_out(failures))).map_err(io::Error::other)
            })
        })
    }

    pub(super) fn timed_out(&self, failures: Failures) -> ConnectError {
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
                let answer = connection.send(request, self.reused).await;
                self.learn(answer.as_ref().ok());
                answer
            }
            Link::Http2(lease) => {
                for_http2(&mut request, &self.pool.base);
                lease.sender.try_send_request(request).await
            }
        }
    }

    /// What the answer, or that none came, says of the upstream.
    fn learn(&mut self, response: Option<&Response<Incoming>>) {
        let Link::Http1(connection) = &self.link else { return };
        let (answered, went_again) = connection.last_answer();
        if went_again || (response.is_none() && !answered) {
            self.went_again = went_again;
            if let Some((after, idle)) = self.before {
                self.pool.kept().habits.closed(after, idle);
            }
        }
        let Some(response) = response else { return };
        let headers = response.headers();
        if let Some(value) = headers.get("keep-alive").and_then(|value| value.to_str().ok()) {
            self.pool.kept().habits.announced(value);
        }
        let closes = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
        self.after = match response.body().size_hint().exact() {
            _ if headers.get(CONNECTION).is_some_and(closes) => None,
            Some(_) => Some(After::Document),
            None => Some(After::Stream),
        };
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

    /// Makes the connection idle; only after both bodies ended.
    pub(crate) fn give_back(self) {
        let Link::Http1(mut connection) = self.link else { return };
        let Some(after) = self.after else { return };
        let open = connection.rest();
        let mut kept = self.pool.kept();
        if !open {
            kept.habits.closed(after, Duration::ZERO);
        } else if kept.idle.len() < MAX_IDLE {
            let (opened, since) = (self.opened, Instant::now());
            kept.idle.push(Idle { connection, opened, since, after, outlived: false });
        }
        drop(kept);
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
        Pool::new(url.parse().unwrap(), tls, &config, 1, Shared::for_tests())
    }

    #[test]
    fn http2_is_spoken_where_client_setting_and_url_allow() {
        let request = |version| Request::get("/").version(version).body(()).unwrap();
        let (old, new) = (request(Version::HTTP_11), request(Version::HTTP_2));
        for (url, http, expected) in [
            ("https://h", HttpVersion::Same, [false, true]),
            ("https://h", HttpVersion::Http2, [true, true]),
            ("https://h", HttpVersion::Http1, [false, false]),
            ("http://h", HttpVersion::Http2, [false, false]),
            ("h2c://h", HttpVersion::Same, [true, true]),
        ] {
            let pool = pool(url, http);
            let wants = [&old, &new].map(|request| pool.wants_http2(request));
            assert_eq!(wants, expected, "{url} {http:?}");
        }
    }
}
