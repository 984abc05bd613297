//! Where requests are sent: base URLs, and for each a pool of connections that
//! belongs to one core.

mod base_url;
mod connect;
mod dial;
mod habits;
mod http2;
mod lease;
mod pool;
mod sent;
mod socket;
mod tls;

use std::time::Duration;

pub use base_url::BaseUrl;
pub(crate) use base_url::named_upstreams;
pub(crate) use connect::ConnectError;
pub(crate) use lease::Lease;
pub(crate) use pool::Pool;
pub use tls::TlsFiles;
pub(crate) use tls::{Tls, advice as tls_advice};

/// How upstreams are reached.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// Longest time for name look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Longest time from the end of a request to the head of its response;
    /// `None`: no limit.
    pub head_timeout: Option<Duration>,
    /// Longest silence within a response; `None`: no limit.
    pub stream_idle_timeout: Option<Duration>,
    /// HTTP version towards https upstreams.
    pub http: HttpVersion,
    /// What is kept of connections, and how many there may be.
    pub pool: PoolConfig,
    /// Certificates and keys.
    pub tls: TlsFiles,
}

/// Connections to one upstream.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// Most connections to each upstream, of all cores together; `None`: no
    /// limit.
    pub connections: Option<usize>,
    /// How long a request waits for a connection when there are as many as
    /// allowed.
    pub wait: Duration,
    /// How long a connection is kept without a request.
    pub keep_idle: Duration,
    /// How old a connection may be when a request begins on it.
    pub max_age: Duration,
}

/// HTTP version towards https upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// The client's: HTTP/2 for clients that use it, where the upstream offers it.
    Same,
    /// HTTP/2 where the upstream offers it.
    Http2,
    /// HTTP/1.1.
    Http1,
}

impl Default for UpstreamConfig {
    /// What the settings say when none is given.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            head_timeout: None,
            stream_idle_timeout: None,
            http: HttpVersion::Same,
            pool: PoolConfig::default(),
            tls: TlsFiles::default(),
        }
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            connections: None,
            wait: Duration::from_secs(5),
            // Shorter than what common servers allow, so that a request seldom
            // meets a connection that is just being closed.
            keep_idle: Duration::from_secs(45),
            max_age: Duration::from_secs(600),
        }
    }
}
