//! Opens the connection to analytics.

use std::time::Duration;

use modash_runtime::GrpcTls;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Error as TransportError};
use url::Url;

/// Longest time without a sign of life from analytics.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Transport(#[from] TransportError),
    #[error("no connection within {} s", KEEP_ALIVE.as_secs())]
    TimedOut,
}

/// Connects; `tls` is for `https` only.
pub(super) async fn connect(url: &Url, tls: Option<&GrpcTls>) -> Result<Channel, ConnectError> {
    let plain = url.as_str().strip_prefix("https").map(|rest| format!("http{rest}"));
    let endpoint = Endpoint::from_shared(plain.unwrap_or_else(|| url.to_string()))?
        .connect_timeout(KEEP_ALIVE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    let opening = async {
        let secure = tls.filter(|_| url.scheme() == "https").zip(url.host_str());
        let Some((tls, host)) = secure else { return Ok(endpoint.connect().await?) };
        let port = url.port_or_known_default().unwrap_or(443);
        // tonic would ask for TLS of its own by the scheme of the endpoint.
        let origin = url.as_str().parse();
        let endpoint = origin.map_or_else(|_| endpoint.clone(), |uri| endpoint.clone().origin(uri));
        Ok(endpoint.connect_with_connector(tls.dialer(host, port)).await?)
    };
    timeout(KEEP_ALIVE, opening).await.map_err(|_| ConnectError::TimedOut)?
}
