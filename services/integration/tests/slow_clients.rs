//! Thousands of clients that send or read as slowly as they can, or do nothing at all: the
//! memory has a bound, nobody else is harmed, and the slow ones get their answers in the end.
//! `make test-slow` opens 10,000 of each kind, as far as files allow.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]
#![cfg(target_os = "linux")]

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use modash_integration::{AllInOne, PATIENCE, Process, ProxyAlone, get, post_json, rpc_value};
use modash_runtime::raise_file_limit;
use modash_test_support::eventually;
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

/// Passes over all connections, each with a few bytes for each.
const ROUNDS: usize = 8;

/// Requests before the first slow client.
const WARMING: usize = 20;

/// Memory of the proxy that each may take: two lent buffers of 16 KiB, a meter, and
/// the state of a connection in a development build.
const MOST_EACH: u64 = 64 << 10;

/// And all together besides: the proxy's own first buffers.
const MOST_BESIDES: u64 = 16 << 20;

/// Bytes of an answer that is read slowly: more than the sockets of one take.
const ANSWER: usize = 400_000;

const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"one two three"}]}"#;

/// What is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Heads,
    Bodies,
    Chunks,
    Readers,
}

impl Kind {
    /// What each sends at first.
    fn begin(self) -> String {
        let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\n\
                    Content-Type: application/json\r\nConnection: close\r\n";
        let length = format!("Content-Length: {}\r\n", BODY.len());
        match self {
            Kind::Heads => format!("{head}{length}X-Slow: "),
            Kind::Bodies => format!("{head}{length}\r\n"),
            Kind::Chunks => format!("{head}Transfer-Encoding: chunked\r\n\r\n"),
            Kind::Readers => {
                format!("{head}{length}x-simulate-body-bytes: {ANSWER}\r\n\r\n{BODY}")
            }
        }
    }

    /// What each sends in a round.
    fn piece(self, round: usize) -> String {
        let byte = &BODY[round..=round];
        match self {
            Kind::Heads => "a".to_owned(),
            Kind::Bodies => byte.to_owned(),
            Kind::Chunks => format!("1;slow=yes\r\n{byte}\r\n"),
            Kind::Readers => String::new(),
        }
    }

    /// What each sends in the end.
    fn end(self) -> String {
        let rest = &BODY[ROUNDS..];
        match self {
            Kind::Heads => format!("\r\n\r\n{BODY}"),
            Kind::Bodies => rest.to_owned(),
            Kind::Chunks => format!("{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len()),
            Kind::Readers => String::new(),
        }
    }

    /// Whether each has a request that the proxy has begun to forward.
    fn has_request(self) -> bool {
        self != Kind::Heads
    }
}

/// An LLM server as a process of its own, since files are counted by process.
async fn simulator() -> (Process, String) {
    let process = Process::start("modash-simulator", &[], &["serve", "--listen", "127.0.0.1:0"]);
    let url = eventually(PATIENCE, || async {
        let said = process.output();
        let mut lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let url = lines.find_map(|line| Some(line["attributes"]["url"].as_str()?.to_owned()));
        url.ok_or(said)
    })
    .await;
    (process, url)
}

/// Opens one that takes little before it reads.
async fn open(proxy: SocketAddr, begin: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(proxy).await.unwrap();
    stream.write_all(begin.as_bytes()).await.unwrap();
    stream
}

/// Another client, of a connection of its own: its answers are whole.
async fn ask(proxy: &ProxyAlone) -> Result<(), String> {
    let url = format!("{}/v1/chat/completions", proxy.url());
    let reply = post_json(&url, &[], &json!({ "model": "m", "max_tokens": 5 })).await?;
    let answer = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
    let whole = reply.status == 200 && answer["usage"]["total_tokens"].is_u64();
    if whole { Ok(()) } else { Err(format!("{reply:?}")) }
}

/// What `/metrics` says.
async fn metric(proxy: &ProxyAlone, name: &str) -> Result<f64, String> {
    let text = get(&format!("http://{}/metrics", proxy.admin)).await?.body;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = format!("modash_proxy_{name} ");
    let value = text.lines().find_map(|text| text.strip_prefix(&line)?.parse::<f64>().ok());
    value.ok_or(text)
}

/// One of each kind; `limit`: most connections.
async fn hold(kind: Kind, count: usize, limit: usize) {
    let (_simulator, url) = simulator().await;
    let settings = [
        ("MODASH_PROXY_CONNECTIONS", limit.to_string()),
        ("MODASH_PROXY_HEADER_TIMEOUT_SECONDS", "600".to_owned()),
    ];
    let proxy = ProxyAlone::start(&url, &settings).await;
    for _ in 0..WARMING {
        ask(&proxy).await.unwrap();
    }
    let (rest, begun, begin) = (proxy.memory("VmRSS"), Instant::now(), kind.begin());
    let mut slow = Vec::new();
    for _ in 0..count {
        slow.push(open(proxy.address, &begin).await);
    }
    eventually(4 * PATIENCE, || async {
        let accepted = metric(&proxy, "connections_total").await?;
        if accepted == (WARMING + count) as f64 {
            Ok(())
        } else {
            Err(format!("{accepted} of {count}"))
        }
    })
    .await;
    if kind.has_request() {
        eventually(4 * PATIENCE, || async {
            let running = metric(&proxy, "requests_in_flight").await?;
            if running == count as f64 { Ok(()) } else { Err(format!("{running} of {count}")) }
        })
        .await;
    }
    // While so many come at once that there is room for none, others may have to wait.
    eventually(PATIENCE, || ask(&proxy)).await;
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        let piece = kind.piece(round);
        for stream in &mut slow {
            // One that made room for others is closed.
            let _ = stream.write_all(piece.as_bytes()).await;
            if kind == Kind::Readers {
                stream.read_exact(&mut [0; 8]).await.unwrap();
            }
        }
        let asked = Instant::now();
        ask(&proxy).await.unwrap();
        slowest = slowest.max(asked.elapsed());
    }
    let (open, peak) = (proxy.memory("VmRSS"), proxy.memory("VmHWM"));
    let files = proxy.open_files();
    let most = MOST_BESIDES + count.min(limit) as u64 * MOST_EACH;
    assert!(peak - rest < most, "{} MiB for {count} {kind:?}", (peak - rest) >> 20);

