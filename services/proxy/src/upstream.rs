//! Where requests are sent: base URLs, and for each a pool of connections that
//! belongs to one core.

mod base_url;
mod connect;
mod connection;
mod dial;
mod pool;
mod stream;
mod tls;

use std::time::Duration;

pub use base_url::BaseUrl;
pub(crate) use base_url::named_upstreams;
pub(crate) use connect::ConnectError;
pub(crate) use pool::{Checkout, Pool};
pub(crate) use stream::Stream;
pub(crate) use tls::{Tls, advice as tls_advice};
pub use tls::{TlsFileError, TlsFiles};

/// How upstreams are reached.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// Longest time for name look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Which connections are kept.
    pub pool: PoolConfig,
    /// Certificates and keys.
    pub tls: TlsFiles,
}

/// Connections to one upstream.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// How long a connection is kept without a request.
    pub keep_idle: Duration,
    /// How old a connection may be when a request begins on it.
    pub max_age: Duration,
}

impl Default for UpstreamConfig {
    /// What the settings say when none is given.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            pool: PoolConfig::default(),
            tls: TlsFiles::default(),
        }
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            // Shorter than what common servers allow, so that a request seldom
            // meets a connection that is just being closed.
            keep_idle: Duration::from_secs(45),
            max_age: Duration::from_secs(600),
        }
    }
}
