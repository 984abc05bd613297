//! gRPC by the byte, so that messages can be those of another version: streams
//! of length-prefixed messages over HTTP/2.

use std::{convert::Infallible, net::SocketAddr};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use prost::encoding;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

const METHOD: &str = "/modash.v1.IngestService/StreamUsage";

/// One end of a stream.
pub(crate) struct Stream {
    messages: mpsc::Sender<Result<Frame<Bytes>, Infallible>>,
    body: Incoming,
    received: BytesMut,
}

impl Stream {
    /// Opens a stream as a proxy does.
    pub(crate) async fn open(analytics: SocketAddr) -> Self {
        let (messages, frames) = mpsc::channel(16);
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{analytics}{METHOD}"))
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(StreamBody::new(ReceiverStream::new(frames)))
            .unwrap();
        let response = client.request(request).await.unwrap();
        Self { messages, body: response.into_body(), received: BytesMut::new() }
    }

    /// Sends a message.
    pub(crate) async fn send(&self, message: &[u8]) {
        let mut frame = BytesMut::new();
        // Not compressed.
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap());
        frame.put_slice(message);
        self.messages.send(Ok(Frame::data(frame.freeze()))).await.unwrap();
    }

    /// The next message; `None` at the end.
    pub(crate) async fn receive(&mut self) -> Option<Bytes> {
        loop {
            if let Some(mut header) = self.received.get(..5) {
                header.advance(1);
                let length = header.get_u32() as usize;
                if self.received.len() >= 5 + length {
                    self.received.advance(5);
                    return Some(self.received.split_to(length).freeze());
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.received.extend_from_slice(&data);
            }
        }
    }

    /// Ends what this end says, well.
    pub(crate) async fn end(&self) {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let _ = self.messages.send(Ok(Frame::trailers(trailers))).await;
    }
}

/// Takes the place of analytics: gives the streams that proxies open.
pub(crate) async fn serve() -> (SocketAddr, mpsc::Receiver<Stream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (opened, streams) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let opened = opened.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let opened = opened.clone();
                async move {
                    let (messages, frames) = mpsc::channel(16);
                    let body = request.into_body();
                    let stream = Stream { messages, body, received: BytesMut::new() };
                    let _ = opened.send(stream).await;
                    Response::builder()
                        .header("content-type", "application/grpc")
                        .body(StreamBody::new(ReceiverStream::new(frames).map(|frame| frame)))
                }
            });
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new()).http2_only();
                let _ = server.serve_connection(TokioIo::new(connection), service).await;
            });
        }
    });
    (address, streams)
}

/// A field with bytes, such as a message or a text.
pub(crate) fn field(number: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoding::encode_key(number, encoding::WireType::LengthDelimited, &mut bytes);
    encoding::encode_varint(value.len() as u64, &mut bytes);
    bytes.extend_from_slice(value);
    bytes
}

/// A field with a number or an enum.
pub(crate) fn number(number: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoding::encode_key(number, encoding::WireType::Varint, &mut bytes);
    encoding::encode_varint(value, &mut bytes);
    bytes
}
