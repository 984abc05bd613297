//! Opening one connection to an upstream: TCP, TLS, HTTP/1.1.

use std::{io, time::Duration};

use super::{
    BaseUrl,
    connection::Connection,
    dial::{Dialler, Failures},
    stream::Stream,
    tls::{self, Tls},
};

/// Why an upstream could not be reached.
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
}

fn tls_problem(error: &io::Error) -> String {
    tls::advice(error).unwrap_or_else(|| format!("TLS: {error}"))
}

/// Opens a connection within the time limit.
pub(super) async fn connect(
    base: &BaseUrl,
    dialler: &Dialler,
    tls: &Tls,
    timeout: Duration,
) -> Result<Connection, ConnectError> {
    let mut failures = Failures::default();
    match tokio::time::timeout(timeout, open(base, dialler, tls, &mut failures)).await {
        Ok(opened) => opened,
        Err(_) => Err(ConnectError::TimedOut(timeout, failures)),
    }
}

async fn open(
    base: &BaseUrl,
    dialler: &Dialler,
    tls: &Tls,
    failures: &mut Failures,
) -> Result<Connection, ConnectError> {
    let Some(tcp) = dialler.dial(failures).await else {
        return Err(ConnectError::Unreachable(std::mem::take(failures)));
    };
    let stream = if base.is_https() {
        let connecting = tls.connect(base.host(), tcp);
        Stream::Tls(Box::new(connecting.await.map_err(ConnectError::Tls)?))
    } else {
        Stream::Tcp(tcp)
    };
    Connection::open(stream).await.map_err(ConnectError::Handshake)
}
