//! Connections that leave HTTP (RFC 9110 7.8), WebSocket above all: bytes go both
//! ways as they come, and the answers of a known API are metered.

use std::{io, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};

use crate::{
    exchange::{Ending, Exchange, Running},
    upstream::Checkout,
};

/// Bytes that are copied at once: large enough for a message of a realtime API.
const BUFFER: usize = 8 * 1024;

/// A client that wants to leave HTTP.
pub(crate) struct WantsUpgrade(OnUpgrade);

impl WantsUpgrade {
    /// Taken out of a request head, if it asks for it.
    pub(crate) fn take(head: &mut Parts) -> Option<Self> {
        if !asks(&head.headers) {
            return None;
        }
        head.extensions.remove::<OnUpgrade>().map(Self)
    }

    /// Copies between client and upstream once both have left HTTP, and ends the
    /// exchange when one of them has ended.
    pub(crate) async fn tunnel(self, checkout: Checkout, mut running: Running) {
        let (client, upstream) = match tokio::join!(self.0, checkout.leave_http()) {
            (Ok(client), Some(upstream)) => (client, upstream),
            (Err(error), _) => {
                tracing::debug!(%error, "the client did not upgrade");
                return;
            }
            (_, None) => {
                tracing::debug!("the upstream did not upgrade");
                return running.end(Ending::UpstreamBroke);
            }
        };
        let (upstream, already_read, _permit) = upstream;
        let exchange = running.exchange().clone();
        running.end(copy_both(client, (upstream, already_read), &exchange).await);
    }
}

/// Whether the headers ask for an upgrade that is handed on. One to HTTP/2 is not
/// (RFC 9113 3.1 has given it up): behind it modash would see no requests.
pub(crate) fn asks(headers: &HeaderMap) -> bool {
    let Some(protocol) = headers.get(header::UPGRADE) else { return false };
    if protocol.as_bytes().eq_ignore_ascii_case(b"h2c") {
        return false;
    }
    let named = |value: &http::HeaderValue| {
        let names = value.to_str().unwrap_or_default().split(',');
        names.map(str::trim).any(|name| name.eq_ignore_ascii_case("upgrade"))
    };
    headers.get_all(header::CONNECTION).iter().any(named)
}

async fn copy_both(
    client: Upgraded,
    (upstream, already_read): (impl AsyncRead + AsyncWrite, Bytes),
    exchange: &Arc<Exchange>,
) -> Ending {
    let (mut from_client, mut to_client) = split(TokioIo::new(client));
    let (from_upstream, mut to_upstream) = split(upstream);
    let mut from_upstream = already_read.chain(from_upstream);
    let up = copy(&mut from_client, &mut to_upstream, |bytes| exchange.request_data(bytes));
    let down = copy(&mut from_upstream, &mut to_client, |bytes| {
        exchange.response_data(bytes);
        exchange.forwarded(bytes.len());
    });
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    // Whoever ends first, what the upstream still has to say is passed on.
    tokio::select! {
        ended = &mut down => match ended {
            Ok(()) => Ending::Complete,
            Err(_) => Ending::UpstreamBroke,
        },
        ended = &mut up => match ended {
            Ok(()) if down.await.is_ok() => Ending::Complete,
            _ => Ending::ClientClosed,
        },
    }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    observe: impl Fn(&[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        observe(&buffer[..length]);
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_is_asked_for_by_two_headers() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            headers
        };
        assert!(asks(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")])));
        assert!(!asks(&headers(&[("connection", "keep-alive"), ("upgrade", "websocket")])));
        assert!(!asks(&headers(&[("connection", "upgrade")])));
        assert!(!asks(&headers(&[("connection", "Upgrade"), ("upgrade", "h2c")])));
    }
}
