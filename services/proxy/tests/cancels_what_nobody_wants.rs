//! Clients that leave: in the middle of a stream or an upload, in any way, or
//! when they have all that they wanted.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use modash_proto::v1::Outcome;
use modash_test_support::{Answer, FakeUpstream, Gate, Received};
use support::{
    PATIENCE, TestProxy, read_until,
    streaming::{Leave, StreamingClient, Version, WAYS, proxy_before},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const LEAVES: [Leave; 3] = [Leave::Close, Leave::Reset, Leave::Stream];

/// One content event of a chat.
const EVENT: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m-1\",\
                     \"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";

async fn cancelled(request: &Received, how: impl Debug) -> Duration {
    let begin = Instant::now();
    let cancelled = tokio::time::timeout(PATIENCE, request.cancelled()).await;
    assert!(cancelled.is_ok(), "it goes on upstream: {how:?}");
    begin.elapsed()
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_stream_cancels_it_and_what_was_seen_is_kept() {
    let mut slowest = Duration::ZERO;
    for (client, upstream_version) in WAYS {
        for leave in LEAVES {
            let how = (client, upstream_version, leave);
            let upstream = FakeUpstream::start().await;
            let proxy = proxy_before(&upstream, upstream_version).await;
            upstream.answer(Answer::event_stream().chunk(EVENT).wait(&Gate::new()));
            let body = br#"{"model":"m","stream":true}"#;
            let mut client =
                StreamingClient::post(proxy.address, (client, leave), CHAT, body).await;
            client.head().await;
            client.exactly(EVENT.len()).await;
            let request = upstream.next_request().await;
            let _connection = client.leave().await;
            slowest = slowest.max(cancelled(&request, how).await);
            let event = proxy.analytics.event().await;
            assert_eq!((event.outcome(), event.status), (Outcome::ClientClosed, Some(200)));
            assert_eq!((event.content_events, event.model.as_deref()), (1, Some("m-1")));
            assert_eq!(event.request_bytes, body.len() as u64);
            assert_eq!(event.response_bytes, EVENT.len() as u64);
        }
    }
    println!("cancelled upstream after {slowest:?} at most");
}

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn a_client_that_leaves_in_mid_upload_cancels_it() {
    let mut slowest = Duration::ZERO;
    for (client, upstream_version) in WAYS {
        for leave in LEAVES {
            let how = (client, upstream_version, leave);
            let upstream = FakeUpstream::start().await;
            let proxy = proxy_before(&upstream, upstream_version).await;
            let mut client =
                StreamingClient::begin(proxy.address, (client, leave), CHAT, (b"{\"mod", 1000))
                    .await;
            client.send(b"el\":").await;
            let request = upstream.next_request().await;
            tokio::time::timeout(PATIENCE, request.body_reached(9)).await.unwrap();
            let _connection = client.leave().await;
            let begin = Instant::now();
            let body = tokio::time::timeout(PATIENCE, request.body()).await;
            assert_eq!(body, Ok(None), "it goes on or looks whole: {how:?}");
            slowest = slowest.max(begin.elapsed());
            let event = proxy.analytics.event().await;
            let seen = (event.outcome(), event.request_bytes);
            assert_eq!(seen, (Outcome::ClientClosed, 9), "{how:?}: {event:?}");
        }
    }
    println!("cancelled upstream after {slowest:?} at most");
}

/// How a stream of a dialect goes on, and how it ends.
struct Ending {
    dialect: &'static str,
    path: &'static str,
    content: &'static str,
    last: &'static str,
}

const ENDINGS: [Ending; 5] = [
    Ending { dialect: "openai-chat", path: CHAT, content: EVENT, last: "data: [DONE]\n\n" },
    Ending {
        dialect: "anthropic-messages",
        path: "/v1/messages",
        content: "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\
                  \"type\":\"message\",\"model\":\"m-1\",\"usage\":{\"input_tokens\":3,\
                  \"output_tokens\":1}}}\n\nevent: content_block_delta\ndata: {\"type\":\
                  \"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\
                  \"text\":\"a\"}}\n\n",
        last: "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    },
    Ending {
        dialect: "openai-responses",
        path: "/v1/responses",
        content: "event: response.output_text.delta\ndata: {\"type\":\
                  \"response.output_text.delta\",\"delta\":\"a\"}\n\n",
        last: "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":\
               {\"id\":\"r\",\"model\":\"m-1\",\"status\":\"completed\",\"usage\":\
               {\"input_tokens\":3,\"output_tokens\":1,\"total_tokens\":4}}}\n\n",
    },
    Ending {
        dialect: "gemini-generate",
        path: "/v1beta/models/m-1:streamGenerateContent?alt=sse",
        content: "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\
                  \"a\"}]},\"index\":0}],\"modelVersion\":\"m-1\"}\r\n\r\n",
        last: "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\
               \"b\"}]},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":\
               {\"promptTokenCount\":3,\"candidatesTokenCount\":2,\"totalTokenCount\":5}}\r\n\r\n",
    },
    Ending {
        dialect: "ollama-chat",
        path: "/api/chat",
        content: "{\"model\":\"m-1\",\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\
                  \"done\":false}\n",
        last: "{\"model\":\"m-1\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":\
               true,\"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":1}\n",
    },
];

impl Ending {
    /// How it is recorded when the client leaves now: with the last event, or
    /// without.
    async fn outcome(&self, with_last: bool, client: Version) -> Outcome {
        let upstream = FakeUpstream::start().await;
        let proxy: TestProxy = proxy_before(&upstream, Version::Http1).await;
        let lines = self.dialect == "ollama-chat";
        let kind = if lines { "application/x-ndjson" } else { "text/event-stream" };
        let mut text = self.content.to_owned();
        let mut answer = Answer::new(200).header("content-type", kind).chunk(self.content);
        if with_last {
            answer = answer.chunk(self.last);
            text.push_str(self.last);
        }
        // The upstream does not end the body: the client does not wait for it.
        upstream.answer(answer.wait(&Gate::new()));
        let body = br#"{"model":"m-1","stream":true}"#;
        let how = (client, Leave::Close);
        let mut client = StreamingClient::post(proxy.address, how, self.path, body).await;
        client.head().await;
        assert_eq!(client.exactly(text.len()).await, text);
        let request = upstream.next_request().await;
        let _connection = client.leave().await;
        cancelled(&request, how).await;
        let event = proxy.analytics.event().await;
        assert_eq!(event.dialect, self.dialect);
        assert!(event.content_events > 0, "{event:?}");
        event.outcome()
    }
}

#[tokio::test]
async fn a_client_that_leaves_after_the_terminal_event_had_everything() {
    for ending in &ENDINGS {
        for client in [Version::Http1, Version::Http2] {
            let outcomes =
                [ending.outcome(false, client).await, ending.outcome(true, client).await];
            assert_eq!(outcomes, [Outcome::ClientClosed, Outcome::Ok], "{}", ending.dialect);
        }
    }
}

/// A WebSocket through a proxy: client, upstream.
async fn websocket() -> (TestProxy, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let proxy = TestProxy::start_with(|config| config.upstream = Some(url.parse().unwrap())).await;
    let asked = "GET /v1/realtime?model=m HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\n\r\n";
    let mut client = proxy.send(asked).await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    read_until(&mut upstream, "\r\n\r\n").await;
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\n\r\n";
    upstream.write_all(switched.as_bytes()).await.unwrap();
    read_until(&mut client, "\r\n\r\n").await;
    (proxy, client, upstream)
}

#[tokio::test]
async fn an_upstream_that_leaves_a_websocket_is_not_taken_for_the_client() {
    let (proxy, mut client, mut upstream) = websocket().await;
    let begun = br#"{"type":"response.created","response":{"id":"r","status":"in_progress"}}"#;
    upstream.write_all(&[0x81, begun.len() as u8]).await.unwrap();
    upstream.write_all(begun).await.unwrap();
    // The client does not read: the end is seen when it sends.
    let full = Duration::from_millis(300);
    while tokio::time::timeout(full, upstream.write(&[0; 65_536])).await.is_ok() {}
    upstream.set_zero_linger().unwrap();
    drop(upstream);
    client.write_all(b"a message").await.unwrap();
    assert_ne!(proxy.analytics.event().await.outcome(), Outcome::ClientClosed);
}

/// A WebSocket whose upstream says nothing and waits for its end.
#[tokio::test]
async fn a_client_that_leaves_its_websocket_ends_it_upstream() {
    let mut slowest = Duration::ZERO;
    for leave in [Leave::Close, Leave::Reset] {
        let (proxy, mut client, mut upstream) = websocket().await;
        client.write_all(b"a message").await.unwrap();
        read_until(&mut upstream, "a message").await;
        if leave == Leave::Reset {
            client.set_zero_linger().unwrap();
        }
        let begin = Instant::now();
        drop(client);
        let ended = tokio::time::timeout(PATIENCE, upstream.read(&mut [0; 10])).await;
        assert_eq!(ended.expect("it goes on").unwrap_or(0), 0);
        slowest = slowest.max(begin.elapsed());
        drop(upstream);
        let event = proxy.analytics.event().await;
        assert_eq!((event.status, event.request_bytes), (Some(101), 9));
    }
    println!("ended upstream after {slowest:?} at most");
}