    if limit > count {
        // A client that was slow until now is served like any other.
        for mut stream in slow.drain(..10) {
            stream.write_all(kind.end().as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            let text = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
            let whole = if kind == Kind::Readers { ANSWER - ROUNDS * 8 } else { 300 };
            assert!(kind == Kind::Readers || text.starts_with("HTTP/1.1 200"), "{text}");
            assert!(answer.len() >= whole, "{} bytes: {text}", answer.len());
        }
    }
    drop(slow);
    eventually(4 * PATIENCE, || async {
        let files = proxy.open_files();
        if files < 200 { Ok(()) } else { Err(format!("{files} files are open")) }
    })
    .await;
    ask(&proxy).await.unwrap();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{count} {kind:?}, at most {limit} connections: {:.1} MiB at rest, {:.1} with all, {:.1} at \
         most ({:.1} KiB each), {:.1} afterwards; {files} files; slowest answer to another client \
         {slowest:.1?}; {:.0?} in all",
        mib(rest),
        mib(open),
        mib(peak),
        peak.saturating_sub(rest) as f64 / 1024.0 / count.min(limit) as f64,
        mib(proxy.memory("VmRSS")),
        begun.elapsed(),
    );
}

/// How many connections of each kind.
fn wanted() -> usize {
    let asked = std::env::var_os("MODASH_TEST_SLOW");
    asked.and_then(|text| text.to_str()?.parse().ok()).unwrap_or(500)
}

