//! A proxy that is killed: what it answered, and what it was answering, is in the
//! database after its next start.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use modash_integration::{PATIENCE, Process, Services, Signal, get, post_json, rpc_value};
use modash_test_support::{Answer, FakeUpstream, Gate, TestDatabase, eventually};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

const ANSWER: &str = r#"{"id":"c-1","model":"m","choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;
const CONTENT: &str = "data: {\"id\":\"c-1\",\"model\":\"m-slow\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";

/// A proxy of its own with a spool in this directory.
struct SpoolingProxy {
    process: Process,
    url: String,
    metrics: String,
}

impl SpoolingProxy {
    async fn start(directory: &Path, upstream: &FakeUpstream, analytics_url: &str) -> Self {
        let settings = [
            ("PORT", "0".to_owned()),
            ("MODASH_PROXY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("MODASH_PROXY_REPLICA_ID", "killed".to_owned()),
            ("MODASH_PROXY_SPOOL_DIRECTORY", directory.display().to_string()),
            ("MODASH_PROXY_ANALYTICS_URL", analytics_url.to_owned()),
            ("UPSTREAM_URL", upstream.url()),
        ];
        let process = Process::start("modash-proxy", &settings, &[]);
        let url = format!("http://{}", process.address("proxy").await);
        let metrics = format!("http://{}/metrics", process.address("proxy admin").await);
        Self { process, url, metrics }
    }

    async fn ask(&self) {
        let url = format!("{}/v1/chat/completions", self.url);
        let reply = post_json(&url, &[], &json!({ "model": "m" })).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// Begins a stream that will not end by itself.
    async fn ask_for_a_long_answer(&self) -> TcpStream {
        let body = r#"{"model":"m-slow","stream":true}"#;
        let mut client = TcpStream::connect(self.url.trim_start_matches("http://")).await.unwrap();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    /// Asks with as many tags as an event may have, each as long as may be.
    async fn ask_with_much_to_record(&self) {
        let tags: Vec<_> = (0..16)
            .map(|number| (format!("x-modash-tag-{number:0>50}"), "v".repeat(128)))
            .collect();
        let tags: Vec<_> =
            tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let url = format!("{}/v1/chat/completions/{}", self.url, "p".repeat(450));
        let reply = post_json(&url, &tags, &json!({ "model": "m".repeat(250) })).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    async fn metric(&self, name: &str, value: u64) {
        let name = format!("modash_proxy_{name} ");
        eventually(PATIENCE, || async {
            let text = get(&self.metrics).await?.body;
            let text = String::from_utf8_lossy(&text).into_owned();
            let mut found = text.lines().filter_map(|line| line.strip_prefix(&name));
            // A gauge is written as `3.0`.
            let is = found.any(|found| found.parse() == Ok(value as f64));
            if is { Ok(()) } else { Err(text) }
        })
        .await;
    }

    async fn kill(mut self) {
        self.process.signal(Signal::KILL);
        self.process.ended().await;
    }
}

/// Analytics and a gateway for asking.
struct Answers {
    gateway_url: String,
    analytics: Process,
    analytics_url: String,
    _gateway: Process,
}

impl Answers {
    async fn start(database: &TestDatabase) -> Self {
        let analytics = Services::start_analytics(&database.url(), "127.0.0.1:0");
        let analytics_url = format!("http://{}", analytics.address("analytics").await);
        let settings = [
            ("MODASH_GATEWAY_LISTEN", "127.0.0.1:0".to_owned()),
            ("MODASH_GATEWAY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("MODASH_GATEWAY_ANALYTICS_URL", analytics_url.clone()),
        ];
        let gateway = Process::start("modash-gateway", &settings, &[]);
        let gateway_url = format!("http://{}", gateway.address("gateway").await);
        Self { gateway_url, analytics, analytics_url, _gateway: gateway }
    }

    /// The sequence numbers with which streams began, in their order.
    fn stream_numbers(&self) -> Vec<u64> {
        let said = self.analytics.output();
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| line["attributes"]["next_sequence"].as_u64()).collect()
    }

    /// The rows, once there are so many.
    async fn rows(&self, count: usize) -> Vec<Value> {
        eventually(PATIENCE, || async {
            let page = json!({ "page": 1, "pageSize": 100 });
            let answer = rpc_value(&self.gateway_url, "RecentRequests", &page).await?;
            let rows = answer["rows"].as_array().cloned().unwrap_or_default();
            if rows.len() == count { Ok(rows) } else { Err(answer.to_string()) }
        })
        .await
    }
}

/// An address at which nobody is.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_proxy_hands_over_at_its_next_start_what_it_had_answered() {
    let (database, upstream) = (TestDatabase::create().await, FakeUpstream::start().await);
    let spool = tempfile::tempdir().unwrap();
    upstream.answer_always(Answer::json(ANSWER));
    let away = nobody().await;
    // Twice, so that numbers of two lives meet in one spool.
    for life in 1..=2 {
        let proxy = SpoolingProxy::start(spool.path(), &upstream, &away).await;
        for _ in 0..30 {
            proxy.ask().await;
        }
        proxy.metric("events_spooled", 30 * life).await;
        proxy.kill().await;
    }

    let answers = Answers::start(&database).await;
    let proxy = SpoolingProxy::start(spool.path(), &upstream, &answers.analytics_url).await;
    proxy.ask().await;
    assert!(answers.rows(61).await.iter().all(|row| row["promptTokens"] == 7));
    proxy.metric("events_recovered_total", 60).await;
    proxy.metric("events_spooled", 0).await;
    proxy.kill().await;

    // Nothing is sent a second time, or it has no effect; numbers go on.
    let mut proxy = SpoolingProxy::start(spool.path(), &upstream, &answers.analytics_url).await;
    proxy.ask().await;
    answers.rows(62).await;
    proxy.process.signal(Signal::TERM);
    assert!(proxy.process.ended().await.success());
    let before = answers.stream_numbers();
    let _proxy = SpoolingProxy::start(spool.path(), &upstream, &answers.analytics_url).await;
    // A stream that begins before the directory is free has numbers of its own.
    eventually(PATIENCE, || async {
        let numbers = answers.stream_numbers();
        if numbers.iter().max() > before.iter().max() {
            Ok(())
        } else {
            Err(format!("{numbers:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_events_that_waited_for_analytics_arrive_in_batches_that_it_takes() {
    let (database, upstream) = (TestDatabase::create().await, FakeUpstream::start().await);
    let spool = tempfile::tempdir().unwrap();
    upstream.answer_always(Answer::json(ANSWER));
    let proxy = SpoolingProxy::start(spool.path(), &upstream, &nobody().await).await;
    for _ in 0..1_200 {
        proxy.ask_with_much_to_record().await;
    }
    proxy.metric("events_spooled", 1_200).await;
    proxy.kill().await;
    let answers = Answers::start(&database).await;
    let proxy = SpoolingProxy::start(spool.path(), &upstream, &answers.analytics_url).await;
    proxy.metric("events_acknowledged_total", 1_200).await;
    proxy.metric("events_rejected_total", 0).await;
    proxy.ask().await;
    proxy.metric("events_spooled", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_analytics_cannot_read_goes_to_quarantine_and_the_others_arrive() {
    let (database, upstream) = (TestDatabase::create().await, FakeUpstream::start().await);
    let spool = tempfile::tempdir().unwrap();
    upstream.answer_always(Answer::json(ANSWER));
    let proxy = SpoolingProxy::start(spool.path(), &upstream, &nobody().await).await;
    for _ in 0..20 {
        proxy.ask().await;
    }
    let segment = eventually(PATIENCE, || async {
        segment_of(spool.path(), 20).ok_or("not all events are in a segment file")
    })
    .await;
    proxy.kill().await;
    let unreadable = enlarge_record(&segment, 12);

    let answers = Answers::start(&database).await;
    let proxy = SpoolingProxy::start(spool.path(), &upstream, &answers.analytics_url).await;
    proxy.ask().await;
    answers.rows(20).await;
    proxy.metric("events_rejected_total", 1).await;
    proxy.metric("events_spooled", 0).await;
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let kept: Vec<(String, String, String, Vec<u8>)> =
        sqlx::query_as("SELECT replica_id, event_id, reason, event FROM quarantine")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let [(replica_id, event_id, reason, event)] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!((replica_id.as_str(), &event[..]), ("killed", &unreadable[..16 * 1024]));
    assert_eq!(event_id.as_bytes(), &unreadable[2..38]);
    assert!(reason.contains("message length too large"), "{reason}");
    eventually(PATIENCE, || async {
        let answer = rpc_value(&answers.gateway_url, "Completeness", &json!({})).await?;
        let numbers = ["committed", "rejected", "missing", "unaccounted"]
            .map(|name| answer["replicas"][0][name].clone());
        if numbers == [20, 1, 0, 0] { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
}

/// Bytes before the first record of a segment file, and before a record's payload.
const FILE_HEADER: usize = 20;
const RECORD_HEADER: usize = 16;

/// Where the payloads of its records are.
fn payloads(segment: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), FILE_HEADER);
    while let Some(header) = segment.get(at..at + RECORD_HEADER) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let payload = at + RECORD_HEADER..at + RECORD_HEADER + length;
        if payload.end > segment.len() {
            break;
        }
        at = payload.end;
        found.push(payload);
    }
    found
}

/// The segment file with so many records.
fn segment_of(spool: &Path, records: usize) -> Option<PathBuf> {
    let replica = fs::read_dir(spool).ok()?.flatten().next()?.path();
    let mut files = fs::read_dir(replica).ok()?.flatten().map(|entry| entry.path());
    files.find(|path| {
        path.extension().is_some_and(|kind| kind == "events")
            && fs::read(path).is_ok_and(|bytes| payloads(&bytes).len() == records)
    })
}

/// Makes the event of a record larger than the largest message that analytics reads.
/// Gives its payload.
fn enlarge_record(segment: &Path, number: usize) -> Vec<u8> {
    const PATH: u32 = 14;
    let bytes = fs::read(segment).unwrap();
    let old = payloads(&bytes)[number].clone();
    let mut payload = bytes[old.clone()].to_vec();
    prost::encoding::string::encode(PATH, &"p".repeat(5 << 20), &mut payload);
    let mut record = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
    record.extend_from_slice(&bytes[old.start - 8..old.start]);
    record.extend_from_slice(&payload);
    let checksum = crc32fast::hash(&record).to_le_bytes();
    let (before, after) = (&bytes[..old.start - RECORD_HEADER], &bytes[old.end..]);
    fs::write(segment, [before, &checksum, &record, after].concat()).unwrap();
    payload
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_proxy_was_answering_is_recorded_as_interrupted() {
    let (database, upstream) = (TestDatabase::create().await, FakeUpstream::start().await);
    let spool = tempfile::tempdir().unwrap();
    let answers = Answers::start(&database).await;
    let proxy = SpoolingProxy::start(spool.path(), &upstream, &answers.analytics_url).await;
    upstream.answer(Answer::event_stream().chunk(CONTENT).wait(&Gate::new()));
    let _client = proxy.ask_for_a_long_answer().await;
    let running = spool.path().join("killed");
    eventually(PATIENCE, || async {
        // Requests that take longer are described in the journal.
        let files = std::fs::read_dir(&running).unwrap().map(|file| file.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|kind| kind == "journal")).any(|file| {
            let journal = std::fs::read(file).unwrap_or_default();
            journal.windows(6).any(|bytes| bytes == b"m-slow")
        })
    })
    .await;
    proxy.kill().await;

    let proxy = SpoolingProxy::start(spool.path(), &upstream, &answers.analytics_url).await;
    let rows = answers.rows(1).await;
    assert_eq!(rows[0]["outcome"], "OUTCOME_INTERRUPTED", "{rows:?}");
    assert_eq!((&rows[0]["model"], &rows[0]["stream"]), (&json!("m-slow"), &json!(true)));
    proxy.metric("requests_interrupted_total", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_killed_in_the_moment_of_its_answers_loses_none_of_them() {
    let (database, upstream) = (TestDatabase::create().await, FakeUpstream::start().await);
    let spool = tempfile::tempdir().unwrap();
    upstream.answer_always(Answer::json(ANSWER));
    let answers = Answers::start(&database).await;
    for life in 1..=5 {
        let proxy = SpoolingProxy::start(spool.path(), &upstream, &answers.analytics_url).await;
        for _ in 0..10 {
            proxy.ask().await;
        }
        // Nothing was waited for: the last ones are nowhere but in the journal.
        proxy.kill().await;
        let _next = SpoolingProxy::start(spool.path(), &upstream, &answers.analytics_url).await;
        let rows = answers.rows(10 * life).await;
        // With their counts: an event is made before its client has the last byte.
        assert!(rows.iter().all(|row| row["promptTokens"] == 7), "{rows:?}");
        let mut ids: Vec<_> = rows.iter().map(|row| row["eventId"].to_string()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 10 * life);
    }
}
