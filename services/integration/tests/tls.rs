//! All services over TLS, each of which wants certificates of the others: numbers go
//! from the proxy to a browser, an expired certificate names itself, and a replaced one
//! needs no restart.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use modash_integration::{AllInOne, PATIENCE, Process, Services};
use modash_test_support::{Answer, Authority, FakeUpstream, Identity, TestDatabase, eventually};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

type Settings = Vec<(&'static str, String)>;

/// One authority, and a directory for the files of each service.
struct Certificates {
    authority: Authority,
    directory: TempDir,
}

impl Certificates {
    fn new() -> Self {
        Self { authority: Authority::new("ours"), directory: tempfile::tempdir().unwrap() }
    }

    fn of(&self, service: &str) -> PathBuf {
        let directory = self.directory.path().join(service);
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    /// Three settings for files of this identity, beside the authority.
    fn settings(
        &self,
        service: &str,
        identity: &Identity,
        [certificate, key, authority]: [&'static str; 3],
    ) -> Settings {
        let directory = self.of(service);
        let (certificate_file, key_file) = identity.write(&directory);
        let authority_file = self.authority.write(&directory);
        let text = |path: PathBuf| path.display().to_string();
        let files = [certificate_file, key_file, authority_file].map(text);
        [certificate, key, authority].into_iter().zip(files).collect()
    }
}

/// A browser: over TLS, by HTTP/2 or HTTP/1.1.
struct Browser<'a> {
    authority: &'a Authority,
    address: SocketAddr,
    http2: bool,
}

impl Browser<'_> {
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        let text = |error: &dyn std::fmt::Debug| format!("{error:?}");
        let protocol = if self.http2 { "h2" } else { "http/1.1" };
        let connector = TlsConnector::from(Arc::new(self.authority.client(&[protocol], None)));
        let tcp = TcpStream::connect(self.address).await.map_err(|error| text(&error))?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, tcp).await.map_err(|error| text(&error))?;
        let stream = TokioIo::new(stream);
        if self.http2 {
            let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await;
            let (mut sender, driver) = shaken.map_err(|error| text(&error))?;
            tokio::spawn(driver);
            return sender.send_request(request).await.map_err(|error| text(&error));
        }
        let shaken = hyper::client::conn::http1::handshake(stream).await;
        let (mut sender, driver) = shaken.map_err(|error| text(&error))?;
        tokio::spawn(driver);
        sender.send_request(request).await.map_err(|error| text(&error))
    }

    fn request(&self, path: &str, body: Option<&Value>) -> Request<Full<Bytes>> {
        let authority = format!("localhost:{}", self.address.port());
        let target =
            if self.http2 { format!("https://{authority}{path}") } else { path.to_owned() };
        let builder = if body.is_some() { Request::post(target) } else { Request::get(target) };
        let builder = builder.header("origin", format!("https://{authority}"));
        let builder = builder.header("content-type", "application/json");
        let builder = if self.http2 { builder } else { builder.header("host", authority) };
        let body = body.map(Value::to_string).unwrap_or_default();
        builder.body(Full::from(body)).unwrap()
    }

    /// Status and JSON of a call.
    async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value), String> {
        let response = self.send(self.request(path, Some(body))).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|error| format!("{error:?}"))?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        serde_json::from_str(&text).map(|body| (status, body)).map_err(|_| text)
    }

    async fn requests(&self) -> Result<u64, String> {
        let (status, body) = self.post("/rpc/UsageSummary", &json!({})).await?;
        if status != 200 {
            return Err(body.to_string());
        }
        // 64 bits are texts in JSON of protobuf.
        let requests = &body["requests"];
        requests
            .as_str()
            .and_then(|text| text.parse().ok())
            .or(requests.as_u64())
            .ok_or_else(|| body.to_string())
    }
}

const ANALYTICS: [&str; 3] = [
    "MODASH_ANALYTICS_TLS_CERT_FILE",
    "MODASH_ANALYTICS_TLS_KEY_FILE",
    "MODASH_ANALYTICS_TLS_CLIENT_CA_FILE",
];
const GATEWAY_TO_ANALYTICS: [&str; 3] = [
    "MODASH_GATEWAY_ANALYTICS_CERT_FILE",
    "MODASH_GATEWAY_ANALYTICS_KEY_FILE",
    "MODASH_GATEWAY_ANALYTICS_CA_FILE",
];
const PROXY_TO_ANALYTICS: [&str; 3] = [
    "MODASH_PROXY_ANALYTICS_CERT_FILE",
    "MODASH_PROXY_ANALYTICS_KEY_FILE",
    "MODASH_PROXY_ANALYTICS_CA_FILE",
];

/// All three services, as processes.
struct System {
    _analytics: Process,
    _database: TestDatabase,
    gateway: Process,
    proxy: Process,
    gateway_address: SocketAddr,
    proxy_address: SocketAddr,
}

