//! Answers state rate limits if they are asked to, in the headers of each API.

use crate::common::Server;
use modash_simulator::SimulatorConfig;
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn what_is_left_goes_down_by_credential_and_in_the_names_of_the_api() {
    let config = SimulatorConfig { rate_limits: true, ..SimulatorConfig::default() };
    let server = Server::with(config).await;
    let body = json!({
        "model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "How are you?"}]
    });
    let left = async |path: &str, headers: &[(&str, &str)], name: &str| {
        let answer = server.post(path, headers, &body).await;
        let value = answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        value.unwrap_or_else(|| panic!("no {name} in {:?}", answer.headers))
    };
    let key = [("authorization", "Bearer a")];
    let requests = "x-ratelimit-remaining-requests";
    assert_eq!(left(CHAT, &key, requests).await, "59");
    // Unless a minute ended in between.
    assert!(["58", "59"].contains(&&*left(CHAT, &key, requests).await));
    assert_eq!(left(CHAT, &[("authorization", "Bearer b")], requests).await, "59");
    let messages = "/v1/messages";
    let tokens = "anthropic-ratelimit-output-tokens-remaining";
    assert_eq!(left(messages, &[("x-api-key", "c")], tokens).await, "39995");
    let agent = [("x-api-key", "d"), ("user-agent", "claude-cli/2.0.42 (external, cli)")];
    let used = left(messages, &agent, "anthropic-ratelimit-unified-5h-utilization").await;
    assert_eq!(used, "0.334");
}

#[tokio::test]
async fn nothing_is_stated_unless_it_is_asked_for() {
    let server = Server::start().await;
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    let answer = server.post(CHAT, &[], &body).await;
    assert!(!answer.headers.keys().any(|name| name.as_str().contains("ratelimit")));
}
