//! Connections to each listener that speaks TLS whose clients say nothing, stop in the
//! middle of their handshake, or stop in the middle of a request head: all are closed in
//! time, counted, and their memory comes back. Listeners in plain are in `slow_clients.rs`.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]
#![cfg(target_os = "linux")]

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use modash_integration::{PATIENCE, Process, get};
use modash_runtime::raise_file_limit;
use modash_test_support::{Authority, TestDatabase, eventually};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Seconds for a handshake and a head.
const TIME: &str = "15";

/// Memory that each may take: the buffers of TLS in a development build, and all besides.
const MOST_EACH: u64 = 96 << 10;
const MOST_BESIDES: u64 = 16 << 20;

/// How many at each listener, a third of each kind.
fn wanted() -> usize {
    let asked = std::env::var_os("MODASH_TEST_SLOW");
    let wanted = asked.and_then(|text| text.to_str()?.parse().ok()).unwrap_or(300);
    let files = usize::try_from(raise_file_limit().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    wanted.min(files.saturating_sub(600))
}

/// A service that speaks TLS, and where.
struct Target {
    name: &'static str,
    process: Process,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Target {
    async fn start(program: &'static str, name: &'static str, settings: &[Setting]) -> Self {
        let process = Process::start(program, settings, &[]);
        let address = process.address(name).await;
        let admin = process.address(&format!("{name} admin")).await;
        Self { name, process, address, admin }
    }

    /// Memory and open files.
    fn weight(&self) -> (u64, usize) {
        let of = format!("/proc/{}", self.process.id());
        let status = fs::read_to_string(format!("{of}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        (kilobytes << 10, fs::read_dir(format!("{of}/fd")).unwrap().count())
    }

    /// Handshakes that were counted as too slow.
    async fn too_slow(&self) -> Result<usize, String> {
        let text = get(&format!("http://{}/metrics", self.admin)).await?.body;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line =
            format!("modash_{}_tls_handshakes_refused_total{{reason=\"too_slow\"}} ", self.name);
        let count = text.lines().find_map(|text| text.strip_prefix(&line)?.parse::<usize>().ok());
        Ok(count.unwrap_or(0))
    }
}

type Setting = (&'static str, String);

/// A connection that will say no more.
enum Slow {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Slow {
    async fn open(number: usize, address: SocketAddr, authority: &Authority) -> Self {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        match number % 3 {
            0 => {}
            // The record of a ClientHello of 512 bytes, of which 6 come.
            1 => tcp.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap(),
            _ => {
                let mut stream = handshake(tcp, authority).await;
                stream.write_all(b"GET / HTTP/1.1\r\nHost: loc").await.unwrap();
                return Self::Tls(Box::new(stream));
            }
        }
        Self::Plain(tcp)
    }

    async fn closed(self) {
        let mut rest = Vec::new();
        let _ = match self {
            Self::Plain(mut stream) => stream.read_to_end(&mut rest).await,
            Self::Tls(mut stream) => stream.read_to_end(&mut rest).await,
        };
    }
}

async fn handshake(tcp: TcpStream, authority: &Authority) -> TlsStream<TcpStream> {
    let connector = TlsConnector::from(Arc::new(authority.client(&["http/1.1"], None)));
    connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap()
}

async fn all_are_closed(target: &Target, authority: &Authority, count: usize) {
    let name = target.name;
    // What is made once is made.
    drop(handshake(TcpStream::connect(target.address).await.unwrap(), authority).await);
    let (rest, files) = target.weight();
    let mut slow = Vec::new();
    for number in 0..count {
        slow.push(Slow::open(number, target.address, authority).await);
    }
    let (open, _) = target.weight();
    let most = MOST_BESIDES + count as u64 * MOST_EACH;
    assert!(open.saturating_sub(rest) < most, "{name}: {} MiB", (open - rest) >> 20);
    // Others come in meanwhile.
    drop(handshake(TcpStream::connect(target.address).await.unwrap(), authority).await);
    let closed = async {
        for one in slow {
            one.closed().await;
        }
    };
    tokio::time::timeout(3 * PATIENCE, closed).await.expect("a slow connection stays open");
    eventually(PATIENCE, || async {
        let (_, now) = target.weight();
        if now < files + 50 { Ok(()) } else { Err(format!("{now} files, before {files}")) }
    })
    .await;
    let unfinished = count.div_ceil(3) + (count + 1) / 3;
    eventually(PATIENCE, || async {
        let counted = target.too_slow().await?;
        if counted == unfinished { Ok(()) } else { Err(format!("{counted} of {unfinished}")) }
    })
    .await;
    // The allocator gives pages back when something happens beside them.
    let kept = eventually(PATIENCE, || async {
        drop(handshake(TcpStream::connect(target.address).await.unwrap(), authority).await);
        let kept = target.weight().0.saturating_sub(rest);
        let most = MOST_BESIDES + count as u64 * 4_096;
        if kept < most { Ok(kept) } else { Err(format!("{name}: {} MiB stay", kept >> 20)) }
    })
    .await;
    println!(
        "{count} slow handshakes and heads at {name}: {:.1} KiB each, {} MiB stay",
        open.saturating_sub(rest) as f64 / 1024.0 / count as f64,
        kept >> 20
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_handshakes_and_heads_at_each_listener_are_closed_and_their_memory_comes_back() {
    let (directory, authority) = (TempDir::new().unwrap(), Authority::new("ours"));
    let (certificate, key) = authority.sign(&["localhost"]).write(directory.path());
    let (count, text) = (wanted(), |path: &Path| path.display().to_string());
    let most = (count + 100).to_string();
    let database = TestDatabase::create().await;
    let any = || "127.0.0.1:0".to_owned();
    let gateway = [
        ("MODASH_GATEWAY_LISTEN", any()),
        ("MODASH_GATEWAY_ADMIN_LISTEN", any()),
        ("MODASH_GATEWAY_CONNECTIONS", most.clone()),
        ("MODASH_GATEWAY_HEADER_TIMEOUT_SECONDS", TIME.to_owned()),
        ("MODASH_GATEWAY_TLS_CERT_FILE", text(&certificate)),
        ("MODASH_GATEWAY_TLS_KEY_FILE", text(&key)),
        ("MODASH_GATEWAY_ANALYTICS_URL", "http://127.0.0.1:1".to_owned()),
    ];
    let analytics = [
        ("MODASH_ANALYTICS_LISTEN", any()),
        ("MODASH_ANALYTICS_ADMIN_LISTEN", any()),
        ("MODASH_ANALYTICS_CONNECTIONS", most),
        ("MODASH_ANALYTICS_HEADER_TIMEOUT_SECONDS", TIME.to_owned()),
        ("MODASH_ANALYTICS_TLS_CERT_FILE", text(&certificate)),
        ("MODASH_ANALYTICS_TLS_KEY_FILE", text(&key)),
        ("DATABASE_URL", database.url()),
    ];
    let proxy = [
        ("PORT", "0".to_owned()),
        ("MODASH_PROXY_ADMIN_LISTEN", any()),
        // Each core has its share, and the system does not deal them out evenly.
        ("MODASH_PROXY_CONNECTIONS", (4 * count + 200).to_string()),
        ("MODASH_PROXY_HEADER_TIMEOUT_SECONDS", TIME.to_owned()),
        ("MODASH_PROXY_TLS_CERT_FILE", text(&certificate)),
        ("MODASH_PROXY_TLS_KEY_FILE", text(&key)),
        ("MODASH_PROXY_ANALYTICS_URL", "http://127.0.0.1:1".to_owned()),
        ("UPSTREAM_URL", "http://127.0.0.1:1".to_owned()),
    ];
    let targets = [
        Target::start("modash-gateway", "gateway", &gateway).await,
        Target::start("modash-analytics", "analytics", &analytics).await,
        Target::start("modash-proxy", "proxy", &proxy).await,
    ];
    let [one, two, three] =
        targets.each_ref().map(|target| all_are_closed(target, &authority, count));
    tokio::join!(one, two, three);
}
