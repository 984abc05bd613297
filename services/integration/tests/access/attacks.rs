//! Attacks by their names, on every listener of a process with tokens. What is held
//! elsewhere is not here: smuggling and floods at the proxy's port
//! (`services/proxy/tests/refuses_ambiguous_requests.rs`, `speaks_http2_to_clients.rs`), bombs that metering reads
//! (`services/metering/tests/failures.rs`), cookies, session fixation and guessing
//! (`services/gateway/tests/gateway/session.rs`), slow and half heads and idle clients
//! (`connections.rs` there, and `slow_clients.rs` here).

use std::{io::Write as _, net::SocketAddr};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use modash_access::{Role, Token};
use modash_integration::{PATIENCE, post_json};
use modash_test_support::{TokensFile, eventually};
use serde_json::json;

use crate::{
    system::System,
    wire::{Frames, raw, status},
};

/// A system, a reader's token, and the listeners that answer HTTP by name.
struct Target {
    system: System,
    token: Token,
    listeners: Vec<(&'static str, SocketAddr)>,
}

async fn target() -> Target {
    let file = TokensFile::new();
    let token = file.add("reader", Role::Read);
    let system = System::start(file, &[]).await;
    let address = |url: &str| url.strip_prefix("http://").unwrap().parse().unwrap();
    let listeners = vec![
        ("gateway", address(&system.modash.gateway)),
        ("analytics", system.modash.analytics),
        ("proxy", address(&system.modash.proxy)),
        ("gateway admin", system.admin("gateway").await),
        ("analytics admin", system.admin("analytics").await),
        ("proxy admin", system.admin("proxy").await),
    ];
    Target { system, token, listeners }
}

impl Target {
    fn of(&self, name: &str) -> SocketAddr {
        self.listeners.iter().find(|(listener, _)| *listener == name).unwrap().1
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.token.expose())
    }

