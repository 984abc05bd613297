//! `GET /events`: order, resuming, folding, and analytics that comes and goes.

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use modash_proto::v1::{
    Connected, LiveRequest, Missed, Outcome, RequestPhase, RequestStateUpdated, UsageUpdated,
    subscribe_response::Message,
};
use modash_test_support::Relay;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::{
    fake::{Fake, Script},
    support::{PATIENCE, TestGateway, until, with_headers},
};

/// One event as a browser sees it.
#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

struct Events {
    head: http::response::Parts,
    body: Incoming,
    read: BytesMut,
}

impl Events {
    async fn open(gateway: &TestGateway, path: &str, headers: &[(&str, &str)]) -> Self {
        let request = with_headers(gateway.request("GET", path), headers);
        let response: Response<Incoming> =
            gateway.open(request.body(Full::default()).unwrap()).await;
        let (head, body) = response.into_parts();
        Self { head, body, read: BytesMut::new() }
    }

    /// The next block of lines; `None` at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\n\n") {
                let block = self.read.split_to(end + 2);
                return Some(String::from_utf8(block[..end].to_vec()).unwrap());
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.expect("an event or the end")?;
            let frame: Bytes = frame.unwrap().into_data().unwrap();
            self.read.extend_from_slice(&frame);
        }
    }

    /// The next event; comments and `retry` are passed over.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            if let Some(name) = field("event: ") {
                assert_eq!(block.lines().count(), 3, "{block}");
                return Some(Event {
                    id: field("id: ").unwrap().to_owned(),
                    name: name.to_owned(),
                    data: serde_json::from_str(field("data: ").unwrap()).unwrap(),
                });
            }
        }
    }

    async fn until(&mut self, what: &str, mut is: impl FnMut(&Event) -> bool) -> Event {
        loop {
            let event =
                self.next().await.unwrap_or_else(|| panic!("the stream ended before {what}"));
            if is(&event) {
                return event;
            }
        }
    }
}

fn running(id: &str, content_events: u64) -> LiveRequest {
    LiveRequest {
        event_id: id.to_owned(),
        phase: RequestPhase::Streaming.into(),
        content_events,
        model: Some("qwen3-8b".to_owned()),
        ..Default::default()
    }
}

fn ended(id: &str) -> LiveRequest {
    LiveRequest {
        phase: RequestPhase::Ended.into(),
        outcome: Outcome::Ok.into(),
        ..running(id, 20)
    }
}

fn usage(requests: u64) -> Message {
    Message::UsageUpdated(UsageUpdated { requests, ..Default::default() })
}

/// A gateway that has its subscription.
pub(crate) async fn subscribed() -> TestGateway {
    let gateway = TestGateway::start().await;
    wait_for_subscription(&gateway).await;
    gateway
}

async fn wait_for_subscription(gateway: &TestGateway) {
    let live = async {
        loop {
            let connected = Events::open(gateway, "/events", &[]).await.next().await.unwrap();
            if connected.data["live"] == json!(true) && connected.data["seq"].as_u64() >= Some(2) {
                return;
            }
        }
    };
    timeout(PATIENCE, live).await.expect("the gateway subscribes");
}

fn states(event: &Event) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let requests = event.data["requests"].as_array().unwrap();
    requests.iter().map(|request| (text(&request["id"]), text(&request["state"]))).collect()
}

#[tokio::test]
async fn a_page_learns_where_traces_are_shown() {
    let template = "https://traces.example.com/trace/{trace_id}?span={span_id}";
    let gateway = TestGateway::with(|config| config.trace_url = template.parse().ok()).await;
    let connected = Events::open(&gateway, "/events", &[]).await.next().await.unwrap();
    assert_eq!(connected.data["traceUrl"], json!(template));
    assert_eq!(connected.data["proxyPort"], json!(4005));
    let without = TestGateway::start().await;
    let connected = Events::open(&without, "/events", &[]).await.next().await.unwrap();
    assert_eq!(connected.data.get("traceUrl"), None);
}

