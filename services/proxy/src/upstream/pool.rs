//! Connections of one core to one upstream: how they are opened, which version of HTTP
//! is spoken on them, and how many there may be.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use modash_runtime::ClientTls;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    ConnectError, Lease,
    connect::connect,
    dial::{Dialler, Failures},
    habits::Habits,
    http2,
    lease::Idle,
    socket,
};
use crate::{
    counters::Counters,
    settings::{BaseUrl, HttpVersion, UpstreamConfig},
};

/// Connections to one upstream.
pub(crate) struct Pool {
    base: BaseUrl,
    dialler: Dialler,
    tls: ClientTls,
    config: UpstreamConfig,
    counters: Arc<Counters>,
    kept: Mutex<Kept>,
    http2: http2::Connections,
    /// When an upstream that was offered HTTP/2 did not take it.
    declined_http2: Mutex<Option<Instant>>,
    /// One for each request on HTTP/1.1 and each connection of HTTP/2; `None`:
    /// no limit.
    pub(super) permits: Option<Arc<Semaphore>>,
}

/// What is kept from one request to the next.
#[derive(Default)]
pub(super) struct Kept {
    /// Connections of HTTP/1.1 without a request.
    pub(super) idle: Vec<Idle>,
    /// When the upstream closes them.
    pub(super) habits: Habits,
}

/// The right to a connection, where their number is bounded.
pub(crate) type Permit = Option<OwnedSemaphorePermit>;

impl Pool {
    /// A pool for one of `cores` cores.
    pub(crate) fn new(
        base: BaseUrl,
        tls: ClientTls,
        config: &UpstreamConfig,
        cores: usize,
        counters: Arc<Counters>,
    ) -> Self {
        let connections = config.pool.connections.map(|all| all.div_ceil(cores.max(1)));
        Self {
            dialler: Dialler::new(base.host(), base.port()),
            base,
            tls,
            config: config.clone(),
            counters,
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
        Counters::add(&self.counters.upstream_retries);
    }

    /// How upstreams are reached.
    pub(crate) fn config(&self) -> &UpstreamConfig {
        &self.config
    }

    /// Closes connections that were idle for too long, are too old, or that the
    /// upstream closed.
    pub(crate) fn close_old(&self) {
        self.close_old_idle();
        self.http2.close_old(self.config.pool.keep_idle, self.config.pool.max_age);
    }

    /// Whether HTTP/2 is tried for a request. `client`: its client speaks HTTP/2;
    /// `upgrade`: it asks to leave HTTP, which HTTP/2 does not offer.
    pub(crate) fn wants_http2(&self, client: bool, upgrade: bool) -> bool {
        if self.base.is_http2_only() {
            return true;
        }
        let wanted = match self.config.http {
            HttpVersion::Same => client,
            HttpVersion::Http2 => !upgrade,
            HttpVersion::Http1 => false,
        };
        wanted && self.base.is_https() && !self.declined_http2()
    }

    /// Whether the upstream has not taken HTTP/2 lately.
    fn declined_http2(&self) -> bool {
        let declined = self.declined_http2.lock().unwrap_or_else(PoisonError::into_inner);
        declined.is_some_and(|at| at.elapsed() < self.config.pool.max_age)
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to a connection, at once or after a wait.
    pub(super) async fn permit(&self) -> Result<Permit, ConnectError> {
        let Some(permits) = &self.permits else { return Ok(None) };
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return Ok(Some(permit));
        }
        Counters::add(&self.counters.upstream_waits);
        let waited = timeout(self.config.pool.wait, permits.clone().acquire_owned());
        match waited.await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            _ => Err(self.busy()),
        }
    }

    fn busy(&self) -> ConnectError {
        Counters::add(&self.counters.upstream_busy);
        ConnectError::Busy(self.config.pool.wait)
    }

