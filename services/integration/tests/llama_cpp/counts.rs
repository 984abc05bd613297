//! Counts, speeds and bytes of whole answers.

use modash_integration::{Reply, get, post_json};
use serde_json::{Value, json};

use crate::{
    server::{LlamaServer, Modash},
    stated::{Stated, calls, masked},
};

/// Sends every call, streamed and not, to this base URL.
async fn answers(base: &str) -> Vec<(String, Reply)> {
    let mut answers = Vec::new();
    for (path, mut body) in calls() {
        for stream in [false, true] {
            body["stream"] = stream.into();
            let reply = post_json(&format!("{base}{path}"), &[], &body).await.unwrap();
            assert_eq!(reply.status, 200, "{path}: {reply:?}");
            answers.push((format!("{path}, stream {stream}"), reply));
        }
    }
    answers
}

/// The speed that the server states, unless it is faster than a model can be
/// (docs/metering.md). Speeds that it does not state may be measured or unknown.
fn assert_speed(row: &Value, field: &str, stated: Option<f64>, limit: f64, context: &str) {
    let Some(stated) = stated.filter(|rate| *rate < limit) else { return };
    let known = row[field].as_f64().unwrap_or_default();
    assert!((known - stated).abs() <= stated * 1e-4, "{field} instead of {stated}, {context}");
    assert_eq!(row["speedSource"], "SPEED_SOURCE_UPSTREAM", "{context}");
}

fn assert_row(row: &Value, stated: &Stated, context: &str) {
    let context = format!("{context}: {row}, {stated:?}");
    assert_eq!(row["outcome"], "OUTCOME_OK", "{context}");
    assert_eq!(row["usageSource"], "USAGE_SOURCE_UPSTREAM", "{context}");
    assert_eq!(row["promptTokens"], json!(stated.prompt), "{context}");
    assert_eq!(row["cachedPromptTokens"], json!(stated.cached), "{context}");
    assert_eq!(row["completionTokens"], json!(stated.completion), "{context}");
    let parts = stated.prompt.zip(stated.completion);
    assert_eq!(row["totalTokens"], json!(parts.map(|(one, two)| one + two)), "{context}");
    assert_speed(row, "prefillTokensPerSecond", stated.prefill, 1_000_000.0, &context);
    assert_speed(row, "decodeTokensPerSecond", stated.decode, 100_000.0, &context);
}

fn sum(rows: &[Value], field: &str) -> u64 {
    rows.iter().map(|row| row[field].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_speeds_and_bytes_are_those_of_the_server_for_every_api_streamed_or_not() {
    let server = LlamaServer::start(&[]).await;
    let modash = Modash::start(&server.url, "observe").await;
    // The first round fills the cache of prompts, so that the others are alike.
    answers(&server.url).await;
    let direct = answers(&server.url).await;
    let before = server.totals().await;
    let relayed = answers(&modash.all.proxy).await;
    let after = server.totals().await;
    let rows = modash.rows(relayed.len()).await;
    for (((context, direct), (_, relayed)), row) in direct.iter().zip(&relayed).zip(&rows) {
        assert_eq!(masked(relayed), masked(direct), "{context}");
        assert_eq!(relayed.headers.get("content-type"), direct.headers.get("content-type"));
        assert_row(row, &Stated::of(relayed), context);
    }
    let generated = (sum(&rows, "promptTokens"), sum(&rows, "completionTokens"));
    assert_eq!(generated, (after.0 - before.0, after.1 - before.1), "rows and /metrics");
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_and_refusals_are_byte_for_byte_those_of_the_server() {
    let server = LlamaServer::start(&["--embeddings"]).await;
    let modash = Modash::start(&server.url, "observe").await;
    let requests = [
        ("/v1/embeddings", json!({ "model": "tiny-random", "input": "one two" })),
        ("/v1/embeddings", json!({ "model": "tiny-random", "input": ["one", "two three"] })),
        ("/v1/embeddings", json!({ "model": "tiny-random" })),
        ("/v1/chat/completions", json!({ "model": "tiny-random" })),
        ("/nowhere", json!({})),
    ];
    let mut statuses = Vec::new();
    for (path, body) in &requests {
        let direct = post_json(&format!("{}{path}", server.url), &[], body).await.unwrap();
        let relayed = post_json(&modash.url(path), &[], body).await.unwrap();
        assert_eq!((relayed.status, &relayed.body), (direct.status, &direct.body), "{path} {body}");
        statuses.push(relayed.status.as_u16());
        let stated = Stated::of(&relayed).prompt;
        let row = modash.rows(statuses.len()).await.pop().unwrap();
        assert_eq!(row["promptTokens"], json!(stated), "{row}");
        assert_eq!(row["completionTokens"], Value::Null, "{row}");
        let outcome = if relayed.status == 200 { "OUTCOME_OK" } else { "OUTCOME_HTTP_ERROR" };
        assert_eq!(row["outcome"], outcome, "{row}");
    }
    assert_eq!(statuses[..2], [200, 200]);
    assert!(statuses[2..].iter().all(|status| *status >= 400), "{statuses:?}");
    for path in ["/health", "/props"] {
        let direct = get(&format!("{}{path}", server.url)).await.unwrap();
        let relayed = get(&modash.url(path)).await.unwrap();
        assert_eq!((relayed.status, relayed.body), (direct.status, direct.body), "{path}");
    }
}
