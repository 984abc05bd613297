//! Thousands of streams through one proxy at the same time, each of them alive:
//! every event of each is compared. `make test-10k` opens 10,000.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]
#![cfg(target_os = "linux")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use modash_integration::{PATIENCE, ProxyAlone, get};
use modash_runtime::raise_file_limit;
use modash_test_support::eventually;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_stream::{Stream as _, wrappers::WatchStream};

/// Streams that share a connection of HTTP/2.
const SHARED: usize = 100;

/// After the last of these the streams end.
const END: u64 = u64::MAX;

/// An event: whose it is and which one. As large as those of models.
fn event(stream: &str, number: u64) -> String {
    format!(
        "data: {{\"id\":\"{stream}\",\"object\":\"chat.completion.chunk\",\"created\":{number},\
         \"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"word \"}}}}]}}\n\n"
    )
}

const DONE: &str = "data: [DONE]\n\n";

/// A stream: an event at each tick.
struct Events {
    stream: String,
    ticks: WatchStream<u64>,
    sent: u64,
    due: u64,
    done: bool,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.done {
            return Poll::Ready(None);
        }
        while self.sent == self.due {
            match ready!(Pin::new(&mut self.ticks).poll_next(context)) {
                Some(END) | None => {
                    self.done = true;
                    return Poll::Ready(Some(Ok(Frame::data(DONE.into()))));
                }
                Some(_) => self.due += 1,
            }
        }
        self.sent += 1;
        let event = event(&self.stream, self.sent);
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}

async fn upstream(ticks: watch::Receiver<u64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let ticks = ticks.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let stream = request.uri().path().rsplit('/').next().unwrap_or("").to_owned();
                let ticks = WatchStream::new(ticks.clone());
                let events = Events { stream, ticks, sent: 0, due: 0, done: false };
                let response = Response::builder().header("content-type", "text/event-stream");
                async move { response.body(events) }
            });
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// What all streams have seen.
#[derive(Default)]
struct Seen {
    open: AtomicUsize,
    events: AtomicU64,
    ended: AtomicUsize,
}

/// Reads a stream to its end and compares each event. Returns how many there
/// were.
async fn follow(stream: usize, body: Incoming, seen: Arc<Seen>) -> Result<u64, String> {
    let (mut body, stream) = (std::pin::pin!(body), stream.to_string());
    let (mut number, mut came) = (0, Vec::new());
    let mut expected = event(&stream, 1);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("{stream} after {number}: {error}"))?;
        came.extend_from_slice(&frame.into_data().map_err(|_| "trailers".to_owned())?);
        while came.len() >= expected.len() && came.starts_with(expected.as_bytes()) {
            came.drain(..expected.len());
            number += 1;
            if number == 1 {
                seen.open.fetch_add(1, Ordering::Relaxed);
            }
            seen.events.fetch_add(1, Ordering::Relaxed);
            expected = event(&stream, number + 1);
        }
    }
    seen.ended.fetch_add(1, Ordering::Relaxed);
    if came != DONE.as_bytes() {
        return Err(format!("{stream} ended with {}", came.escape_ascii()));
    }
    Ok(number)
}

type Following = JoinSet<Result<u64, String>>;

