//! A client that takes a response piece by piece, in either version of HTTP, and
//! may leave in any way.

use std::{io, net::SocketAddr};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use modash_test_support::{
    FakeUpstream,
    raw::{MessageKind, RawReader},
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
};
use tokio_stream::wrappers::ReceiverStream;

use super::TestProxy;

/// Version of HTTP on one side of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

/// Client's version and upstream's.
pub const WAYS: [(Version, Version); 4] = [
    (Version::Http1, Version::Http1),
    (Version::Http1, Version::Http2),
    (Version::Http2, Version::Http1),
    (Version::Http2, Version::Http2),
];

/// A proxy that speaks this version to its upstream.
pub async fn proxy_before(upstream: &FakeUpstream, version: Version) -> TestProxy {
    let scheme = if version == Version::Http1 { "http" } else { "h2c" };
    let url = format!("{scheme}://{}", upstream.address());
    TestProxy::start_with(|config| {
        config.upstream = Some(url.parse().unwrap());
        config.threads = 1;
    })
    .await
}

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Closes its connection (FIN).
    Close,
    /// Its connection is gone (RST).
    Reset,
    /// Resets its stream and keeps the connection; over HTTP/1.1 it closes.
    Stream,
}

/// A request whose body may go on, and its response.
pub struct StreamingClient {
    leave: Leave,
    side: Side,
}

enum Side {
    Http1 { reader: RawReader<TcpStream>, chunked: bool },
    Http2(Http2),
}

type Pieces = mpsc::Sender<io::Result<Frame<Bytes>>>;
type Sender = SendRequest<StreamBody<ReceiverStream<io::Result<Frame<Bytes>>>>>;

struct Http2 {
    sender: Sender,
    pieces: Option<Pieces>,
    /// Bytes of the request that are not sent.
    left: usize,
    response: Option<JoinHandle<hyper::Result<http::Response<Incoming>>>>,
    body: Option<Incoming>,
    connection: AbortHandle,
}

impl StreamingClient {
    /// Sends the head of a POST and what there is of its body; `length` is what
    /// it announces. It holds little of what it does not read.
    pub async fn begin(
        address: SocketAddr,
        (version, leave): (Version, Leave),
        path: &str,
        (body, length): (&[u8], usize),
    ) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(32 * 1024).unwrap();
        let stream = socket.connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        if leave == Leave::Reset {
            stream.set_zero_linger().unwrap();
        }
        let side = match version {
            Version::Http1 => {
                let mut reader = RawReader::new(stream);
                let head = format!(
                    "POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n\
                     Content-Length: {length}\r\n\r\n"
                );
                let request = [head.as_bytes(), body].concat();
                reader.get_mut().write_all(&request).await.unwrap();
                Side::Http1 { reader, chunked: false }
            }
            Version::Http2 => Side::Http2(Http2::begin(stream, address, path, body, length).await),
        };
        Self { leave, side }
    }

    /// A whole request.
    pub async fn post(address: SocketAddr, how: (Version, Leave), path: &str, body: &[u8]) -> Self {
        Self::begin(address, how, path, (body, body.len())).await
    }

    /// Sends a further piece of the body.
    pub async fn send(&mut self, piece: &[u8]) {
        match &mut self.side {
            Side::Http1 { reader, .. } => reader.get_mut().write_all(piece).await.unwrap(),
            Side::Http2(side) => {
                let frame = Frame::data(Bytes::copy_from_slice(piece));
                side.pieces.as_ref().unwrap().send(Ok(frame)).await.unwrap();
                side.left -= piece.len();
                if side.left == 0 {
                    side.pieces = None;
                }
            }
        }
    }

    /// Status and headers, as soon as they come.
    pub async fn head(&mut self) -> (u16, HeaderMap) {
        match &mut self.side {
            Side::Http1 { reader, chunked } => {
                let head = reader.head(MessageKind::Response).await.unwrap().unwrap();
                let status = std::str::from_utf8(&head.start[9..12]).unwrap().parse().unwrap();
                let mut headers = HeaderMap::new();
                for field in &head.headers {
                    let name: http::HeaderName = http::HeaderName::from_bytes(&field.name).unwrap();
                    headers.append(name, field.value.as_ref().try_into().unwrap());
                }
                *chunked = headers.contains_key("transfer-encoding");
                (status, headers)
            }
            Side::Http2(side) => {
                let response = side.response.take().unwrap().await.unwrap().unwrap();
                let head = (response.status().as_u16(), response.headers().clone());
                side.body = Some(response.into_body());
                head
            }
        }
    }

    /// The next piece of the body; None at its end.
    pub async fn next(&mut self) -> Option<Bytes> {
        match &mut self.side {
            Side::Http1 { reader, chunked } => {
                assert!(*chunked, "only chunks come in pieces");
                reader.chunk().await.unwrap()
            }
            Side::Http2(side) => {
                let body = side.body.as_mut().unwrap();
                loop {
                    let piece = body.frame().await?.unwrap().into_data().unwrap();
                    // The end may be a frame of its own.
                    if !piece.is_empty() {
                        return Some(piece);
                    }
                }
            }
        }
    }

    /// Reads until so many bytes of the body are there, and no more.
    pub async fn exactly(&mut self, length: usize) -> Bytes {
        let mut bytes = BytesMut::new();
        while bytes.len() < length {
            let piece = self.next().await;
            let piece = piece.unwrap_or_else(|| panic!("the end after {}", bytes.len()));
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(bytes.len(), length, "more came than was expected");
        bytes.freeze()
    }

    /// Goes, whatever is under way. What this gives is the connection where it
    /// stays.
    pub async fn leave(self) -> Option<impl Sized> {
        match self.side {
            Side::Http1 { .. } => None,
            Side::Http2(side) if self.leave == Leave::Stream => {
                if let Some(pieces) = side.pieces {
                    let gone = io::Error::other("the client gives up");
                    let _ = pieces.send(Err(gone)).await;
                }
                Some(side.sender)
            }
            Side::Http2(side) => {
                side.connection.abort();
                None
            }
        }
    }
}

impl Http2 {
    async fn begin(
        stream: TcpStream,
        address: SocketAddr,
        path: &str,
        body: &[u8],
        length: usize,
    ) -> Self {
        let (mut sender, connection): (Sender, _) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(64 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let connection = tokio::spawn(connection).abort_handle();
        let (pieces, receiver) = mpsc::channel(1);
        let request = Request::post(format!("http://{address}{path}"))
            .header("content-type", "application/json")
            .header("content-length", length)
            .body(StreamBody::new(ReceiverStream::new(receiver)))
            .unwrap();
        let response = Some(tokio::spawn(sender.send_request(request)));
        pieces.send(Ok(Frame::data(Bytes::copy_from_slice(body)))).await.unwrap();
        let left = length - body.len();
        let pieces = (left > 0).then_some(pieces);
        Self { sender, pieces, left, response, body: None, connection }
    }
}
