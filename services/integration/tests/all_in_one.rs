//! One process with a private database, as one developer runs it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::time::Duration;

use modash_integration::{AllInOne, PATIENCE, Reply, Signal, get, post_json, rpc, rpc_value};
use modash_proto::v1::{UsageSummaryRequest, analytics_service_client::AnalyticsServiceClient};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig};
use modash_test_support::eventually;
use serde_json::{Value, json};
use tempfile::TempDir;

const CHAT: &str = "/v1/chat/completions";

/// A directory that the database's account can enter too.
fn data_directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).unwrap();
    directory
}

/// A simulated LLM server that answers equal requests with equal bytes.
async fn simulator() -> String {
    let config = SimulatorConfig { prebuilt: true, ..SimulatorConfig::default() };
    let simulator = Simulator::bind(config).await.unwrap();
    let url = simulator.url();
    tokio::spawn(simulator.run(Shutdown::new(Duration::from_secs(1))));
    url
}

fn chat(stream: bool) -> Value {
    json!({
        "model": "qwen3-8b",
        "stream": stream,
        "stream_options": stream.then(|| json!({ "include_usage": true })),
        "messages": [{ "role": "user", "content": "one two three" }],
        "max_tokens": 5,
    })
}

async fn summary(modash: &AllInOne) -> Value {
    rpc_value(&modash.gateway, "UsageSummary", &json!({})).await.unwrap()
}

