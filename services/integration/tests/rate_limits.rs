//! Rate limits from the headers of an upstream to `/rpc` and to the proxy's metrics,
//! through processes of their own.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::time::Duration;

use modash_integration::{PATIENCE, Services, get, post_json, rpc_value};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig};
use modash_test_support::{TestDatabase, eventually};
use serde_json::{Value, json};

async fn simulator() -> String {
    let config = SimulatorConfig { rate_limits: true, ..SimulatorConfig::default() };
    let simulator = Simulator::bind(config).await.unwrap();
    let url = simulator.url();
    tokio::spawn(simulator.run(Shutdown::new(Duration::from_secs(1))));
    url
}

/// Limits as kind and window, each with its key and what is left of how many.
fn limits(answer: &Value) -> Vec<(String, bool, Value, Value)> {
    let row = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let name = format!("{} {}", text("kind"), text("window"));
        let left = if row["remaining"].is_null() { &row["headroom"] } else { &row["remaining"] };
        (name, row["clientKey"].is_string(), left.clone(), row["limit"].clone())
    };
    let mut rows: Vec<_> = answer["rows"].as_array().unwrap().iter().map(row).collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    rows
}

#[tokio::test]
async fn what_upstreams_state_is_shown_by_key_and_counted_by_upstream() {
    let database = TestDatabase::create().await;
    let services = Services::start(&database.url(), &simulator().await).await;
    let body = json!({
        "model": "m", "max_tokens": 5, "messages": [{ "role": "user", "content": "How are you?" }]
    });
    let ask = async |path: &str, headers: &[(&str, &str)]| {
        let url = format!("{}{path}", services.proxy_url);
        post_json(&url, headers, &body).await.unwrap().status.as_u16()
    };
    let claude_code = [
        ("authorization", "Bearer sk-ant-oat-1"),
        ("user-agent", "claude-cli/2.0.42 (external, cli)"),
    ];
    assert_eq!(ask("/v1/chat/completions", &[("authorization", "Bearer sk-1")]).await, 200);
    assert_eq!(ask("/v1/messages", &claude_code).await, 200);
    let refused = [("authorization", "Bearer sk-2"), ("x-simulate-status", "429")];
    assert_eq!(ask("/v1/chat/completions", &refused).await, 429);
    let answer = eventually(PATIENCE, || async {
        let answer = rpc_value(&services.gateway_url, "RateLimits", &json!({})).await?;
        let stated = answer["rows"].as_array().map_or(0, Vec::len);
        // Two keys with two limits, and the plan of Claude Code.
        if stated == 6 { Ok(answer) } else { Err(answer.to_string()) }
    })
    .await;
    let kinds: Vec<_> = limits(&answer).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(
        kinds,
        [
            "RATE_LIMIT_KIND_PLAN 5h",
            "RATE_LIMIT_KIND_PLAN 7d",
            "RATE_LIMIT_KIND_REQUESTS ",
            "RATE_LIMIT_KIND_REQUESTS ",
            "RATE_LIMIT_KIND_TOKENS ",
            "RATE_LIMIT_KIND_TOKENS ",
        ]
    );
    for (name, has_key, left, limit) in limits(&answer) {
        assert!(has_key, "{name}");
        if name.contains("REQUESTS") {
            assert_eq!((left, limit), (json!(59), json!(60)));
        } else if name.contains("5h") {
            assert!((0.66..0.67).contains(&left.as_f64().unwrap()), "{left}");
        }
    }
    let refusals = answer["refusals"].as_array().unwrap();
    assert_eq!((refusals.len(), &refusals[0]["requests"]), (1, &json!(1)), "{answer}");
    let wait =
        refusals[0]["retryAt"].as_f64().unwrap() - refusals[0]["lastSeenAt"].as_f64().unwrap();
    assert!((wait - 2_000.0).abs() < 1.0, "{answer}");

    let admin = services.proxy.address("proxy admin").await;
    eventually(PATIENCE, || async {
        let page = get(&format!("http://{admin}/metrics")).await?;
        let text = String::from_utf8_lossy(&page.body).into_owned();
        let labels = r#"{upstream="default",kind="requests",window=""}"#;
        let lines = [
            format!("modash_proxy_rate_limit_remaining{labels} 59"),
            r#"modash_proxy_rate_limit_remaining_ratio{upstream="default",kind="plan",window="5h"} 0.66"#
                .to_owned(),
            r#"modash_proxy_requests_rate_limited_total{upstream="default"} 1"#.to_owned(),
        ];
        match lines.iter().find(|line| !text.lines().any(|found| found.starts_with(*line))) {
            None => Ok(()),
            Some(line) => Err(format!("no {line} in {text}")),
        }
    })
    .await;
}