    /// A stream of an HTTP/2 connection, or a connection of HTTP/1.1 from an
    /// upstream that does not speak it; `None` if another request has found out in
    /// the meantime that it does not.
    pub(super) async fn share(self: &Arc<Self>) -> Result<Option<Lease>, ConnectError> {
        let mut waiting = None;
        let mut permit = None;
        loop {
            if let Some(lease) = self.share_open() {
                return Ok(Some(lease));
            }
            // Whoever waits for a permit leaves this to others.
            let Ok(opening) = timeout(self.config.connect_timeout, self.http2.opening.lock()).await
            else {
                return Err(self.timed_out(Failures::default()));
            };
            if self.declined_http2() {
                return Ok(None);
            }
            if let Some(lease) = self.share_open() {
                return Ok(Some(lease));
            }
            if let Some(permits) = &self.permits
                && permit.is_none()
            {
                permit = permits.clone().try_acquire_owned().ok();
            }
            if permit.is_some() || self.permits.is_none() {
                return self.open_http2(permit).await.map(Some);
            }
            drop(opening);
            permit = self.room(&mut waiting).await?;
        }
    }

    /// A share of a connection of HTTP/2 that is open.
    pub(super) fn share_open(self: &Arc<Self>) -> Option<Lease> {
        let share = self.http2.lease(self.config.pool.max_age)?;
        Some(self.lease_share(share, true))
    }

    async fn open_http2(self: &Arc<Self>, permit: Permit) -> Result<Lease, ConnectError> {
        let stream = self.open(true).await?;
        if self.base.is_http2_only() || stream.chose_http2() {
            let adding = self.http2.add(stream, permit);
            let added = timeout(self.config.connect_timeout, adding).await;
            let added = added.map_err(|_| self.timed_out(Failures::default()))?;
            let share = added.map_err(ConnectError::Handshake)?;
            return Ok(self.lease_share(share, false));
        }
        let now = Instant::now();
        *self.declined_http2.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(self.lease_of(stream, permit))
    }

    /// Waits until a stream of HTTP/2 has ended, or for the right to a connection,
    /// which it gives then. `waiting`: since when this request waits.
    async fn room(&self, waiting: &mut Option<Instant>) -> Result<Permit, ConnectError> {
        let since = *waiting.get_or_insert_with(|| {
            Counters::add(&self.counters.upstream_waits);
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

    /// Opens a connection, within the connect timeout.
    pub(super) async fn open(&self, offer_http2: bool) -> Result<socket::Link, ConnectError> {
        let mut failures = Failures::default();
        let opening = connect(&self.base, &self.dialler, &self.tls, offer_http2, &mut failures);
        let opened = timeout(self.config.connect_timeout, opening).await;
        let stream = opened.unwrap_or_else(|_| Err(self.timed_out(failures)))?;
        Counters::add(&self.counters.upstream_connections);
        Ok(stream)
    }

    fn timed_out(&self, failures: Failures) -> ConnectError {
        ConnectError::TimedOut(self.config.connect_timeout, failures)
    }
}

#[cfg(test)]
mod tests {
    use modash_runtime::ClientTlsFiles;

    use super::*;
    use crate::settings::UPSTREAM_PEER;

    fn pool(url: &str, http: HttpVersion) -> Pool {
        let config = UpstreamConfig { http, ..UpstreamConfig::default() };
        let tls = ClientTls::new("none", UPSTREAM_PEER.files, ClientTlsFiles::default()).unwrap();
        Pool::new(url.parse().unwrap(), tls, &config, 1, Arc::default())
    }

    #[test]
    fn http2_is_spoken_where_client_setting_and_url_allow() {
        for (url, http, expected) in [
            ("https://h", HttpVersion::Same, [false, true, false]),
            ("https://h", HttpVersion::Http2, [true, true, false]),
            ("https://h", HttpVersion::Http1, [false, false, false]),
            ("http://h", HttpVersion::Http2, [false, false, false]),
            ("h2c://h", HttpVersion::Same, [true, true, true]),
        ] {
            let pool = pool(url, http);
            let wants = [(false, false), (true, false), (false, true)];
            let wants = wants.map(|(client, upgrade)| pool.wants_http2(client, upgrade));
            assert_eq!(wants, expected, "{url} {http:?}");
        }
    }
}
