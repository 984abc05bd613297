//! Answers that do not reach their end: the server is killed, the client leaves.

use std::collections::HashMap;

use modash_integration::PATIENCE;
use modash_test_support::{
    eventually,
    raw::{MessageKind, RawReader},
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::server::{LlamaServer, Modash};

/// More than the server generates in the time of these tests, and room for it.
const LONG: u64 = 30_000;
const ROOM: [&str; 2] = ["--context", "65536"];
/// Streams that are left in the middle, one after the other.
const LEFT: [&str; 2] = ["/v1/chat/completions", "/completion"];

/// Begins a long stream and returns its first bytes with the connection.
async fn stream(modash: &Modash, path: &str) -> (RawReader<TcpStream>, Vec<u8>) {
    let address = modash.all.proxy.trim_start_matches("http://");
    let mut client = TcpStream::connect(address).await.unwrap();
    let body = json!({
        "model": "tiny-random", "prompt": "one two", "stream": true, "temperature": 0,
        "messages": [{ "role": "user", "content": "one two" }],
        "n_predict": LONG, "ignore_eos": true,
    })
    .to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(body.as_bytes()).await.unwrap();
    let mut reader = RawReader::new(client);
    reader.head(MessageKind::Response).await.unwrap().unwrap();
    let first = reader.chunk().await.unwrap().unwrap().to_vec();
    (reader, first)
}

/// Reads on to the end, which must be a broken one.
async fn read_to_the_break(mut reader: RawReader<TcpStream>, mut body: Vec<u8>) -> String {
    loop {
        match reader.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => panic!("the client was told that the answer is whole"),
            Err(_) => return String::from_utf8_lossy(&body).into_owned(),
        }
    }
}

fn by_path(rows: Vec<Value>) -> HashMap<String, Value> {
    rows.into_iter().map(|row| (row["path"].as_str().unwrap().to_owned(), row)).collect()
}

/// Leaves streams: the server stops generating. Documents are left out, since this
/// server goes on with one that nobody waits for, with modash or without.
async fn leave_in_mid_stream(server: &LlamaServer, modash: &Modash) {
    for (index, path) in LEFT.into_iter().enumerate() {
        let (client, _) = stream(modash, path).await;
        eventually(PATIENCE, || async { server.busy_slots().await == 1 }).await;
        drop(client);
        eventually(PATIENCE, || async { server.busy_slots().await == 0 }).await;
        let (_, generated) = server.totals().await;
        assert!(generated < LONG, "{path} went on to its end");
        let row = modash.rows(index + 1).await.pop().unwrap();
        assert_eq!(row["outcome"], "OUTCOME_CLIENT_CLOSED", "{row}");
    }
}

/// Kills the server in the middle of two streams: both rows are truncated and have what
/// was seen until then.
async fn kill_in_mid_stream(server: &LlamaServer, modash: &Modash) {
    let (native, native_start) = stream(modash, "/completion").await;
    let (chat, chat_start) = stream(modash, "/v1/chat/completions").await;
    server.kill();
    let native = read_to_the_break(native, native_start).await;
    let chat = read_to_the_break(chat, chat_start).await;

    let rows = modash.rows(LEFT.len() + 2).await;
    let rows = by_path(rows.into_iter().skip(LEFT.len()).collect());
    let row = &rows["/completion"];
    assert_eq!(row["outcome"], "OUTCOME_TRUNCATED", "{row}");
    assert_eq!(row["usageSource"], "USAGE_SOURCE_UPSTREAM_PARTIAL", "{row}");
    // Every event of this API has the counts so far. The last ones may not have reached
    // the client, since its connection is cut as well.
    let mut counts = native.lines().filter_map(|line| {
        let event: Value = serde_json::from_str(line.strip_prefix("data: ")?).ok()?;
        Some((event["tokens_evaluated"].as_u64()?, event["tokens_predicted"].as_u64()?))
    });
    let (prompt, predicted) = counts.next_back().expect("an event with counts");
    assert_eq!(row["promptTokens"], prompt, "{row}");
    let counted = row["completionTokens"].as_u64().unwrap();
    assert!((predicted..LONG).contains(&counted), "{counted} instead of {predicted}");

    // Chats have counts in the last event only: they are estimated by what came.
    let row = &rows["/v1/chat/completions"];
    let events = chat.lines().filter(|line| line.contains(r#""delta":{"content":""#)).count();
    assert_eq!(row["outcome"], "OUTCOME_TRUNCATED", "{row}");
    assert_eq!(row["usageSource"], "USAGE_SOURCE_ESTIMATED", "{row}");
    assert_eq!(row["promptTokens"], Value::Null, "{row}");
    assert!(row["completionTokens"].as_u64().unwrap() >= events as u64, "{events}, {row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_its_slot_and_a_killed_server_truncates_its_answers() {
    let server = LlamaServer::start(&ROOM).await;
    let modash = Modash::start(&server.url, "observe").await;
    leave_in_mid_stream(&server, &modash).await;
    kill_in_mid_stream(&server, &modash).await;
}
