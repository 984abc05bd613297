//! Where requests are sent: base URLs, and for each a pool of connections that
//! belongs to one core.

mod base_url;
mod connect;
mod pool;

use std::{path::PathBuf, time::Duration};

pub use base_url::BaseUrl;
pub(crate) use base_url::named_upstreams;
pub(crate) use connect::{ConnectError, Tls};
pub(crate) use pool::{Checkout, Pool};

/// How upstreams are reached.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// Longest time for name look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Further certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
}
