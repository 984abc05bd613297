//! Opening one connection to an upstream: TCP and TLS.

use std::{io, time::Duration};

use modash_runtime::ClientTls;

use super::{
    dial::{Dialler, Failures},
    socket::{Link, Socket},
    tls,
};
use crate::{settings::BaseUrl, stream::Stream};

/// Why there is no connection to an upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// No address of it takes a connection.
    #[error("{0}")]
    Unreachable(Failures),
    /// TLS failed.
    #[error("{}", tls_problem(.0))]
    Tls(io::Error),
    /// It took longer than the connect timeout.
    #[error("no connection within {} s{}{}", .0.as_secs_f64(), if .1.is_empty() { "" } else { "; " }, .1)]
    TimedOut(Duration, Failures),
    /// The HTTP handshake failed.
    #[error("{0}")]
    Handshake(hyper::Error),
    /// There are as many connections as allowed, and none became free in time.
    #[error("none of the connections that modash may open to it became free within {} s", .0.as_secs_f64())]
    Busy(Duration),
}

fn tls_problem(error: &io::Error) -> String {
    tls::advice(error).unwrap_or_else(|| format!("TLS: {error}"))
}

/// Opens a connection. What fails on the way is noted at once, so that it can be
/// told should the caller give up first.
pub(crate) async fn connect(
    base: &BaseUrl,
    dialler: &Dialler,
    tls: &ClientTls,
    offer_http2: bool,
    failures: &mut Failures,
) -> Result<Link, ConnectError> {
    let Some(tcp) = dialler.dial(failures).await else {
        return Err(ConnectError::Unreachable(std::mem::take(failures)));
    };
    let tcp = Socket::new(tcp);
    if !base.is_https() {
        return Ok(Stream::Tcp(tcp));
    }
    let connecting = tls.connect(base.host(), tcp, offer_http2);
    let stream = connecting.await.map_err(ConnectError::Tls)?;
    Ok(Stream::Tls(Box::new(stream.into())))
}
