//! The load generator against a simulator: counts, byte check, failures.

use std::{sync::Arc, time::Duration};

use crate::common::Server;
use http::{HeaderMap, HeaderValue, Method, Uri};
use modash_simulator::{Arrival, Check, LoadPlan, LoadReport, Progress, SimulatorConfig};

fn plan(url: &str) -> LoadPlan {
    let url: Uri = format!("{url}/v1/chat/completions").parse().unwrap();
    LoadPlan {
        url: url.clone(),
        method: Method::POST,
        headers: HeaderMap::new(),
        body: r#"{"model":"m","stream":true,"messages":[]}"#.into(),
        http2: false,
        connections: 4,
        arrival: Arrival::Closed,
        duration: Duration::from_secs(600),
        requests: Some(200),
        warmup: Duration::ZERO,
        timeout: Duration::from_secs(30),
        check: Check::AnswerOf(url),
        pids: vec![],
    }
}

async fn run(plan: LoadPlan) -> LoadReport {
    let progress = Arc::new(Progress::default());
    let report = plan.run(&progress).await.unwrap();
    assert_eq!((progress.answered(), progress.failed()), (report.answered, report.failures.total));
    report
}

async fn prebuilt() -> Server {
    Server::with(SimulatorConfig { prebuilt: true, ..SimulatorConfig::default() }).await
}

#[tokio::test]
async fn every_answer_is_counted_and_compared_over_both_protocols() {
    let server = prebuilt().await;
    for http2 in [false, true] {
        let report = run(LoadPlan { http2, ..plan(&server.url) }).await;
        assert_eq!(report.answered, 200, "{report}");
        assert_eq!(report.failures.total, 0, "{report}");
        assert_eq!(report.body_bytes % 200, 0);
        assert!(report.latency_ms.p50 > Some(0.0) && report.first_byte_ms.p99.is_some());
    }
    // 200 of each, and one of each to compare with.
    assert_eq!(server.stats.completed(), 402);
}

#[tokio::test]
async fn an_open_loop_sends_what_is_due() {
    let server = prebuilt().await;
    let arrival = Arrival::Open { per_second: 2_000.0 };
    let report = run(LoadPlan { arrival, ..plan(&server.url) }).await;
    assert_eq!((report.answered, report.due_per_second), (200, Some(2_000.0)));
}

#[tokio::test]
async fn a_different_answer_is_a_failure() {
    // Not prebuilt: each answer has an id of its own.
    let server = Server::start().await;
    let report = run(plan(&server.url)).await;
    assert_eq!((report.answered, report.failures.mismatch), (0, 200));
    let short = LoadPlan { check: Check::Body("data: ".into()), ..plan(&server.url) };
    assert_eq!(run(short).await.failures.mismatch, 200);
}

#[tokio::test]
async fn failures_are_told_apart() {
    let server = prebuilt().await;
    let faulty = |name: &'static str, value: &'static str| {
        let mut plan = LoadPlan { check: Check::Off, requests: Some(8), ..plan(&server.url) };
        plan.headers.insert(name, HeaderValue::from_static(value));
        plan
    };
    let report = run(faulty("x-simulate-status", "529")).await;
    assert_eq!(report.failures.status[&529], 8);
    assert_eq!(run(faulty("x-simulate-fault", "break")).await.failures.broken, 8);
    let mut stalling = faulty("x-simulate-fault", "stall");
    stalling.timeout = Duration::from_millis(50);
    assert_eq!(run(stalling).await.failures.timeout, 8);
    let nobody = LoadPlan {
        url: "http://127.0.0.1:1/v1/chat/completions".parse().unwrap(),
        ..faulty("x-none", "0")
    };
    assert_eq!(run(nobody).await.failures.connect, 8);
}
