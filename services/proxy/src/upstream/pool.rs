//! Idle connections of one core to one upstream. The newest is used first, so
//! that those not needed grow old and are closed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hyper::client::conn::http1::SendRequest;

use super::{
    BaseUrl, ConnectError, PoolConfig, Tls, UpstreamConfig, connect::connect, dial::Dialler,
};
use crate::tap::RequestTap;

/// Most idle connections that are kept.
const MAX_IDLE: usize = 512;

/// Connections to one upstream.
pub(crate) struct Pool {
    base: BaseUrl,
    dialler: Dialler,
    tls: Tls,
    connect_timeout: Duration,
    config: PoolConfig,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<RequestTap>,
    opened: Instant,
    since: Instant,
}

/// A connection that one request uses; `give_back` makes it idle again.
pub(crate) struct Checkout {
    /// Sends the request.
    pub(crate) sender: SendRequest<RequestTap>,
    /// It served a request before.
    pub(crate) reused: bool,
    opened: Instant,
    pool: Arc<Pool>,
}

impl Pool {
    pub(crate) fn new(base: BaseUrl, tls: Tls, config: &UpstreamConfig) -> Self {
        Self {
            dialler: Dialler::new(base.host(), base.port()),
            base,
            tls,
            connect_timeout: config.connect_timeout,
            config: config.pool.clone(),
            idle: Mutex::default(),
        }
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
            let idle = idle.remove(newest);
            if self.keeps(&idle) {
                let Idle { sender, opened, .. } = idle;
                return Some(Checkout { sender, reused: true, opened, pool: self.clone() });
            }
        }
    }

    /// A new connection.
    pub(crate) async fn open(self: &Arc<Self>) -> Result<Checkout, ConnectError> {
        let sender = connect(&self.base, &self.dialler, &self.tls, self.connect_timeout).await?;
        Ok(Checkout { sender, reused: false, opened: Instant::now(), pool: self.clone() })
    }

    /// Closes connections that were idle for too long or are too old.
    pub(crate) fn close_old(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| self.keeps(idle) && !idle.sender.is_closed());
    }

    fn keeps(&self, idle: &Idle) -> bool {
        idle.since.elapsed() < self.config.keep_idle && idle.opened.elapsed() < self.config.max_age
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
            idle.push(Idle { sender: self.sender, opened: self.opened, since: Instant::now() });
        }
    }
}
