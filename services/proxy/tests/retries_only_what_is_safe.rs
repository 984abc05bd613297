//! Pooled connections that the upstream closes at the worst moments: what is sent
//! again, and what is not.

// Tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use modash_proto::v1::Outcome;
use modash_test_support::{Answer, FakeUpstream, eventually};
use socket2::SockRef;
use support::{PATIENCE, TestProxy, read_until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// What an upstream does with the second request of its first connection.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// It closes without an answer.
    Close,
    /// It resets the connection.
    Reset,
    /// It closes within the head of the answer.
    HalfHead,
    /// It closes within the body of the answer.
    HalfBody,
}

/// Answers the first request; later connections are answered always.
struct Upstream {
    address: SocketAddr,
    /// First lines of the requests, with the number of their connection.
    seen: Arc<Mutex<Vec<(usize, String)>>>,
}

impl Upstream {
    async fn start(moment: Moment) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<(usize, String)>>> = Arc::default();
        let seen_here = seen.clone();
        tokio::spawn(async move {
            for number in 1.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, number, moment, seen_here.clone()));
            }
        });
        Self { address, seen }
    }

    fn connections(&self) -> Vec<usize> {
        self.seen.lock().unwrap().iter().map(|(number, _)| *number).collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    number: usize,
    moment: Moment,
    seen: Arc<Mutex<Vec<(usize, String)>>>,
) {
    for request in 1.. {
        let Some(line) = read_request(&mut stream).await else { return };
        seen.lock().unwrap().push((number, line));
        if number > 1 || request == 1 {
            stream.write_all(OK).await.unwrap();
            continue;
        }
        match moment {
            Moment::Close => {}
            Moment::Reset => {
                SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            }
            Moment::HalfHead => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-").await.unwrap(),
            Moment::HalfBody => stream.write_all(&OK[..OK.len() - 1]).await.unwrap(),
        }
        return;
    }
}

/// Reads a head and, if it has one, a body of two bytes.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    loop {
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer).await.ok().filter(|&length| length > 0)?;
        text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        let body = if text.starts_with("POST") { "{}" } else { "" };
        if text.ends_with(&format!("\r\n\r\n{body}")) {
            return text.lines().next().map(str::to_owned);
        }
    }
}

async fn proxy(upstream: &Upstream) -> TestProxy {
    TestProxy::start_with(|config| {
        config.upstream = Some(format!("http://{}", upstream.address).parse().unwrap());
        config.threads = 1;
    })
    .await
}

const GET: &str = "GET /v1/models HTTP/1.1\r\nHost: here\r\n\r\n";
const POST: &str =
    "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}";

/// The first request is answered; gives the start of the answer to the second,
/// and the client, which has not left.
async fn second_answer(proxy: &TestProxy, second: &str) -> (String, TcpStream) {
    let mut client = proxy.send(GET).await;
    read_until(&mut client, "{}").await;
    client.write_all(second.as_bytes()).await.unwrap();
    let mut buffer = [0; 4096];
    let length = client.read(&mut buffer).await.unwrap();
    (String::from_utf8(buffer[..length].to_vec()).unwrap(), client)
}

#[tokio::test]
async fn a_safe_request_that_met_a_closing_connection_is_sent_once_more() {
    for moment in [Moment::Close, Moment::Reset, Moment::HalfHead] {
        let upstream = Upstream::start(moment).await;
        let proxy = proxy(&upstream).await;
        let (answer, _client) = second_answer(&proxy, GET).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{moment:?}: {answer}");
        assert_eq!(upstream.connections(), [1, 1, 2], "{moment:?}");
        proxy.counted("upstream_retries", 1).await;
        let events = proxy.analytics.events(2).await;
        assert!(events.iter().all(|event| event.outcome() == Outcome::Ok), "{events:#?}");
    }
}

#[tokio::test]
async fn a_request_that_may_have_had_its_effect_is_not_sent_again() {
    for moment in [Moment::Close, Moment::Reset, Moment::HalfHead] {
        let upstream = Upstream::start(moment).await;
        let proxy = proxy(&upstream).await;
        let (answer, _client) = second_answer(&proxy, POST).await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{moment:?}: {answer}");
        assert!(answer.contains("before it answered"), "{moment:?}: {answer}");
        assert_eq!(upstream.connections(), [1, 1], "{moment:?}");
        let events = proxy.analytics.events(2).await;
        let failed: Vec<_> = events.iter().filter(|event| event.status == Some(502)).collect();
        assert_eq!(failed.len(), 1, "{events:#?}");
        assert_eq!(failed[0].outcome(), Outcome::UpstreamUnreachable);
    }
}

#[tokio::test]
async fn an_answer_that_has_begun_is_never_asked_for_again() {
    let upstream = Upstream::start(Moment::HalfBody).await;
    let proxy = proxy(&upstream).await;
    let (answer, _client) = second_answer(&proxy, GET).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let events = proxy.analytics.events(2).await;
    assert!(events.iter().any(|event| event.outcome() == Outcome::Truncated), "{events:#?}");
    assert_eq!(upstream.connections(), [1, 1]);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_not_used() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        read_request(&mut first).await.unwrap();
        first.write_all(OK).await.unwrap();
        // All of it has arrived, and so has the end, before the next request.
        first.shutdown().await.unwrap();
        let mut rest = Vec::new();
        first.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty(), "the closed connection was used");
        let (mut second, _) = listener.accept().await.unwrap();
        read_request(&mut second).await.unwrap();
        second.write_all(OK).await.unwrap();
    });
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("http://{address}").parse().unwrap());
        config.threads = 1;
    })
    .await;
    let mut client = proxy.send(GET).await;
    read_until(&mut client, "{}").await;
    client.write_all(POST.as_bytes()).await.unwrap();
    read_until(&mut client, "{}").await;
    server.await.unwrap();
}

