//! Nothing is held back: a head, and each event, leaves when it has come, whatever
//! the versions of HTTP and the coding.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use modash_test_support::{Answer, FakeUpstream, Gate, raw::Coding};
use support::{
    PATIENCE,
    streaming::{Leave, StreamingClient, WAYS, proxy_before},
};

const EVENTS: [&str; 3] = [
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
];

/// The upstream sends one thing and waits until the client has it.
#[tokio::test]
async fn a_head_and_each_event_leave_before_the_next_one_has_come() {
    for (client, upstream_version) in WAYS {
        let upstream = FakeUpstream::start().await;
        let proxy = proxy_before(&upstream, upstream_version).await;
        for coding in Coding::ALL {
            let events = EVENTS.map(str::as_bytes);
            let mut pieces = coding.encode_each(&events);
            pieces.retain(|piece| !piece.is_empty());
            assert!(pieces.len() >= EVENTS.len(), "{coding:?} is not flushed");
            let gates: Vec<Gate> = pieces.iter().map(|_| Gate::new()).collect();
            let mut answer = Answer::event_stream();
            if let Some(name) = coding.name() {
                answer = answer.header("content-encoding", name);
            }
            for (piece, gate) in pieces.iter().zip(&gates) {
                answer = answer.wait(gate).chunk(piece.clone());
            }
            upstream.answer(answer);
            let take_all = async {
                let how = (client, Leave::Close);
                let body = br#"{"model":"m","stream":true}"#;
                let path = "/v1/chat/completions";
                let mut client = StreamingClient::post(proxy.address, how, path, body).await;
                assert_eq!(client.head().await.0, 200);
                for (piece, gate) in pieces.iter().zip(&gates) {
                    gate.open();
                    assert_eq!(client.exactly(piece.len()).await, piece);
                }
                assert_eq!(client.next().await, None);
            };
            let taken = tokio::time::timeout(PATIENCE, take_all).await;
            assert!(taken.is_ok(), "{client:?} to {upstream_version:?}, {coding:?}: held back");
        }
        let events = proxy.analytics.events(Coding::ALL.len()).await;
        for event in events {
            assert_eq!((event.finish_reason.as_deref(), event.content_events), (Some("stop"), 1));
        }
    }
}

/// The other way: a piece of a request leaves before the next one is sent.
#[tokio::test]
async fn each_piece_of_a_request_leaves_before_the_next_one_has_come() {
    for (client, upstream_version) in WAYS {
        let upstream = FakeUpstream::start().await;
        let proxy = proxy_before(&upstream, upstream_version).await;
        let how = (client, Leave::Close);
        let mut client =
            StreamingClient::begin(proxy.address, how, "/v1/files", (b"one ", 13)).await;
        let request = upstream.next_request().await;
        let mut sent = 4;
        for piece in ["two ", "three"] {
            let reached = tokio::time::timeout(PATIENCE, request.body_reached(sent)).await;
            assert!(reached.is_ok(), "held back: {:?}", request.body_so_far());
            client.send(piece.as_bytes()).await;
            sent += piece.len();
        }
        assert_eq!(client.head().await.0, 200);
        assert_eq!(request.body().await.unwrap(), "one two three");
    }
}
