//! Mistakes in settings: all are reported at once, with exit code 64, before
//! anything is opened.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use modash_integration::Process;
use modash_test_support::{TestDatabase, eventually};
use tokio::net::TcpListener;

fn settings<'a>(pairs: &[(&'a str, &str)]) -> Vec<(&'a str, String)> {
    pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

async fn ends_with(code: i32, mut process: Process) -> String {
    let status = process.ended().await;
    assert_eq!(status.code(), Some(code), "{}", process.output());
    process.says_no_more().await;
    process.output()
}

#[tokio::test]
async fn every_mistake_is_reported_at_once() {
    let cases = [
        (
            "modash-proxy",
            settings(&[
                ("PORT", "http"),
                ("MODASH_PROXY_UPSTREAMS", "a"),
                ("MODASH_PROXY_CONNECT_TIMEOUT_SECONDS", "-1"),
                ("MODASH_LOG", "a=b=c"),
            ]),
            vec!["PORT:", "UPSTREAMS:", "TIMEOUT_SECONDS:", "MODASH_LOG:"],
        ),
        (
            "modash-analytics",
            settings(&[("MODASH_ANALYTICS_LISTEN", "x"), ("MODASH_ANALYTICS_RETENTION_DAYS", "0")]),
            vec!["MODASH_ANALYTICS_LISTEN:", "RETENTION_DAYS:"],
        ),
        (
            "modash-gateway",
            settings(&[
                ("MODASH_GATEWAY_LISTEN", "x"),
                ("MODASH_GATEWAY_ANALYTICS_URL", "ftp://secret@x"),
                ("MODASH_GATEWAY_TRACE_URL", "https://secret@traces.example.com/{trace_id}"),
                ("MODASH_GATEWAY_DASHBOARD_CURRENCY", "0.92 EUR"),
            ]),
            vec![
                "MODASH_GATEWAY_LISTEN:",
                "MODASH_GATEWAY_ANALYTICS_URL:",
                "MODASH_GATEWAY_TRACE_URL:",
                "MODASH_GATEWAY_DASHBOARD_CURRENCY:",
            ],
        ),
        (
            "modash",
            settings(&[
                ("UPSTREAM_URL", "https://user:secret@host"),
                ("MODASH_GATEWAY_LISTEN", "x"),
                ("DATABASE_URL", "mysql://u:secret@h/d"),
                ("MODASH_GRACE_PERIOD_SECONDS", "soon"),
            ]),
            vec!["UPSTREAM_URL:", "GATEWAY_LISTEN:", "DATABASE_URL:", "GRACE_PERIOD_SECONDS:"],
        ),
    ];
    for (program, settings, expected) in cases {
        let output = ends_with(64, Process::start(program, &settings, &[])).await;
        for name in expected {
            assert!(output.contains(name), "{program} does not name {name}: {output}");
        }
        assert!(!output.contains("secret"), "{output}");
        assert!(!output.contains("listening"), "{output}");
    }
}

#[tokio::test]
async fn the_first_line_says_the_settings_and_no_secret() {
    let pairs = [
        ("PORT", "0"),
        ("MODASH_PROXY_ADMIN_LISTEN", "127.0.0.1:0"),
        ("UPSTREAM_URL", "http://127.0.0.1:1"),
        ("MODASH_PROXY_CLIENT_KEY_SECRET", "hunter2"),
    ];
    let proxy = Process::start("modash-proxy", &settings(&pairs), &["--proxy-threads", "1"]);
    proxy.address("proxy").await;
    let output = proxy.output();
    let line: serde_json::Value = serde_json::from_str(output.lines().next().unwrap()).unwrap();
    assert_eq!((&line["body"], &line["severity_text"]), (&"starting".into(), &"INFO".into()));
    let shown = line["attributes"]["settings"].as_str().unwrap();
    for expected in [
        "PORT=0",
        "UPSTREAM_URL=http://127.0.0.1:1/",
        "MODASH_PROXY_THREADS=1",
        "MODASH_PROXY_CLIENT_KEY_SECRET=***",
        "MODASH_GRACE_PERIOD_SECONDS=30",
    ] {
        assert!(shown.split(' ').any(|found| found == expected), "{expected} in {shown}");
    }
    assert!(!output.contains("hunter2"), "{output}");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    for (program, setting) in
        [("modash-proxy", "UPSTREAM_URL"), ("modash-analytics", "DATABASE_URL")]
    {
        let output = ends_with(64, Process::start(program, &[], &[])).await;
        assert!(output.contains(setting) && output.contains("not set"), "{output}");
    }
}

#[tokio::test]
async fn a_proxy_that_lets_other_machines_reach_a_gateway_needs_tokens() {
    let beyond = settings(&[
        ("MODASH_PROXY_HOST", "0.0.0.0"),
        ("PORT", "0"),
        ("MODASH_PROXY_ADMIN_LISTEN", "127.0.0.1:0"),
        ("UPSTREAM_URL", "http://127.0.0.1:9"),
        ("GATEWAY_URL", "http://127.0.0.1:9"),
    ]);
    let output = ends_with(64, Process::start("modash-proxy", &beyond, &[])).await;
    assert!(output.contains("MODASH_PROXY_HOST: 0.0.0.0:0 lets other machines in"), "{output}");
    assert!(output.contains("MODASH_TOKENS_FILE"), "{output}");
}

#[tokio::test]
async fn a_taken_port_is_reported_with_the_setting_that_moves_it() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let settings = settings(&[
        ("PORT", &port),
        ("UPSTREAM_URL", "http://127.0.0.1:9"),
        ("MODASH_PROXY_ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let output = ends_with(1, Process::start("modash-proxy", &settings, &[])).await;
    assert!(output.contains("taken") && output.contains("PORT"), "{output}");
    let output = ends_with(1, Process::start("modash", &settings, &[])).await;
    assert!(output.contains("taken") && output.contains("PORT"), "{output}");
}

#[tokio::test]
async fn a_database_that_is_away_at_start_is_waited_for_and_then_reported() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let settings = settings(&[
        ("DATABASE_URL", &format!("postgresql://modash:secret@{nobody}/modash")),
        ("MODASH_ANALYTICS_DATABASE_WAIT_SECONDS", "1.5"),
        ("MODASH_ANALYTICS_LISTEN", "127.0.0.1:0"),
        ("MODASH_ANALYTICS_ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let output = ends_with(1, Process::start("modash-analytics", &settings, &[])).await;
    assert!(output.contains("waiting"), "it does not say that it waits: {output}");
    assert!(output.contains(&nobody.to_string()), "it does not name the database: {output}");
    assert!(!output.contains("secret"), "{output}");
}

#[tokio::test]
async fn a_database_that_comes_later_is_used() {
    let database = TestDatabase::create().await;
    let relay = modash_test_support::Relay::start(database.socket()).await;
    relay.cut();
    let settings = settings(&[
        ("DATABASE_URL", &database.url_through(relay.address())),
        ("MODASH_ANALYTICS_LISTEN", "127.0.0.1:0"),
        ("MODASH_ANALYTICS_ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    let analytics = Process::start("modash-analytics", &settings, &[]);
    let admin = analytics.address("analytics admin").await;
    let ready = || async {
        let reply = modash_integration::get(&format!("http://{admin}/readyz")).await?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        if reply.status == 200 { Ok(()) } else { Err(text) }
    };
    analytics.says("waiting").await;
    assert!(ready().await.unwrap_err().contains("database"));
    relay.restore();
    eventually(modash_integration::PATIENCE, ready).await;
}
