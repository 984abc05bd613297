//! An older or newer proxy with this analytics, and the other way round: fields
//! that are missing or unknown, values that are unknown, messages that are.

use std::time::{Duration, Instant};

use modash_integration::{PATIENCE, Process, get, post_json, rpc_value};
use modash_proto::v1::{StreamUsageRequest, StreamUsageResponse, UsageEvent};
use modash_test_support::{Answer, FakeUpstream, event, eventually};
use prost::Message as _;
use serde_json::{Value, json};

use crate::{
    disk::with_own_mounts,
    system::System,
    wire::{Stream, field, number, serve},
};

/// What no version knows yet, of each kind.
fn unknown() -> Vec<u8> {
    [number(900, 7), field(901, b"new"), field(902, &number(1, 1))].concat()
}

/// Waits until events up to this number are acknowledged.
async fn acknowledged(stream: &mut Stream, sequence: u64) {
    loop {
        let answer = tokio::time::timeout(PATIENCE, stream.receive()).await.unwrap();
        let answer = StreamUsageResponse::decode(answer.expect("the stream ended")).unwrap();
        use modash_proto::v1::stream_usage_response::Message;
        match answer.message {
            Some(Message::Ack(ack)) if ack.sequence >= sequence => return,
            Some(Message::Reject(reject)) => panic!("{reject:?}"),
            _ => {}
        }
    }
}

async fn newest(system: &System) -> Value {
    let page = json!({ "page": 1, "pageSize": 1 });
    let mut answer = rpc_value(&system.gateway_url, "RecentRequests", &page).await.unwrap();
    answer["rows"][0].take()
}

async fn account_of(system: &System, replica: &str) -> Value {
    eventually(PATIENCE, || async {
        let answer = rpc_value(&system.gateway_url, "Completeness", &json!({})).await?;
        let replicas = answer["replicas"].as_array().cloned().unwrap_or_default();
        let found = replicas.into_iter().find(|found| found["replicaId"] == replica);
        found.filter(|found| found["committed"] == 1).ok_or_else(|| answer.to_string())
    })
    .await
}

#[test]
fn analytics_takes_events_from_older_and_newer_proxies() {
    with_own_mounts(async {
        let system = System::start(&[]).await;

        // The first version: no process, no counts but the first eight, and of the
        // event nothing that is optional.
        let mut older = Stream::open(system.analytics_address).await;
        older.send(&field(1, &[field(1, b"older"), number(3, 1)].concat())).await;
        let whole = event();
        let bare = UsageEvent {
            event_id: whole.event_id,
            replica_id: "older".to_owned(),
            started_at: whole.started_at,
            ..UsageEvent::default()
        };
        let batch = [number(1, 1), field(2, &bare.encode_to_vec())].concat();
        older.send(&field(2, &batch)).await;
        acknowledged(&mut older, 1).await;
        assert_eq!(newest(&system).await["eventId"], bare.event_id);
        older.send(&field(4, &[number(1, 1), number(2, 1), number(6, 1)].concat())).await;
        let account = account_of(&system, "older").await;
        assert_eq!(account["unaccounted"], Value::Null, "{account}");
        assert_eq!(account["state"], "COMPLETENESS_STATE_COMPLETE", "{account}");

        // A later one: fields, a message and values that nobody here knows.
        let mut newer = Stream::open(system.analytics_address).await;
        newer.send(&field(1, &[field(1, b"newer"), number(3, 1), unknown()].concat())).await;
        newer.send(&field(99, b"something new")).await;
        let known = UsageEvent {
            replica_id: "newer".to_owned(),
            outcome: 77,
            operation: 78,
            usage_source: 79,
            ..event()
        };
        let event = [known.encode_to_vec(), unknown()].concat();
        let batch = [number(1, 1), field(2, &event), unknown()].concat();
        newer.send(&[field(2, &batch), unknown()].concat()).await;
        acknowledged(&mut newer, 1).await;
        let row = newest(&system).await;
        assert_eq!(row["eventId"], known.event_id);
        assert_eq!(row["promptTokens"], 100);
        let counts = [number(1, 1), number(2, 1), number(6, 1), number(10, 0), number(11, 0)];
        newer.send(&field(4, &[counts.concat(), unknown()].concat())).await;
        let account = account_of(&system, "newer").await;
        assert_eq!(account["state"], "COMPLETENESS_STATE_COMPLETE", "{account}");
        let summary = rpc_value(&system.gateway_url, "UsageSummary", &json!({})).await.unwrap();
        assert_eq!(summary["requests"], 2, "{summary}");
    });
}