#[tokio::test]
async fn connected_comes_first_with_the_requests_in_flight() {
    let gateway = subscribed().await;
    let mut first = Events::open(&gateway, "/events", &[]).await;
    assert_eq!(first.head.status, 200);
    let header = |name: &str| first.head.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(header("cache-control"), "no-cache, no-transform");
    assert_eq!(header("x-accel-buffering"), "no");
    assert!(!first.head.headers.contains_key("content-length"));
    assert_eq!(first.block().await.unwrap(), "retry: 2000");
    let connected = first.next().await.unwrap();
    assert_eq!(connected.name, "connected");
    assert_eq!(connected.data["resumed"], json!(false));
    assert_eq!(connected.data["requests"], json!([]));
    let id = format!("{}-{}", connected.data["instance"].as_str().unwrap(), connected.data["seq"]);
    assert_eq!(connected.id, id);

    gateway.script.send_requests(vec![running("a", 1), ended("b")]);
    let update = first.until("the update", |event| event.name == "request-state-updated").await;
    assert_eq!(
        states(&update),
        [("a".to_owned(), "streaming".to_owned()), ("b".to_owned(), "completed".to_owned())]
    );
    let second = Events::open(&gateway, "/events", &[]).await.next().await.unwrap();
    assert_eq!(states(&second), [("a".to_owned(), "streaming".to_owned())]);
}

