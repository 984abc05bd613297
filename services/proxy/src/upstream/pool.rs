//! Idle connections of one core to one upstream. The newest is used first, so
//! that those not needed grow old and are closed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    BaseUrl, ConnectError, PoolConfig, Tls, UpstreamConfig, connect::connect,
    connection::Connection, dial::Dialler,
};

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
    connection: Connection,
    opened: Instant,
    since: Instant,
}

/// A connection that one request uses; `give_back` makes it idle again.
pub(crate) struct Checkout {
    /// The connection.
    pub(crate) connection: Connection,
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
        while let Some(mut newest) = idle.pop() {
            if self.keeps(&mut newest) {
                let Idle { connection, opened, .. } = newest;
                return Some(Checkout { connection, reused: true, opened, pool: self.clone() });
            }
        }
        None
    }

    /// A new connection.
    pub(crate) async fn open(self: &Arc<Self>) -> Result<Checkout, ConnectError> {
        let connection =
            connect(&self.base, &self.dialler, &self.tls, self.connect_timeout).await?;
        Ok(Checkout { connection, reused: false, opened: Instant::now(), pool: self.clone() })
    }

    /// Closes connections that were idle for too long, are too old, or that the
    /// upstream closed.
    pub(crate) fn close_old(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(|idle| self.keeps(idle));
    }

    fn keeps(&self, idle: &mut Idle) -> bool {
        idle.since.elapsed() < self.config.keep_idle
            && idle.opened.elapsed() < self.config.max_age
            && idle.connection.is_idle()
    }
}

impl Checkout {
    /// Makes the connection idle; only after both bodies ended.
    pub(crate) fn give_back(mut self) {
        if !self.connection.is_idle() {
            return;
        }
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            let (connection, opened) = (self.connection, self.opened);
            idle.push(Idle { connection, opened, since: Instant::now() });
        }
    }
}