/// As many as the proxy has files for, of which each takes some.
fn possible(each: usize) -> usize {
    let files = usize::try_from(raise_file_limit().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let possible = files.saturating_sub(600) / each;
    if possible < wanted() {
        println!("{possible} in place of {}: at most {files} files may be open", wanted());
    }
    possible.min(wanted())
}

/// Runs a test whose connections take little memory of the system's own, in a network
/// of its own: otherwise the system takes megabytes for each. False without the right.
fn with_small_sockets(test: impl Future<Output = ()> + Send + 'static) -> bool {
    let thread = thread::spawn(|| {
        if unshare(CloneFlags::CLONE_NEWNET).is_err() {
            return false;
        }
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        let limits = ["tcp_wmem", "tcp_rmem"].map(|name| {
            fs::write(format!("/proc/sys/net/ipv4/{name}"), "4096 16384 32768").is_ok()
        });
        if !up.is_ok_and(|status| status.success()) || limits.contains(&false) {
            return false;
        }
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap().block_on(test);
        true
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_send_slowly_take_bounded_memory_and_harm_nobody() {
    hold(Kind::Heads, possible(1), 2 * wanted()).await;
    for kind in [Kind::Bodies, Kind::Chunks] {
        hold(kind, possible(2), 2 * wanted()).await;
    }
}

#[test]
fn clients_that_read_slowly_take_bounded_memory_and_harm_nobody() {
    if !with_small_sockets(hold(Kind::Readers, possible(2), 2 * wanted())) {
        println!("left out: no right to a network with small sockets");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_limit_slow_heads_make_room_for_others() {
    hold(Kind::Heads, possible(1), wanted() / 5).await;
}

/// Memory and open files of a process.
fn weight(process: &Process) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    (kilobytes << 10, fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().count())
}

/// Opens connections of which half say nothing and half begin a head.
async fn do_nothing(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for number in 0..count {
        let begin = if number % 2 == 0 { "" } else { "GET / HTTP/1.1\r\nHost: loc" };
        open.push(self::open(address, begin).await);
    }
    open
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_on_each_listener_are_closed_and_their_memory_comes_back() {
    let count = possible(3);
    let directory = tempfile::TempDir::new().unwrap();
    let enter = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path(), enter).unwrap();
    let (_simulator, url) = simulator().await;
    let most = (count + 100).to_string();
    let settings = [
        ("UPSTREAM_URL", url),
        ("MODASH_GATEWAY_CONNECTIONS", most.clone()),
        ("MODASH_ANALYTICS_CONNECTIONS", most),
        // Long enough that all are open at once.
        ("MODASH_GATEWAY_HEADER_TIMEOUT_SECONDS", "45".to_owned()),
        ("MODASH_ANALYTICS_HEADER_TIMEOUT_SECONDS", "45".to_owned()),
    ];
    let modash = AllInOne::start(directory.path(), &settings, &[]).await;
    let process = &modash.process;
    let gateway: SocketAddr = modash.gateway.strip_prefix("http://").unwrap().parse().unwrap();
    for (name, address) in [("gateway", gateway), ("analytics", modash.analytics)] {
        let (rest, files) = weight(process);
        let mut idle = do_nothing(address, count).await;
        eventually(PATIENCE, || async {
            let (_, now) = weight(process);
            if now >= files + count * 9 / 10 { Ok(()) } else { Err(format!("{now} files")) }
        })
        .await;
        let (open, _) = weight(process);
        let most = MOST_BESIDES + count as u64 * MOST_EACH;
        assert!(open.saturating_sub(rest) < most, "{name}: {} MiB", (open - rest) >> 20);
        // Others are answered meanwhile.
        assert_eq!(get(&format!("{}/healthz", modash.gateway)).await.unwrap().status, 200);
        // All of them are closed by the other side.
        let closed = async {
            for stream in &mut idle {
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
            }
        };
        tokio::time::timeout(3 * PATIENCE, closed).await.expect("an idle connection stays open");
        eventually(PATIENCE, || async {
            let (_, now) = weight(process);
            if now < files + 50 { Ok(()) } else { Err(format!("{now} files, before {files}")) }
        })
        .await;
        // The allocator gives pages back a second after they were freed, when something
        // is allocated beside them: requests go on.
        let kept = eventually(PATIENCE, || async {
            let _ = get(&format!("{}/healthz", modash.gateway)).await;
            let _ = rpc_value(&modash.gateway, "UsageSummary", &json!({})).await;
            let kept = weight(process).0.saturating_sub(rest);
            let most = MOST_BESIDES + count as u64 * 4_096;
            if kept < most { Ok(kept) } else { Err(format!("{name}: {} MiB stay", kept >> 20)) }
        })
        .await;
        println!(
            "{count} idle connections at {name}: {:.1} KiB each, {} MiB stay",
            open.saturating_sub(rest) as f64 / 1024.0 / count as f64,
            kept >> 20
        );
    }
    for service in ["proxy", "gateway", "analytics"] {
        let address = process.address(&format!("{service} admin")).await;
        let (rest, files) = weight(process);
        let idle = do_nothing(address, count).await;
        let url = format!("http://{address}/livez");
        eventually(PATIENCE, || async { get(&url).await.is_ok_and(|answer| answer.status == 200) })
            .await;
        let (open, now) = weight(process);
        assert!(now < files + 100, "{service}: {now} files, before {files}");
        assert!(open.saturating_sub(rest) < MOST_BESIDES, "{service}");
        drop(idle);
    }
}
