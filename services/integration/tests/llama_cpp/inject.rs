//! Usage that modash asks for never reaches a client.

use std::process::Command;

use modash_integration::{Process, post_json, python};
use serde_json::json;

use crate::{
    server::{LlamaServer, Modash, script},
    stated::{Stated, calls, masked},
};

/// Runs the openai package, whose first answer is the only one that modash asks for
/// usage: after it, the server is known to report without being asked.
async fn run_the_openai_package(modash: &Modash) -> usize {
    let mut command = Command::new(python());
    command.arg(script("llama_clients.py")).args(["--proxy", &modash.all.proxy, "--rounds", "3"]);
    Process::spawn("llama_clients.py", command).succeeds().await;
    // Three rounds of two APIs, streamed and not.
    let answered = 3 * 2 * 2;
    for row in modash.rows(answered).await {
        assert_eq!(row["usageSource"], "USAGE_SOURCE_UPSTREAM", "{row}");
        assert!(row["completionTokens"].as_u64().is_some_and(|tokens| tokens > 0), "{row}");
        assert!(row["promptTokens"].as_u64().is_some_and(|tokens| tokens > 8), "{row}");
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn with_inject_clients_get_only_what_they_asked_for_and_all_is_counted() {
    let server = LlamaServer::start(&[]).await;
    let modash = Modash::start(&server.url, "inject").await;
    let mut answered = run_the_openai_package(&modash).await;
    for (path, mut body) in calls() {
        for stream in [false, true] {
            body["stream"] = stream.into();
            let url = format!("{}{path}", server.url);
            let direct = post_json(&url, &[], &body).await.unwrap();
            let relayed = post_json(&modash.url(path), &[], &body).await.unwrap();
            assert_eq!(masked(&relayed), masked(&direct), "{path}");
            answered += 1;
            let row = modash.rows(answered).await.pop().unwrap();
            let stated = Stated::of(&direct);
            assert_eq!(row["usageSource"], "USAGE_SOURCE_UPSTREAM", "{row}");
            assert_eq!(row["promptTokens"], json!(stated.prompt), "{row}");
            assert_eq!(row["completionTokens"], json!(stated.completion), "{row}");
        }
    }
}
