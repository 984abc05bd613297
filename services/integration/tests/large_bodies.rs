//! Bodies of 100 MB, both ways and in every version of HTTP: every byte arrives, and the proxy's memory does not grow with them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]
#![cfg(target_os = "linux")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use modash_integration::ProxyAlone;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const SIZE: usize = 100_000_000;

/// Not a multiple of anything that systems cut at.
const PERIOD: usize = 65_521;
const MOST: usize = 100_000;

/// Bytes that begin anew after `PERIOD`.
static BYTES: LazyLock<Bytes> = LazyLock::new(|| {
    let byte = |place: usize| (place % PERIOD).wrapping_mul(2_654_435_761).to_le_bytes()[3];
    (0..PERIOD + MOST).map(byte).collect()
});

fn at(place: usize, length: usize) -> &'static [u8] {
    &BYTES[place % PERIOD..][..length]
}

/// A body of `SIZE` that nobody holds.
#[derive(Default)]
struct Large {
    sent: usize,
}

impl Body for Large {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = MOST.min(SIZE - self.sent);
        if length == 0 {
            return Poll::Ready(None);
        }
        let piece = Bytes::from_static(at(self.sent, length));
        self.sent += length;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

/// Reads a body to its end; the length up to which it is right.
async fn right_until(mut body: Incoming) -> usize {
    let mut place = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.unwrap().into_data() else { continue };
        for piece in data.chunks(MOST) {
            if piece != at(place, piece.len()) {
                return place;
            }
            place += piece.len();
        }
    }
    place
}

/// Reads all, says in a header how far it was right, and sends as much.
async fn answer(request: Request<Incoming>) -> Result<Response<Large>, http::Error> {
    let small = request.uri().path().ends_with("/small");
    let right = right_until(request.into_body()).await;
    let body = Large { sent: if small { SIZE } else { 0 } };
    Response::builder().header("x-right-until", right).body(body)
}

async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            });
        }
    });
    address
}

/// How far request and response were right.
async fn exchange(proxy: SocketAddr, http2: bool, path: &str, body: Large) -> (usize, usize) {
    let io = TokioIo::new(TcpStream::connect(proxy).await.unwrap());
    let request = Request::post(format!("http://{proxy}{path}")).header("host", "here");
    let response = if http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request.body(body).unwrap()).await
    } else {
        let (mut sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let mut request = request.body(body).unwrap();
        *request.uri_mut() = path.parse().unwrap();
        sender.send_request(request).await
    };
    let response = response.unwrap();
    let up = response.headers()["x-right-until"].to_str().unwrap().parse().unwrap();
    (up, right_until(response.into_body()).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_pass_both_ways_in_constant_memory() {
    let upstream = upstream().await;
    for (scheme, name) in [("http", "HTTP/1.1"), ("h2c", "HTTP/2")] {
        let proxy = ProxyAlone::start(&format!("{scheme}://{upstream}"), &[]).await;
        for http2 in [false, true] {
            exchange(proxy.address, http2, "/small", Large { sent: SIZE }).await;
        }
        let before = proxy.memory("VmHWM");
        for http2 in [false, true] {
            let right = exchange(proxy.address, http2, "/v1/files", Large::default()).await;
            assert_eq!(right, (SIZE, SIZE), "of request and response");
            let grown = proxy.memory("VmHWM") - before;
            let client = if http2 { "HTTP/2" } else { "HTTP/1.1" };
            println!("{client} to {name}: {} KiB more than before at the most", grown >> 10);
            assert!(grown < 32 << 20, "it grew by {grown} bytes");
        }
    }
}

/// Each of them gets its head and reads no further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_large_bodies_cost_little_memory() {
    const CLIENTS: usize = 20;
    let upstream = upstream().await;
    for scheme in ["http", "h2c"] {
        let proxy = ProxyAlone::start(&format!("{scheme}://{upstream}"), &[]).await;
        let before = proxy.memory("VmHWM");
        let mut idle = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = TcpStream::connect(proxy.address).await.unwrap();
            client.write_all(b"GET /v1/files HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
            client.read_exact(&mut [0; 100]).await.unwrap();
            idle.push(client);
            let io = TokioIo::new(TcpStream::connect(proxy.address).await.unwrap());
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            let request = Request::get(format!("http://{}/v1/files", proxy.address));
            let request = request.body(Large { sent: SIZE }).unwrap();
            let response = sender.send_request(request).await.unwrap();
            tokio::spawn(async move {
                let _held = (sender, response);
                std::future::pending::<()>().await;
            });
        }
        // As long as anything goes on, it takes processor time.
        let mut before_that = proxy.processor_time();
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            let now = proxy.processor_time();
            if now - before_that < 5 {
                break;
            }
            before_that = now;
        }
        let grown = (proxy.memory("VmHWM") - before) / (2 * CLIENTS as u64);
        println!("{scheme}: {} KiB for each client that does not read", grown >> 10);
        assert!(grown < 2 << 20, "{grown} bytes for each client");
    }
}