#[tokio::test]
async fn a_get_whose_answer_does_not_begin_in_time_is_asked_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                read_request(&mut stream).await.unwrap();
                stream.write_all(OK).await.unwrap();
                // The second one is read and not answered.
                let _ = read_request(&mut stream).await;
                std::future::pending::<()>().await;
            });
        }
    });
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("http://{address}").parse().unwrap());
        config.threads = 1;
        config.upstream_config.head_timeout = Some(Duration::from_millis(300));
    })
    .await;
    let (answer, _client) = second_answer(&proxy, GET).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert_eq!(accepted.load(Ordering::SeqCst), 1, "it was asked again");
    assert_eq!(proxy.counter("upstream_retries").await, 0);
}

/// A server whose system, after the first answer, drops what comes, as if it were late.
/// The answer is acknowledged before: with anything outstanding the system would
/// hold the connection's end back.
#[cfg(target_os = "linux")]
async fn answer_and_hear_nothing_more(listener: &TcpListener) -> TcpStream {
    let (mut first, _) = listener.accept().await.unwrap();
    read_request(&mut first).await.unwrap();
    first.write_all(OK).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    eventually(PATIENCE, || async {
        let bytes = unacknowledged(|local, _| local == port);
        if bytes == 0 { Ok(()) } else { Err(format!("{bytes} bytes wait")) }
    })
    .await;
    let drop_all = socket2::SockFilter::new(6, 0, 0, 0);
    SockRef::from(&first).attach_filter(&[drop_all]).unwrap();
    first
}

/// Bytes that wait for an acknowledgement on the connections whose local and remote
/// ports are these (proc(5)).
#[cfg(target_os = "linux")]
fn unacknowledged(ports: impl Fn(u16, u16) -> bool) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = |field: &str| u16::from_str_radix(field.split(':').nth(1)?, 16).ok();
    let waits = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let unsent = fields.get(4)?.split(':').next()?;
        ports(port(fields.get(1)?)?, port(fields.get(2)?)?)
            .then(|| u64::from_str_radix(unsent, 16).ok())?
    };
    table.lines().skip(1).filter_map(waits).sum()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_post_that_cannot_have_arrived_before_the_close_is_sent_once_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (deaf, is_deaf) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        let first = answer_and_hear_nothing_more(&listener).await;
        deaf.send(()).unwrap();
        eventually(PATIENCE, || async {
            let bytes = unacknowledged(|_, remote| remote == address.port());
            if bytes >= POST.len() as u64 { Ok(()) } else { Err(format!("{bytes} bytes wait")) }
        })
        .await;
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        let request = read_request(&mut second).await.unwrap();
        assert!(request.starts_with("POST"), "{request}");
        second.write_all(OK).await.unwrap();
        second
    });
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("http://{address}").parse().unwrap());
        config.threads = 1;
    })
    .await;
    let mut client = proxy.send(GET).await;
    read_until(&mut client, "{}").await;
    is_deaf.await.unwrap();
    client.write_all(POST.as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "{}").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.await.unwrap();
    proxy.counted("upstream_retries", 1).await;
}

/// Answers with a stream, says nothing of its end and closes, as llama.cpp does.
async fn close_after_streams(listener: TcpListener, executed: Arc<AtomicUsize>) {
    const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\n\
        Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
        e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let executed = executed.clone();
        tokio::spawn(async move {
            if read_request(&mut stream).await.is_some() {
                executed.fetch_add(1, Ordering::SeqCst);
                stream.write_all(STREAM).await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }
}

#[tokio::test]
async fn an_upstream_that_closes_after_its_streams_fails_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let executed = Arc::new(AtomicUsize::new(0));
    tokio::spawn(close_after_streams(listener, executed.clone()));
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("http://{address}").parse().unwrap());
        config.threads = 1;
    })
    .await;
    let mut kept = proxy.send("").await;
    for number in 0..200 {
        let mut new;
        let client = if number % 2 == 0 {
            new = proxy.send("").await;
            &mut new
        } else {
            &mut kept
        };
        client.write_all(POST.as_bytes()).await.unwrap();
        let answer = read_until(client, "0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "request {number}: {answer}");
    }
    assert_eq!(executed.load(Ordering::SeqCst), 200);
}

#[tokio::test]
async fn a_connection_is_not_used_after_the_time_that_its_upstream_announced() {
    let upstream = FakeUpstream::start().await;
    upstream.answer_always(Answer::json("{}").header("keep-alive", "timeout=1"));
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(upstream.url().parse().unwrap());
        config.threads = 1;
    })
    .await;
    let mut client = proxy.send(POST).await;
    read_until(&mut client, "{}").await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    client.write_all(POST.as_bytes()).await.unwrap();
    read_until(&mut client, "{}").await;
    let used: Vec<_> = upstream.requests().iter().map(|request| request.connection).collect();
    assert_eq!(used, [1, 2]);
}

#[tokio::test]
async fn a_new_connection_that_fails_is_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut only, _) = listener.accept().await.unwrap();
        read_request(&mut only).await.unwrap();
        drop(only);
        let again = tokio::time::timeout(std::time::Duration::from_millis(300), listener.accept());
        assert!(again.await.is_err(), "it was tried again");
    });
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(format!("http://{address}").parse().unwrap());
    })
    .await;
    let mut client = proxy.send(GET).await;
    let answer = read_until(&mut client, "}}").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    server.await.unwrap();
}