/// Analytics wants certificates of both; gateway and proxy speak TLS with clients.
async fn start(
    certificates: &Certificates,
    [analytics, proxy_client]: [&Identity; 2],
    upstream: &str,
) -> System {
    let database = TestDatabase::create().await;
    let authority = &certificates.authority;
    let settings = certificates.settings("analytics", analytics, ANALYTICS);
    let analytics = Services::start_analytics_with(&database.url(), "127.0.0.1:0", &settings);
    let port = analytics.address("analytics").await.port();
    let url = format!("https://localhost:{port}");

    let mut settings = certificates.settings(
        "gateway",
        &authority.sign(&["localhost"]),
        ["MODASH_GATEWAY_TLS_CERT_FILE", "MODASH_GATEWAY_TLS_KEY_FILE", "UNUSED"],
    );
    settings.retain(|(name, _)| *name != "UNUSED");
    let shown = authority.sign(&["gateway"]);
    settings.extend(certificates.settings("gateway-client", &shown, GATEWAY_TO_ANALYTICS));
    settings.extend([
        ("MODASH_GATEWAY_LISTEN", "127.0.0.1:0".to_owned()),
        ("MODASH_GATEWAY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("MODASH_GATEWAY_ANALYTICS_URL", url.clone()),
    ]);
    let gateway = Process::start("modash-gateway", &settings, &[]);
    let gateway_address = gateway.address("gateway").await;

    let mut settings = certificates.settings(
        "proxy",
        &authority.sign(&["localhost"]),
        [
            "MODASH_PROXY_TLS_CERT_FILE",
            "MODASH_PROXY_TLS_KEY_FILE",
            "MODASH_PROXY_UPSTREAM_CA_FILE",
        ],
    );
    settings.extend(certificates.settings("proxy-client", proxy_client, PROXY_TO_ANALYTICS));
    settings.extend([
        ("PORT", "0".to_owned()),
        ("MODASH_PROXY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("UPSTREAM_URL", upstream.to_owned()),
        ("GATEWAY_URL", format!("https://localhost:{}", gateway_address.port())),
        ("MODASH_PROXY_ANALYTICS_URL", url),
    ]);
    let proxy = Process::start("modash-proxy", &settings, &[]);
    let proxy_address = proxy.address("proxy").await;
    System {
        _analytics: analytics,
        _database: database,
        gateway,
        proxy,
        gateway_address,
        proxy_address,
    }
}

async fn upstream() -> FakeUpstream {
    let upstream = FakeUpstream::start().await;
    upstream.answer_always(Answer::json(
        r#"{"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
    ));
    upstream
}

async fn ask(proxy: &Browser<'_>) {
    let body = json!({ "model": "m", "messages": [] });
    let (status, body) = proxy.post("/v1/chat/completions", &body).await.unwrap();
    assert_eq!(status, 200, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_go_from_the_proxy_to_a_browser_over_mutual_tls_alone() {
    let (certificates, upstream) = (Certificates::new(), upstream().await);
    let authority = &certificates.authority;
    let identities = [&authority.sign(&["localhost"]), &authority.sign(&["proxy"])];
    let system = start(&certificates, identities, &upstream.url()).await;
    let at = |address, http2| Browser { authority, address, http2 };
    for (sent, http2) in [(1, true), (2, false)] {
        ask(&at(system.proxy_address, http2)).await;
        // At the gateway's own port, and at the proxy's.
        for address in [system.gateway_address, system.proxy_address] {
            let browser = at(address, http2);
            eventually(PATIENCE, || async {
                let requests = browser.requests().await?;
                if requests == sent { Ok(()) } else { Err(format!("{requests} of {sent}")) }
            })
            .await;
        }
        let browser = at(system.gateway_address, http2);
        let events = browser.send(browser.request("/events", None)).await.unwrap();
        assert_eq!(events.headers()["content-type"], "text/event-stream");
        let first = tokio::time::timeout(PATIENCE, events.into_body().frame()).await.unwrap();
        assert!(first.is_some_and(|frame| frame.is_ok()), "the stream says something");
    }
    let stranger = Authority::new("theirs");
    let wrong = Browser { authority: &stranger, address: system.gateway_address, http2: true };
    let error = wrong.requests().await.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_names_itself_and_a_new_one_needs_no_restart() {
    let (certificates, upstream) = (Certificates::new(), upstream().await);
    let authority = &certificates.authority;
    let stranger = Authority::new("theirs").sign(&["proxy"]);
    let identities = [&authority.sign_until(&["localhost"], 2001), &stranger];
    let system = start(&certificates, identities, &upstream.url()).await;
    let browser = Browser { authority, address: system.gateway_address, http2: true };
    let proxy = Browser { authority, address: system.proxy_address, http2: true };
    ask(&proxy).await;
    eventually(PATIENCE, || async {
        let answer = browser.requests().await.unwrap_err();
        if answer.contains("its certificate has expired: renew it") { Ok(()) } else { Err(answer) }
    })
    .await;
    system.gateway.says("its certificate has expired: renew it").await;
    system.proxy.says("its certificate has expired: renew it").await;

    let _ = authority.sign(&["localhost"]).write(&certificates.of("analytics"));
    recorded(&browser, 0).await;
    system.proxy.says("it refuses modash's client certificate, or wants one").await;
    let _ = authority.sign(&["proxy"]).write(&certificates.of("proxy-client"));
    recorded(&browser, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_in_one_serves_the_dashboard_over_tls() {
    let (certificates, upstream) = (Certificates::new(), upstream().await);
    let authority = &certificates.authority;
    let mut settings = certificates.settings(
        "gateway",
        &authority.sign(&["localhost"]),
        ["MODASH_GATEWAY_TLS_CERT_FILE", "MODASH_GATEWAY_TLS_KEY_FILE", "UNUSED"],
    );
    settings.push(("UPSTREAM_URL", upstream.url()));
    let data = tempfile::tempdir().unwrap();
    let modash = AllInOne::start(data.path(), &settings, &[]).await;
    let address = modash.process.address("gateway").await;
    modash.process.says(&format!("dashboard  https://{address}")).await;
    let browser = Browser { authority, address, http2: true };
    let (status, body) = browser.post("/rpc/UsageSummary", &json!({})).await.unwrap();
    assert_eq!(status, 200, "{body}");
}

async fn recorded(browser: &Browser<'_>, expected: u64) {
    eventually(PATIENCE, || async {
        let requests = browser.requests().await?;
        if requests == expected { Ok(()) } else { Err(format!("{requests} of {expected}")) }
    })
    .await;
}
