//! Idle connections of one core to one upstream. The newest is used first, so
//! that those not needed grow old and are closed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hyper::client::conn::http1::SendRequest;

use super::{
    BaseUrl, ConnectError,
    connect::{Tls, connect},
};
use crate::tap::RequestTap;

/// How long an idle connection is kept. Shorter than what common servers allow,
/// so that a request seldom meets a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// Most idle connections that are kept.
const MAX_IDLE: usize = 512;

/// Connections to one upstream.
pub(crate) struct Pool {
    base: BaseUrl,
    tls: Tls,
    connect_timeout: Duration,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<RequestTap>,
    since: Instant,
}

/// A connection that one request uses; `give_back` makes it idle again.
pub(crate) struct Checkout {
    /// Sends the request.
    pub(crate) sender: SendRequest<RequestTap>,
    /// It served a request before.
    pub(crate) reused: bool,
    pool: Arc<Pool>,
}

impl Pool {
    pub(crate) fn new(base: BaseUrl, tls: Tls, connect_timeout: Duration) -> Self {
        Self { base, tls, connect_timeout, idle: Mutex::default() }
    }

    pub(crate) fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// An idle connection, if there is one that still lives.
    pub(crate) fn take_idle(self: &Arc<Self>) -> Option<Checkout> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // One that was given back a moment ago may not be ready yet.
            let newest = idle.iter().rposition(|idle| idle.sender.is_ready())?;
            let Idle { sender, since } = idle.remove(newest);
            if since.elapsed() < IDLE_TIMEOUT {
                return Some(Checkout { sender, reused: true, pool: self.clone() });
            }
        }
    }

    /// A new connection.
    pub(crate) async fn open(self: &Arc<Self>) -> Result<Checkout, ConnectError> {
        let sender = connect(&self.base, &self.tls, self.connect_timeout).await?;
        Ok(Checkout { sender, reused: false, pool: self.clone() })
    }

    /// Closes connections that were idle for too long.
    pub(crate) fn close_old(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < IDLE_TIMEOUT && !idle.sender.is_closed());
    }
}

impl Checkout {
    /// Makes the connection idle; only after both bodies ended.
    pub(crate) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { sender: self.sender, since: Instant::now() });
        }
    }
}
