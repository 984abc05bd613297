//! Opening one connection to an upstream: TCP, TLS, HTTP/1.1.

use std::{io, time::Duration};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::{
    BaseUrl,
    dial::{Dialler, Failures},
    tls::{self, Tls},
};
use crate::tap::RequestTap;

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
) -> Result<http1::SendRequest<RequestTap>, ConnectError> {
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
) -> Result<http1::SendRequest<RequestTap>, ConnectError> {
    let Some(tcp) = dialler.dial(failures).await else {
        return Err(ConnectError::Unreachable(std::mem::take(failures)));
    };
    if !base.is_https() {
        return handshake(TokioIo::new(tcp)).await;
    }
    let stream = tls.connect(base.host(), tcp).await.map_err(ConnectError::Tls)?;
    handshake(TokioIo::new(stream)).await
}

async fn handshake<I>(io: I) -> Result<http1::SendRequest<RequestTap>, ConnectError>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .handshake(io)
        .await
        .map_err(ConnectError::Handshake)?;
    tokio::spawn(async move {
        // The request that used it reports the error.
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(sender)
}