/// Opens these streams: by HTTP/1.1 over connections of their own, or three quarters of
/// them, and half of all to an upstream of HTTP/2.
async fn open(
    proxy: SocketAddr,
    (streams, mixed): (usize, bool),
    seen: &Arc<Seen>,
    following: &mut Following,
) {
    // No more at a time than a listener has room for.
    let permits = Arc::new(Semaphore::new(64));
    let path = move |stream: usize| {
        let upstream = if mixed && stream % 2 == 1 { "/two" } else { "" };
        format!("{upstream}/v1/chat/completions/{stream}")
    };
    let own = if mixed { streams * 3 / 4 } else { streams };
    for stream in 0..own {
        let permit = permits.clone().acquire_owned().await.unwrap();
        let seen = seen.clone();
        following.spawn(async move {
            let io = TokioIo::new(TcpStream::connect(proxy).await.map_err(|e| e.to_string())?);
            let (mut sender, connection) =
                http1::Builder::new().max_buf_size(8192).handshake(io).await.unwrap();
            tokio::spawn(connection);
            let request = Request::post(path(stream)).header("host", "here");
            let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await;
            drop(permit);
            follow(stream, response.map_err(|e| e.to_string())?.into_body(), seen).await
        });
    }
    let mut sender = None;
    for (place, stream) in (own..streams).enumerate() {
        if place.is_multiple_of(SHARED) {
            let io = TokioIo::new(TcpStream::connect(proxy).await.unwrap());
            let (new, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            sender = Some(new);
        }
        let permit = permits.clone().acquire_owned().await.unwrap();
        let (mut sender, seen) = (sender.clone().unwrap(), seen.clone());
        following.spawn(async move {
            let request = Request::post(format!("http://here{}", path(stream)));
            let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await;
            drop(permit);
            follow(stream, response.map_err(|e| e.to_string())?.into_body(), seen).await
        });
    }
}

async fn until(what: &str, seen: impl Fn() -> bool) {
    let begin = Instant::now();
    while !seen() {
        assert!(begin.elapsed() < 4 * PATIENCE, "{what}: not after {:?}", begin.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn wanted() -> usize {
    let asked = std::env::var_os("MODASH_TEST_STREAMS");
    asked.and_then(|text| text.to_str()?.parse().ok()).unwrap_or(500)
}

fn files() -> usize {
    usize::try_from(raise_file_limit().unwrap_or(u64::MAX)).unwrap_or(usize::MAX)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_are_open_at_the_same_time_and_each_is_alive() {
    assert!(files() > wanted() * 3 / 2, "{} files are not enough: raise `ulimit -n`", files());
    are_alive(wanted(), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_of_http1_are_open_at_the_same_time_and_each_is_alive() {
    // Two files each, in the proxy and here.
    are_alive(wanted().min((files() - 600) / 2), false).await;
}

async fn are_alive(streams: usize, mixed: bool) {
    let (tick, ticks) = watch::channel(0);
    let upstream = upstream(ticks).await;
    // Half of the streams need a connection to the upstream of their own.
    let named = ("MODASH_PROXY_UPSTREAMS", format!("two=h2c://{upstream}"));
    let all = ("MODASH_PROXY_CONNECTIONS", (2 * streams).to_string());
    let proxy = ProxyAlone::start(&format!("http://{upstream}"), &[named, all]).await;
    let before = proxy.memory("VmRSS");
    let (seen, mut following) = (Arc::new(Seen::default()), JoinSet::new());
    let begin = Instant::now();
    open(proxy.address, (streams, mixed), &seen, &mut following).await;
    until("every stream has its first event", || {
        seen.open.load(Ordering::Relaxed) == streams || following_failed(&seen)
    })
    .await;
    assert_eq!(seen.open.load(Ordering::Relaxed), streams, "some ended early");
    println!("{streams} streams after {:.1?}", begin.elapsed());
    for number in 1..=5 {
        let events = seen.events.load(Ordering::Relaxed) + streams as u64;
        let begin = Instant::now();
        tick.send(number).unwrap();
        until("every stream has its event", || seen.events.load(Ordering::Relaxed) >= events).await;
        println!("event {number} was everywhere after {:.1?}", begin.elapsed());
        tokio::time::sleep(Duration::from_millis(if streams > 1_000 { 1_000 } else { 50 })).await;
    }
    let all = proxy.memory("VmRSS");
    println!(
        "{:.1} MiB of memory, {:.1} before: {:.1} KiB a stream; {} files open in all",
        all as f64 / f64::from(1 << 20),
        before as f64 / f64::from(1 << 20),
        all.saturating_sub(before) as f64 / 1024.0 / streams as f64,
        proxy.open_files()
    );
    // As it counts them itself.
    let metrics = get(&format!("http://{}/metrics", proxy.admin)).await.unwrap().body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let in_flight = format!("modash_proxy_requests_in_flight {streams}");
    assert!(metrics.contains(&in_flight), "not {in_flight} in {metrics}");
    tick.send(END).unwrap();
    while let Some(followed) = following.join_next().await {
        match followed.unwrap() {
            Ok(events) => assert_eq!(events, 6, "events of a stream"),
            Err(error) => panic!("{error}"),
        }
    }
    // Connections to the upstream are kept for the next requests, clients' are gone.
    eventually(PATIENCE, || async {
        let files = proxy.open_files();
        if files < if mixed { streams * 2 / 3 } else { streams } + 100 {
            Ok(())
        } else {
            Err(format!("{files} files are open"))
        }
    })
    .await;
}

/// Streams end only when they are told to.
fn following_failed(seen: &Seen) -> bool {
    seen.ended.load(Ordering::Relaxed) > 0
}