/// Headers that say when and on which connection, not what.
fn content(reply: &Reply) -> (u16, Vec<(String, String)>, &[u8]) {
    let headers = reply
        .headers
        .iter()
        .filter(|(name, _)| !["date", "connection"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    (reply.status.as_u16(), headers, &reply.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_returns_the_upstreams_bytes_and_is_everywhere() {
    let (directory, upstream) = (data_directory(), simulator().await);
    let modash =
        AllInOne::start(directory.path(), &[("UPSTREAM_URL", upstream.clone())], &[]).await;
    for stream in [false, true] {
        let direct = post_json(&format!("{upstream}{CHAT}"), &[], &chat(stream)).await.unwrap();
        let through =
            post_json(&format!("{}{CHAT}", modash.proxy), &[], &chat(stream)).await.unwrap();
        assert_eq!(content(&through), content(&direct));
    }
    // A second on a quiet machine; how long it was is printed, not asserted.
    let answered = std::time::Instant::now();
    eventually(PATIENCE, || async {
        let summary = summary(&modash).await;
        let counts = [&summary["requests"], &summary["promptTokens"], &summary["completionTokens"]];
        if counts == [2, 6, 10] { Ok(()) } else { Err(summary.to_string()) }
    })
    .await;

    println!("both requests were on the dashboard's data after {:?}", answered.elapsed());

    // The same number by gRPC, by plain JSON, and through the proxy's own port.
    let mut grpc =
        AnalyticsServiceClient::connect(format!("http://{}", modash.analytics)).await.unwrap();
    let by_grpc = grpc.usage_summary(UsageSummaryRequest::default()).await.unwrap().into_inner();
    assert_eq!((by_grpc.requests, by_grpc.total_tokens), (2, 16));
    let by_json =
        post_json(&format!("{}/rpc/UsageSummary", modash.proxy), &[], &json!({})).await.unwrap();
    let by_json: Value = serde_json::from_slice(&by_json.body).unwrap();
    assert_eq!(by_json["totalTokens"], "16");
    let rows = rpc_value(&modash.proxy, "RecentRequests", &json!({ "page": 1, "pageSize": 10 }))
        .await
        .unwrap();
    let streams: Vec<_> =
        rows["rows"].as_array().unwrap().iter().map(|row| &row["stream"]).collect();
    assert_eq!(streams, [true, false], "newest first");
    let page = get(&format!("{}/", modash.gateway)).await.unwrap();
    let page = String::from_utf8_lossy(&page.body);
    assert!(page.contains("<title>"), "the dashboard is served");
    let forwards_to = format!("&quot;upstream&quot;:&quot;{upstream}");
    assert!(page.contains(&forwards_to), "the page can say where requests go: {page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_survives_a_kill_and_the_database_ends_with_its_process() {
    let (directory, upstream) = (data_directory(), simulator().await);
    let settings = [("UPSTREAM_URL", upstream)];
    let mut modash = AllInOne::start(directory.path(), &settings, &[]).await;
    post_json(&format!("{}{CHAT}", modash.proxy), &[], &chat(false)).await.unwrap();
    eventually(PATIENCE, || async { summary(&modash).await["requests"] == 1 }).await;
    modash.process.signal(Signal::KILL);
    modash.process.ended().await;

    let mut modash = AllInOne::start(directory.path(), &settings, &[]).await;
    assert_eq!(summary(&modash).await["requests"], 1);
    let postmaster = directory.path().join("postgres/cluster/postmaster.pid");
    assert!(postmaster.is_file());
    modash.process.signal(Signal::TERM);
    assert!(modash.process.ended().await.success(), "{}", modash.process.output());
    assert!(!postmaster.exists(), "the database was not stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_is_alive_at_once_and_keeps_its_rows_to_itself() {
    let (directory, upstream) = (data_directory(), simulator().await);
    let demo = AllInOne::start(directory.path(), &[], &["--demo"]).await;
    eventually(PATIENCE, || async {
        let summary = summary(&demo).await;
        let alive = summary["requests"].as_u64() > Some(3)
            && summary["inFlightRequests"].as_u64() > Some(0)
            && summary["totalTokens"].as_u64() > Some(0);
        if alive { Ok(()) } else { Err(summary.to_string()) }
    })
    .await;
    let models = rpc_value(&demo.gateway, "ModelBreakdown", &json!({})).await.unwrap();
    assert!(models["rows"].as_array().unwrap().len() > 2, "{models}");
    drop(demo);
    let real = AllInOne::start(directory.path(), &[("UPSTREAM_URL", upstream)], &[]).await;
    assert_eq!(summary(&real).await["requests"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_refused_with_the_field_that_is_wrong() {
    let (directory, upstream) = (data_directory(), simulator().await);
    let modash = AllInOne::start(directory.path(), &[("UPSTREAM_URL", upstream)], &[]).await;
    for (page, size, field) in [(0, 10, "page"), (1, 0, "pageSize"), (1, 101, "pageSize")] {
        let payload = json!({ "page": page, "pageSize": size });
        let exit = rpc(&modash.gateway, "RecentRequests", &payload).await.unwrap();
        let defect = exit["cause"]["defect"].as_str().unwrap_or_default().to_owned();
        assert!(defect.contains(field), "{exit}");
    }
    let url = format!("{}/rpc/UsageSummary", modash.gateway);
    let zone = post_json(&url, &[], &json!({ "timeZone": "Mars/Olympus" })).await.unwrap();
    assert_eq!(zone.status, 400);
    assert!(String::from_utf8_lossy(&zone.body).contains("time_zone"), "{zone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_made_to_break_out_arrive_as_they_were_sent() {
    const TEXTS: [&str; 5] = [
        "'; DROP TABLE requests; --",
        "<img src=x onerror=alert(1)>",
        "$(reboot) `reboot` %n {{7*7}}",
        "\\N",
        "\"}, {\"model\": \"other",
    ];
    let (directory, upstream) = (data_directory(), simulator().await);
    let modash = AllInOne::start(directory.path(), &[("UPSTREAM_URL", upstream)], &[]).await;
    for text in TEXTS {
        let agent = format!("{}/1.0", text.split([' ', '/']).next().unwrap());
        let headers = [
            ("x-modash-session", text),
            ("x-modash-tag-team", text),
            ("authorization", text),
            ("user-agent", agent.as_str()),
        ];
        let mut body = chat(false);
        body["model"] = text.into();
        body["user"] = text.into();
        let url = format!("{}{CHAT}?q={}", modash.proxy, "%27%3B--%00");
        assert_eq!(post_json(&url, &headers, &body).await.unwrap().status, 200, "{text}");
    }
    let page = json!({ "page": 1, "pageSize": 100 });
    eventually(PATIENCE, || async {
        let rows = rpc_value(&modash.gateway, "RecentRequests", &page).await.unwrap();
        (rows["total"] == TEXTS.len()).then_some(()).ok_or(rows.to_string())
    })
    .await;
    for text in TEXTS {
        let filter = json!({ "models": [text], "users": [text], "sessions": [text],
                             "tags": { "team": text } });
        let page = json!({ "page": 1, "pageSize": 100, "filter": filter });
        let found = rpc_value(&modash.gateway, "RecentRequests", &page).await.unwrap();
        assert_eq!((&found["total"], found["rows"].as_array().unwrap().len()), (&json!(1), 1));
        assert_eq!(found["rows"][0]["modelRequested"], text, "{found}");
    }
    let breakdown = rpc_value(&modash.gateway, "ModelBreakdown", &json!({})).await.unwrap();
    assert_eq!(breakdown["rows"].as_array().unwrap().len(), TEXTS.len(), "{breakdown}");
}
