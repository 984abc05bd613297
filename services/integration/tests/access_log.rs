//! The access log of the proxy, on its standard output.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::time::Duration;

use modash_integration::{PATIENCE, ProxyAlone, post_json};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig};
use modash_test_support::eventually;
use serde_json::{Value, json};

async fn lines_of(settings: &[(&str, String)]) -> (ProxyAlone, usize) {
    let simulator = Simulator::bind(SimulatorConfig::default()).await.unwrap();
    let upstream = simulator.url();
    tokio::spawn(simulator.run(Shutdown::new(Duration::from_secs(1))));
    let proxy = ProxyAlone::start(&upstream, settings).await;
    let request = json!({
        "model": "m", "max_tokens": 4, "messages": [{ "role": "user", "content": "secret words" }]
    });
    let url = format!("{}/v1/chat/completions", proxy.url());
    let key = [("authorization", "Bearer sk-secret")];
    for _ in 0..3 {
        assert_eq!(post_json(&url, &key, &request).await.unwrap().status, 200);
    }
    (proxy, 3)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_a_line_without_bodies_and_keys() {
    let (proxy, requests) = lines_of(&[("MODASH_PROXY_ACCESS_LOG", "json".to_owned())]).await;
    let lines = eventually(PATIENCE, || async {
        let output = proxy.process.output();
        let lines: Vec<Value> = output
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| line["scope"]["name"] == "modash_proxy::access")
            .collect();
        if lines.len() == requests { Ok(lines) } else { Err(output) }
    })
    .await;
    for line in lines {
        let attributes = &line["attributes"];
        assert_eq!(attributes["http.response.status_code"], 200, "{line}");
        assert_eq!(attributes["gen_ai.request.model"], "m", "{line}");
        assert_eq!(attributes["modash.outcome"], "ok", "{line}");
        assert_eq!(attributes["gen_ai.usage.output_tokens"], 4, "{line}");
    }
    assert!(!proxy.process.output().contains("secret"), "{}", proxy.process.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_unless_asked_for() {
    let (proxy, _) = lines_of(&[]).await;
    // All requests have ended: what is written of them is written at the stop at the latest.
    proxy.process.signal(modash_integration::Signal::TERM);
    proxy.process.says("stopping").await;
    assert!(!proxy.process.output().contains("/v1/chat"), "{}", proxy.process.output());
}
