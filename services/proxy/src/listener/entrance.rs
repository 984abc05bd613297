//! How a connection begins, before HTTP: what a load balancer says of the client
//! (PROXY protocol), then TLS. Both only if they are switched on.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use modash_runtime::{AcceptError, HANDSHAKE_TOO_SLOW, ListenerTls, RefusedHandshakes};
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use crate::{error::plain_request_to_tls, stream::Stream};

/// Longest PROXY header, with what a sender may add to the addresses.
const MAX_PROXY_HEADER: usize = 2048;

/// What has to come before HTTP.
#[derive(Clone)]
pub(crate) struct Entrance {
    /// Each connection begins with a PROXY header.
    pub(crate) proxy_protocol: bool,
    /// Each connection speaks TLS.
    pub(crate) tls: Option<Arc<ListenerTls>>,
    /// How long it may take.
    pub(crate) time: Duration,
    /// Counts with whom there was no TLS.
    pub(crate) refused: RefusedHandshakes,
}

/// Why a connection did not come as far as HTTP.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntranceError {
    #[error("no PROXY header came first: MODASH_PROXY_PROXY_PROTOCOL demands one of every client")]
    NoProxyHeader,
    #[error(transparent)]
    Tls(#[from] AcceptError),
    #[error("{0}")]
    Broken(#[from] io::Error),
    #[error("it took too long")]
    Late,
}

impl Entrance {
    /// Opens a connection that came from there. Gives the client's own address
    /// too.
    pub(super) async fn open(
        &self,
        mut tcp: TcpStream,
        from: SocketAddr,
    ) -> Result<(Stream, SocketAddr), EntranceError> {
        if !self.proxy_protocol && self.tls.is_none() {
            return Ok((Stream::Tcp(tcp), from));
        }
        // In a box: the task lives as long as the connection.
        let opening = Box::pin(async {
            let client = match self.proxy_protocol {
                true => proxy_header(&mut tcp).await?.unwrap_or(from),
                false => from,
            };
            let stream = match &self.tls {
                Some(tls) => {
                    let stream = tls.accept(tcp, &plain_request_to_tls()).await?;
                    Stream::Tls(Box::new(stream.into()))
                }
                None => Stream::Tcp(tcp),
            };
            Ok((stream, client))
        });
        let opened = timeout(self.time, opening).await.unwrap_or(Err(EntranceError::Late));
        opened.inspect_err(|error| self.note(error))
    }

    fn note(&self, error: &EntranceError) {
        let reason = match error {
            EntranceError::Tls(error) => error.reason(),
            EntranceError::Late if self.tls.is_some() => HANDSHAKE_TOO_SLOW,
            EntranceError::Late | EntranceError::NoProxyHeader | EntranceError::Broken(_) => return,
        };
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }
}

/// Reads the header and nothing behind it. `None`: the sender speaks for itself,
/// or does not say (versions 1 and 2 of the specification by HAProxy, 2.1 and
/// 2.2).
async fn proxy_header(tcp: &mut TcpStream) -> Result<Option<SocketAddr>, EntranceError> {
    let mut header = [0; MAX_PROXY_HEADER];
    let mut length = 0;
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    loop {
        let seen = length + tcp.peek(&mut header[length..]).await?;
        if seen == length {
            return Err(EntranceError::NoProxyHeader);
        }
        let (address, end) = match ProxyHeader::parse(&header[..seen], config) {
            Ok((parsed, end)) => (parsed.proxied_address().map(|address| address.source), end),
            // What was seen is all header.
            Err(proxy_header::Error::BufferTooShort) if could_begin(&header[..seen]) => {
                tcp.read_exact(&mut header[length..seen]).await?;
                length = seen;
                continue;
            }
            Err(_) => return Err(EntranceError::NoProxyHeader),
        };
        tcp.read_exact(&mut header[length..end]).await?;
        return Ok(address);
    }
}

/// Whether more bytes may make it a header.
fn could_begin(bytes: &[u8]) -> bool {
    const VERSION_1: &[u8] = b"PROXY ";
    const VERSION_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    [VERSION_1, VERSION_2].iter().any(|signature| {
        let common = signature.len().min(bytes.len());
        bytes[..common] == signature[..common]
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    /// What a client that sends these pieces is taken for, and what is left to
    /// read.
    async fn taken_for(pieces: &[&[u8]]) -> (Result<Option<SocketAddr>, EntranceError>, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let send = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let (header, ()) = tokio::join!(proxy_header(&mut server), send);
        let mut rest = String::new();
        server.read_to_string(&mut rest).await.unwrap();
        (header, rest)
    }

    #[tokio::test]
    async fn the_client_is_who_the_header_says_and_the_rest_is_left() {
        let version_2 =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x7f\0\0\x01\x12\x34\0\x50";
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
        let cases: [(&[&[u8]], Option<&str>); 6] = [
            (&[b"PROXY TCP4 1.2.3.4 127.0.0.1 4660 80\r\n", b"GET"], Some("1.2.3.4:4660")),
            (&[b"PROXY TCP6 2001:db8::1 ::1 4660 80\r\nGET"], Some("[2001:db8::1]:4660")),
            (&[b"PROXY UNKNOWN\r\nGET"], None),
            (
                &[b"P", b"ROXY TCP4 1.2.3.4 ", b"127.0.0.1 4660 80\r", b"\nGET"],
                Some("1.2.3.4:4660"),
            ),
            (&[version_2, b"GET"], Some("1.2.3.4:4660")),
            (&[&local[..5], &local[5..], b"GET"], None),
        ];
        for (pieces, expected) in cases {
            let (address, rest) = taken_for(pieces).await;
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!((address.unwrap(), rest.as_str()), (expected, "GET"), "{pieces:?}");
        }
    }

    #[tokio::test]
    async fn without_a_header_nobody_comes_in() {
        for bytes in ["GET / HTTP/1.1\r\n\r\n", "PROXY TCP4 1.2.3.4", "PROXY TCP9 a b 1 2\r\n", ""]
        {
            let (address, _) = taken_for(&[bytes.as_bytes()]).await;
            assert!(matches!(address, Err(EntranceError::NoProxyHeader)), "{bytes:?}: {address:?}");
        }
    }
}