#[tokio::test]
async fn all_streams_share_one_subscription() {
    let gateway = subscribed().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(Events::open(&gateway, "/events", &[]).await);
    }
    gateway.script.send(usage(7));
    for stream in &mut streams {
        let event = stream.until("the update", |event| event.name == "usage-updated").await;
        assert_eq!(event.data["requests"], json!(7));
    }
    assert_eq!(gateway.script.subscriptions.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_resumes_where_it_left_off() {
    let gateway = subscribed().await;
    let mut stream = Events::open(&gateway, "/events", &[]).await;
    let id = stream.next().await.unwrap().id;
    drop(stream);
    gateway.script.send(usage(1));
    gateway.script.send(usage(2));
    gateway.script.send_requests(vec![running("a", 1)]);
    gateway.script.send_requests(vec![running("a", 5)]);
    let mut witness = Events::open(&gateway, "/events", &[]).await;
    witness
        .until("the last state", |event| event.data["requests"][0]["completionTokens"] == json!(5))
        .await;

    let query = format!("/events?lastEventId={id}");
    for (path, headers) in
        [("/events", vec![("last-event-id", id.as_str())]), (query.as_str(), vec![])]
    {
        let mut stream = Events::open(&gateway, path, &headers).await;
        let connected = stream.next().await.unwrap();
        assert_eq!(
            (connected.name.as_str(), &connected.data["resumed"]),
            ("connected", &json!(true))
        );
        let missed = [stream.next().await.unwrap(), stream.next().await.unwrap()];
        assert_eq!(missed[0].name, "usage-updated");
        assert_eq!(missed[1].name, "request-state-updated");
        assert_eq!(missed[1].data["requests"][0]["completionTokens"], json!(5));
        assert_eq!(missed[1].id, connected.id);
    }
}

#[tokio::test]
async fn an_unknown_position_is_not_resumed() {
    let gateway = subscribed().await;
    let instance = Events::open(&gateway, "/events", &[]).await.next().await.unwrap().data;
    let ahead = format!("{}-999", instance["instance"].as_str().unwrap());
    for id in ["00000000-1", ahead.as_str(), "nonsense", "-", ""] {
        let mut stream = Events::open(&gateway, "/events", &[("last-event-id", id)]).await;
        assert_eq!(stream.next().await.unwrap().data["resumed"], json!(false), "{id}");
    }
    // The header wins over the query.
    let query = format!("/events?lastEventId={}-1", instance["instance"].as_str().unwrap());
    let mut stream = Events::open(&gateway, &query, &[("last-event-id", "x-1")]).await;
    assert_eq!(stream.next().await.unwrap().data["resumed"], json!(false));
}

#[tokio::test]
async fn changes_are_folded_to_the_newest_state() {
    let gateway = subscribed().await;
    let mut stream = Events::open(&gateway, "/events", &[]).await;
    stream.next().await.unwrap();
    let (begin, mut updates, mut usages, mut ids) = (Instant::now(), 0, 0, Vec::new());
    let sender = {
        let script = gateway.script.clone();
        tokio::spawn(async move {
            for content_events in 1..=100 {
                script.send_requests(vec![running("a", content_events)]);
                script.send(usage(1));
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
    };
    let mut counted = 0;
    let mut newest = 0;
    while counted < 100 || newest < 100 {
        let event = stream.next().await.unwrap();
        let seq = event.data["seq"].as_u64().unwrap();
        assert!(event.id.ends_with(&format!("-{seq}")), "{event:?}");
        ids.push(seq);
        if event.name == "usage-updated" {
            usages += 1;
            counted += event.data["requests"].as_u64().unwrap();
        } else {
            updates += 1;
            newest = event.data["requests"][0]["completionTokens"].as_u64().unwrap();
        }
    }
    let elapsed = begin.elapsed().as_millis();
    assert!(updates <= elapsed / 250 + 1, "{updates} in {elapsed} ms");
    assert!(usages <= elapsed / 500 + 1, "{usages} in {elapsed} ms");
    assert!(ids.is_sorted(), "{ids:?}");
    sender.await.unwrap();
}

#[tokio::test]
async fn more_than_200_changed_requests_are_truncated() {
    let gateway = subscribed().await;
    let mut stream = Events::open(&gateway, "/events", &[]).await;
    stream.next().await.unwrap();
    let requests = |from: u64| (from..from + 150).map(|n| running(&format!("{n:04}"), 1)).collect();
    gateway.script.send_requests(requests(0));
    gateway.script.send_requests(requests(150));
    gateway.script.send_requests(requests(300));
    let event = stream.until("truncation", |event| event.data["truncated"] == json!(true)).await;
    assert_eq!(event.data["requests"].as_array().unwrap().len(), 200);
    let connected = Events::open(&gateway, "/events", &[]).await.next().await.unwrap();
    assert_eq!(states(&connected).len(), 200);
    assert_eq!(connected.data["truncated"], json!(true));
}

#[tokio::test]
async fn the_stream_stays_open_while_analytics_is_away_and_says_to_look_again() {
    let mut gateway = subscribed().await;
    let mut stream = Events::open(&gateway, "/events", &[]).await;
    stream.next().await.unwrap();
    gateway.script.send_requests(vec![running("a", 1), running("b", 1)]);
    stream.until("both run", |event| event.data["requests"].as_array().is_some()).await;

    let address = gateway.kill_analytics();
    let away = async {
        loop {
            let mut other = Events::open(&gateway, "/events", &[]).await;
            if other.next().await.unwrap().data["live"] == json!(false) {
                return;
            }
        }
    };
    timeout(PATIENCE, away).await.expect("the loss is noticed");
    let lost = stream.until("the loss", |event| event.data["live"] == json!(false)).await;
    assert_eq!(lost.data.get("snapshot"), None, "no request has ended");
    *gateway.script.in_flight.lock().unwrap() = vec![running("b", 9)];
    gateway.fake = Some(Fake::start(gateway.script.clone(), address).await);

    let (mut usage, mut requests) = (None, None);
    while usage.is_none() || requests.is_none() {
        let event = stream.next().await.expect("the stream stays open");
        match event.name.as_str() {
            "usage-updated" => usage = Some(event),
            "request-state-updated" => requests = Some(event),
            other => panic!("{other}"),
        }
    }
    assert_eq!(usage.unwrap().data["requests"], Value::Null);
    let requests = requests.unwrap();
    assert_eq!(requests.data["snapshot"], json!(true));
    assert_eq!(requests.data["live"], json!(true));
    assert_eq!(states(&requests), [("b".to_owned(), "streaming".to_owned())]);
}

#[tokio::test]
async fn every_open_stream_is_told_that_analytics_is_gone_and_is_back() {
    let mut gateway = subscribed().await;
    let (mut streams, mut first_id) = (Vec::new(), String::new());
    for _ in 0..20 {
        let mut stream = Events::open(&gateway, "/events", &[]).await;
        first_id = stream.next().await.unwrap().id;
        streams.push(stream);
    }
    let told = async |streams: &mut [Events], live: bool| {
        for stream in streams {
            stream.until("the change", |event| event.data["live"] == json!(live)).await;
        }
    };
    let address = gateway.kill_analytics();
    timeout(PATIENCE, told(&mut streams, false)).await.expect("that it is gone");
    // A client that comes back by the number of an older event is told as well.
    let mut resumed = Events::open(&gateway, "/events", &[("last-event-id", &first_id)]).await;
    assert_eq!(resumed.next().await.unwrap().data["live"], json!(false));
    gateway.fake = Some(Fake::start(gateway.script.clone(), address).await);
    timeout(PATIENCE, told(&mut streams, true)).await.expect("and that it is back");
}

#[tokio::test]
async fn an_analytics_that_hangs_is_as_good_as_gone() {
    let fake = Fake::start(Script::new(), "127.0.0.1:0".parse().unwrap()).await;
    let relay = Relay::start(fake.address).await;
    let url = format!("http://{}", relay.address()).parse().unwrap();
    let gateway = TestGateway::with(|config| config.analytics_url = url).await;
    let mut stream = Events::open(&gateway, "/events", &[]).await;
    stream.until("the beginning", |event| event.data["live"] == json!(true)).await;
    relay.stall();
    stream.until("the silence", |event| event.data["live"] == json!(false)).await;
    relay.restore();
    stream.until("the return", |event| event.data["live"] == json!(true)).await;
}

#[tokio::test]
async fn a_list_that_analytics_cut_ends_no_request() {
    let gateway = subscribed().await;
    let mut stream = Events::open(&gateway, "/events", &[]).await;
    stream.next().await.unwrap();
    gateway.script.send(Message::Connected(Connected {
        requests: vec![running("c", 1)],
        truncated: true,
        ..Default::default()
    }));
    let event = stream.until("the list", |event| event.data["requests"].is_array()).await;
    assert_eq!((event.data.get("snapshot"), &event.data["truncated"]), (None, &json!(true)));
}

#[tokio::test]
async fn what_analytics_left_out_is_fetched_by_a_new_subscription() {
    let gateway = subscribed().await;
    let mut stream = Events::open(&gateway, "/events", &[]).await;
    stream.next().await.unwrap();
    *gateway.script.in_flight.lock().unwrap() = vec![running("a", 1), running("b", 1)];
    gateway.script.send(Message::RequestStateUpdated(RequestStateUpdated {
        requests: vec![running("a", 1)],
        truncated: true,
        ..Default::default()
    }));
    let first = stream.next().await.unwrap();
    assert_eq!(first.data["truncated"], json!(true));
    let second = stream.next().await.unwrap();
    assert_eq!((second.name.as_str(), states(&second).len()), ("request-state-updated", 2));
    assert_eq!(second.data["snapshot"], json!(true));
}

#[tokio::test]
async fn after_missed_messages_everything_is_new() {
    let gateway = subscribed().await;
    let mut stream = Events::open(&gateway, "/events", &[]).await;
    stream.next().await.unwrap();
    gateway.script.send(Message::Missed(Missed { messages: 7 }));
    gateway.script.send(Message::Connected(Connected {
        requests: vec![running("c", 1)],
        ..Default::default()
    }));
    let mut names = [stream.next().await.unwrap().name, stream.next().await.unwrap().name];
    names.sort();
    assert_eq!(names, ["request-state-updated", "usage-updated"]);
}

#[tokio::test]
async fn a_gateway_that_stops_ends_its_streams() {
    let gateway = subscribed().await;
    let mut stream = Events::open(&gateway, "/events", &[]).await;
    stream.next().await.unwrap();
    gateway.stop().await;
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place() {
    let gateway = TestGateway::with(|config| config.streams = 256).await;
    let mut streams = Vec::new();
    for _ in 0..128 {
        streams.push(Events::open(&gateway, "/events", &[]).await);
    }
    let refused = gateway.get("/events", &[]).await;
    let code = &refused.json()["code"];
    assert_eq!((refused.status.as_u16(), code), (429, &json!("resource_exhausted")));
    streams.clear();
    let freed = async { while Events::open(&gateway, "/events", &[]).await.head.status != 200 {} };
    timeout(PATIENCE, freed).await.expect("places are freed");
    let text = || gateway.context.metrics.text();
    until("all streams end", || text().contains("modash_gateway_event_streams 0\n")).await;
}

#[tokio::test]
async fn errors_before_the_stream_are_json() {
    let gateway = TestGateway::start().await;
    let answer = gateway.get("/events", &[("accept", "application/json")]).await;
    assert_eq!(answer.status, 406);
    assert!(answer.json()["message"].as_str().unwrap().contains("text/event-stream"));
    let answer = gateway.post("/events", &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET"));
}