    /// Others are answered.
    async fn still_answers(&self) {
        let bearer = format!("Bearer {}", self.token.expose());
        let url = format!("{}/rpc/UsageSummary", self.system.modash.gateway);
        let headers = [("authorization", bearer.as_str())];
        let answer = post_json(&url, &headers, &json!({})).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Memory of the process in KiB.
    fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.system.modash.process.id());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebound_host_reads_nothing_at_any_listener() {
    let target = target().await;
    for (name, address) in &target.listeners {
        let path = match *name {
            "gateway" => "/events",
            "proxy" => "/v1/models",
            "analytics" => "/modash.v1.AnalyticsService/UsageSummary",
            _ => "/metrics",
        };
        for origin in ["", "Origin: http://evil.example\r\n"] {
            let headers = format!("Host: evil.example\r\n{origin}{}", target.bearer());
            let answer = raw(*address, get(path, &headers).as_bytes()).await;
            let refused = match *name {
                "proxy" => status(&answer) == 421,
                // Without an origin it is a GET, which no method takes.
                "analytics" if origin.is_empty() => status(&answer) != 200,
                _ => status(&answer) == 403,
            };
            assert!(refused, "{name} {origin:?}: {answer}");
            assert!(!answer.contains("# HELP") && !answer.contains("data:"), "{name}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_origin_and_its_preflight_are_refused_at_every_listener_of_ours() {
    let target = target().await;
    for (name, address) in &target.listeners {
        // What the proxy forwards is for the upstream to decide.
        if *name == "proxy" {
            continue;
        }
        for method in ["GET", "POST", "OPTIONS"] {
            let request = format!(
                "{method} /metrics HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\
                 Access-Control-Request-Method: POST\r\nContent-Type: text/plain\r\n\
                 Content-Length: 0\r\n{}Connection: close\r\n\r\n",
                target.bearer()
            );
            let request = match *name {
                "gateway" => request.replace("/metrics", "/rpc"),
                "analytics" => request.replace("/metrics", "/modash.v1.AnalyticsService/Subscribe"),
                _ => request,
            };
            let answer = raw(*address, request.as_bytes()).await.to_lowercase();
            assert_eq!(status(&answer), 403, "{name} {method}: {answer}");
            assert!(!answer.contains("access-control-allow"), "{name} {method}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_traversal_reads_no_file() {
    let target = target().await;
    for path in [
        "/../../../../etc/passwd",
        "/assets/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/assets/....//....//etc/passwd",
        "//etc/passwd",
        "/etc/passwd%00.js",
        "/rpc/../../../etc/passwd",
    ] {
        for (name, address) in &target.listeners {
            let headers = format!("Host: localhost\r\n{}", target.bearer());
            let answer = raw(*address, get(path, &headers).as_bytes()).await;
            assert!(!answer.contains("root:"), "{name} {path}: {answer}");
            assert_ne!(status(&answer), 500, "{name} {path}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_injection_makes_no_header() {
    let target = target().await;
    let gateway = target.of("gateway");
    for path in [
        "/x%0d%0aSet-Cookie:%20a=b",
        "/x?to=%0d%0aSet-Cookie:%20a=b",
        "/x%0aLocation:%20https://evil.example",
        "/sign-in?to=//evil.example%0d%0aSet-Cookie:%20a=b",
    ] {
        let headers = "Host: localhost\r\nAccept: text/html\r\n";
        let answer = raw(gateway, get(path, headers).as_bytes()).await.to_lowercase();
        let head = answer.split("\r\n\r\n").next().unwrap();
        assert!(!head.contains("\r\nset-cookie"), "{path}: {head}");
        let location = head.lines().find_map(|line| line.strip_prefix("location: "));
        assert!(location.is_none_or(|to| to.starts_with("/sign-in?to=%2f")), "{path}: {head}");
    }
    // In a request: bytes that would end a header.
    for (name, address) in &target.listeners {
        let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: b\rX-C: d\r\n\r\n";
        assert_eq!(status(&raw(*address, request).await), 400, "{name}");
    }
}

/// A POST with a body, whatever its length says.
fn post(path: &str, headers: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\
         {headers}Connection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

const JSON: &str = "Content-Type: application/json\r\n";
const WEB: &str = "Content-Type: application/grpc-web+proto\r\n";
const SUMMARY: &str = "/modash.v1.AnalyticsService/UsageSummary";

#[tokio::test(flavor = "multi_thread")]
async fn oversized_deep_and_truncated_bodies_get_an_error_and_harm_nobody() {
    let target = target().await;
    let (gateway, analytics) = (target.of("gateway"), target.of("analytics"));
    let (json, web) = (format!("{JSON}{}", target.bearer()), format!("{WEB}{}", target.bearer()));
    let before = target.memory();

    let large = vec![b' '; 2 << 20];
    for path in ["/rpc", "/rpc/UsageSummary", SUMMARY] {
        let answer = raw(gateway, &post(path, &json, large.len(), &large)).await;
        assert!([413, 429].contains(&status(&answer)), "{path}: {answer}");
    }
    let mut message = vec![0];
    message.extend(6_000_000_u32.to_be_bytes());
    message.extend(vec![0; 6_000_000]);
    for address in [analytics, gateway] {
        let answer = raw(address, &post(SUMMARY, &web, message.len(), &message)).await;
        // OUT_OF_RANGE or RESOURCE_EXHAUSTED, or a closed connection.
        let refused = ["grpc-status: 11", "grpc-status:11", "grpc-status: 8", "grpc-status:8"];
        assert!(
            answer.is_empty() || refused.iter().any(|text| answer.contains(text)),
            "{address}: {answer}"
        );
    }

    let deep = "[".repeat(300_000);
    let payload = format!(r#"{{"_tag":"Request","id":"1","tag":"UsageSummary","payload":{deep}"#);
    let filter = format!(r#"{{"filter":{}"#, r#"{"a":"#.repeat(100_000));
    for (path, body) in [
        ("/rpc", deep.as_str()),
        ("/rpc", &payload),
        ("/rpc/UsageSummary", &deep),
        ("/rpc/UsageSummary", &filter),
        ("/session", &deep),
    ] {
        let answer = raw(gateway, &post(path, &json, body.len(), body.as_bytes())).await;
        // `/rpc` says everything in frames.
        let is_error = (400..500).contains(&status(&answer)) || answer.contains("Defect");
        assert!(is_error, "{path}: {answer}");
    }
    // Messages of proto within messages: a group that is never ended, 2,000 deep.
    let nested = vec![0x0b; 2_000];
    let mut message = vec![0];
    message.extend(u32::try_from(nested.len()).unwrap().to_be_bytes());
    message.extend(nested);
    for address in [analytics, gateway] {
        let answer = raw(address, &post(SUMMARY, &web, message.len(), &message)).await;
        assert!(answer.contains("grpc-status") && !answer.contains("grpc-status:0"), "{answer}");
    }

    for (address, path, headers) in [
        (gateway, "/rpc", &json),
        (gateway, "/rpc/UsageSummary", &json),
        (gateway, SUMMARY, &web),
        (analytics, SUMMARY, &web),
    ] {
        use tokio::io::AsyncWriteExt as _;
        let mut broken = tokio::net::TcpStream::connect(address).await.unwrap();
        broken.write_all(&post(path, headers, 1_000, b"{\"a")).await.unwrap();
        drop(broken);
    }
    target.still_answers().await;
    let grown = target.memory().saturating_sub(before);
    assert!(grown < 96 << 10, "{grown} KiB more than before");
}

/// A quarter of a gibibyte of nothing, packed.
fn gzip_bomb() -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let block = vec![0; 1 << 20];
    for _ in 0..256 {
        packer.write_all(&block).unwrap();
    }
    packer.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gzip_or_zstd_bomb_is_not_unpacked_at_any_door() {
    let target = target().await;
    let (gateway, analytics) = (target.of("gateway"), target.of("analytics"));
    let bomb = gzip_bomb();
    assert!(bomb.len() < 1 << 20, "it passes the limit of packed bodies");
    let before = target.memory();
    for coding in ["gzip", "zstd", "br", "gzip, gzip"] {
        let headers = format!("{JSON}Content-Encoding: {coding}\r\n{}", target.bearer());
        for path in ["/rpc", "/rpc/UsageSummary", SUMMARY] {
            let answer = raw(gateway, &post(path, &headers, bomb.len(), &bomb)).await;
            let expected: &[u16] = if coding == "gzip" { &[413, 429] } else { &[415, 501] };
            assert!(expected.contains(&status(&answer)), "{coding} {path}: {answer}");
        }
    }
    // A packed message of gRPC, over both doors of grpc-web.
    let mut message = vec![1];
    message.extend(u32::try_from(bomb.len()).unwrap().to_be_bytes());
    message.extend(&bomb);
    for coding in ["gzip", "zstd"] {
        let headers = format!("{WEB}grpc-encoding: {coding}\r\n{}", target.bearer());
        for address in [analytics, gateway] {
            let answer = raw(address, &post(SUMMARY, &headers, message.len(), &message)).await;
            assert!(
                answer.contains("grpc-status") && !answer.contains("grpc-status:0"),
                "{answer}"
            );
        }
    }
    let grown = target.memory().saturating_sub(before);
    assert!(grown < 96 << 10, "{grown} KiB more than before");
    target.still_answers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_rapid_reset_ends_its_connection_or_costs_nothing() {
    let target = target().await;
    let before = target.memory();
    for (name, address) in &target.listeners {
        let mut client = Frames::open(*address).await;
        client.add_resets(20_000);
        let ended = client.ends().await;
        // Analytics may go on: a gateway's clients may leave in crowds.
        assert!(ended || *name == "analytics", "{name}: the connection goes on");
    }
    target.still_answers().await;
    let grown = target.memory().saturating_sub(before);
    assert!(grown < 96 << 10, "{grown} KiB more than before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_continuation_flood_ends_its_connection() {
    let target = target().await;
    let before = target.memory();
    for (name, address) in &target.listeners {
        let mut client = Frames::open(*address).await;
        client.add_endless_head(2_000);
        assert!(client.ends().await, "{name}: the connection goes on");
    }
    target.still_answers().await;
    let grown = target.memory().saturating_sub(before);
    assert!(grown < 96 << 10, "{grown} KiB more than before");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_frames_in_one_body_run_none_of_them() {
    let target = target().await;
    let frame = r#"{"_tag":"Request","id":"1","tag":"Nope","payload":null,"headers":[]}"#;
    // As many as fit into the largest body, and shorter ones.
    let short = r#"{"_tag":"Ping"}"#;
    for (media_type, body) in [
        ("application/json", format!("[{}]", vec![short; 20_000].join(","))),
        ("application/ndjson", vec![short; 20_000].join("\n")),
        ("application/json", format!("[{}]", vec![frame; 10_000].join(","))),
    ] {
        let headers = format!("Content-Type: {media_type}\r\n{}", target.bearer());
        let request = post("/rpc", &headers, body.len(), body.as_bytes());
        let answer = raw(target.of("gateway"), &request).await;
        assert!(answer.contains("at most 128 calls"), "{media_type}: {answer}");
        assert!(!answer.contains("Pong"), "{media_type}");
    }
    target.still_answers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_asks_too_much_at_once_is_told_so_and_others_are_answered() {
    let file = TokensFile::new();
    let (greedy, other) = (file.add("greedy", Role::Read), file.add("other", Role::Read));
    let system = System::start(file, &[]).await;
    let url = format!("{}/rpc/UsageSummary", system.modash.gateway);
    let ask = |token: &Token| {
        let (url, bearer) = (url.clone(), format!("Bearer {}", token.expose()));
        async move {
            let headers = [("authorization", bearer.as_str())];
            post_json(&url, &headers, &json!({})).await.map(|answer| (answer.status, answer.body))
        }
    };
    let refused = |answers: &[Result<(http::StatusCode, Bytes), String>]| {
        answers.iter().flatten().filter(|(status, _)| *status == 429).count()
    };
    eventually(PATIENCE, || async {
        let many = futures_util::future::join_all((0..400).map(|_| ask(&greedy)));
        let (many, one) = tokio::join!(many, ask(&other));
        assert_eq!(one.unwrap().0, 200, "another caller is not harmed");
        let told = many.iter().flatten().find(|(status, _)| *status == 429);
        if let Some((_, body)) = told {
            let text = String::from_utf8_lossy(body);
            assert!(text.contains("64 queries of this caller are open"), "{text}");
        }
        if refused(&many) > 0 { Ok(()) } else { Err("all were answered".to_owned()) }
    })
    .await;
    assert_eq!(ask(&greedy).await.unwrap().0, 200, "and then it is answered again");
}
