//! Usage that modash asks for never reaches a client.

use std::process::Command;

use modash_integration::{Process, post_json, python};
use serde_json::json;

use crate::{
    server::{LlamaServer, Modash, script},
    stated::{Stated, calls, masked},
};

#[tokio::test(flavor = "multi_thread")]
async fn with_inject_the_openai_package_gets_only_what_it_asked_for() {
    let server = LlamaServer::start(&[]).await;
    let modash = Modash::start(&server.url, "inject").await;
    let mut command = Command::new(python());
    command.arg(script("llama_clients.py")).args(["--proxy", &modash.all.proxy, "--rounds", "3"]);
    Process::spawn("llama_clients.py", command).succeeds().await;
    for row in modash.rows(12).await {
        assert_eq!(row["usageSource"], "USAGE_SOURCE_UPSTREAM", "{row}");
        assert!(row["completionTokens"].as_u64().is_some_and(|tokens| tokens > 0), "{row}");
        assert!(row["promptTokens"].as_u64().is_some_and(|tokens| tokens > 8), "{row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_inject_answers_have_the_bytes_of_the_direct_ones_and_are_counted() {
    let server = LlamaServer::start(&[]).await;
    let modash = Modash::start(&server.url, "inject").await;
    // The first answer tells modash that this server need not be asked.
    let [(path, mut body), ..] = calls();
    body["stream"] = true.into();
    let first = post_json(&modash.url(path), &[], &body).await.unwrap();
    let text = String::from_utf8_lossy(&first.body);
    assert!(!text.contains("usage") && !text.contains(r#""choices":[]"#), "{text}");
    let mut answered = 1;
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
    let first = &modash.rows(answered).await[0];
    assert_eq!(first["usageSource"], "USAGE_SOURCE_UPSTREAM", "{first}");
}
