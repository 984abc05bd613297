//! Many requests that follow each other closely.

use modash_integration::post_json;

use crate::{
    server::{LlamaServer, Modash},
    stated::calls,
};

const CLIENTS: usize = 4;
const EACH: usize = 125;

/// llama.cpp announces to keep connections and closes them after streams. Each request
/// comes on a new connection of the client, so those to the server are reused at once.
#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_requests_in_a_row_all_succeed_and_are_all_counted() {
    let server = LlamaServer::start(&[]).await;
    let modash = Modash::start(&server.url, "observe").await;
    let before = server.totals().await;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let url = modash.url("/v1/chat/completions");
            tokio::spawn(async move {
                let [(_, mut body), ..] = calls();
                body["max_tokens"] = 2.into();
                for number in 0..EACH {
                    // Mostly streams, and documents between them.
                    let stream = number % 5 != client;
                    body["stream"] = stream.into();
                    let context = format!("client {client}, request {number}");
                    let reply = post_json(&url, &[], &body).await;
                    let reply = reply.unwrap_or_else(|error| panic!("{context}: {error}"));
                    assert_eq!(reply.status, 200, "{context}: {reply:?}");
                    assert_eq!(reply.body.ends_with(b"data: [DONE]\n\n"), stream, "{context}");
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let summary = modash.summary(CLIENTS * EACH).await;
    let after = server.totals().await;
    assert_eq!(summary["promptTokens"], after.0 - before.0, "{summary}");
    assert_eq!(summary["completionTokens"], after.1 - before.1, "{summary}");
    assert_eq!(summary["failedRequests"], 0, "{summary}");
}