/// A proxy in front of somebody who takes the place of analytics.
struct Proxy {
    _process: Process,
    url: String,
    metrics: String,
}

impl Proxy {
    async fn start(analytics: std::net::SocketAddr, upstream: &FakeUpstream) -> Self {
        let settings = [
            ("PORT", "0".to_owned()),
            ("MODASH_PROXY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("MODASH_PROXY_ANALYTICS_URL", format!("http://{analytics}")),
            ("UPSTREAM_URL", upstream.url()),
        ];
        let process = Process::start("modash-proxy", &settings, &[]);
        let url = format!("http://{}/v1/chat/completions", process.address("proxy").await);
        let metrics = format!("http://{}/metrics", process.address("proxy admin").await);
        Self { _process: process, url, metrics }
    }

    async fn ask(&self) {
        let reply = post_json(&self.url, &[], &json!({ "model": "m" })).await.unwrap();
        assert_eq!(reply.status, 200);
    }

    async fn metric(&self, name: &str, value: u64) {
        let line = format!("modash_proxy_{name} {value}");
        eventually(PATIENCE, || async {
            let text = get(&self.metrics).await?.body;
            let text = String::from_utf8_lossy(&text).into_owned();
            if text.lines().any(|found| found == line) { Ok(()) } else { Err(text) }
        })
        .await;
    }
}

/// The first and the last number of the next batch.
async fn next_batch(stream: &mut Stream) -> (u64, u64) {
    loop {
        let message = tokio::time::timeout(PATIENCE, stream.receive()).await.unwrap();
        let message = StreamUsageRequest::decode(message.expect("the stream ended")).unwrap();
        use modash_proto::v1::stream_usage_request::Message;
        if let Some(Message::Batch(batch)) = message.message {
            let count = batch.events.len() as u64;
            return (batch.first_sequence, batch.first_sequence + count - 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_understands_an_older_and_a_newer_analytics() {
    let (analytics, mut streams) = serve().await;
    let upstream = FakeUpstream::start().await;
    upstream.answer_always(Answer::json("{}"));
    let proxy = Proxy::start(analytics, &upstream).await;
    let mut stream = streams.recv().await.unwrap();
    proxy.ask().await;
    assert_eq!(next_batch(&mut stream).await, (1, 1));

    // An acknowledgement without a number acknowledges nothing, and what nobody
    // here knows changes nothing.
    stream.send(&field(1, b"")).await;
    stream.send(&field(99, b"something new")).await;
    stream.send(&unknown()).await;
    stream.send(b"").await;
    stream.end().await;
    let mut stream = streams.recv().await.unwrap();
    assert_eq!(next_batch(&mut stream).await, (1, 1));
    stream.send(&[field(1, &[number(1, 1), unknown()].concat()), unknown()].concat()).await;
    proxy.metric("events_acknowledged_total", 1).await;

    // Without id and reason.
    proxy.ask().await;
    assert_eq!(next_batch(&mut stream).await, (2, 2));
    stream.send(&field(2, &number(1, 2))).await;
    stream.send(&field(1, &number(1, 2))).await;
    proxy.metric("events_rejected_total", 1).await;
    proxy.metric("events_acknowledged_total", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_asked_to_slow_down_pauses() {
    const PAUSE: Duration = Duration::from_secs(4);
    let (analytics, mut streams) = serve().await;
    let upstream = FakeUpstream::start().await;
    let proxy = Proxy::start(analytics, &upstream).await;
    let mut stream = streams.recv().await.unwrap();
    let asked = Instant::now();
    stream.send(&field(3, &field(1, &number(1, PAUSE.as_secs())))).await;
    // Long enough for it to hear that.
    tokio::time::sleep(PAUSE / 4).await;
    proxy.ask().await;
    assert_eq!(next_batch(&mut stream).await, (1, 1));
    assert!(asked.elapsed() >= PAUSE, "it sent after {:?}", asked.elapsed());
    stream.send(&field(1, &number(1, 1))).await;
    proxy.metric("events_acknowledged_total", 1).await;
}
