//! Connections: idle ones, too many of them, and clients that leave in crowds.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use modash_test_support::Relay;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{PATIENCE, TestGateway, until};

const CALL: &str = r#"{"_tag":"Request","id":"1","tag":"UsageSummary"}"#;

async fn connect(gateway: &TestGateway) -> TcpStream {
    TcpStream::connect(gateway.address).await.unwrap()
}

fn call() -> String {
    format!(
        "POST /rpc HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{CALL}",
        CALL.len()
    )
}

#[tokio::test]
async fn idle_connections_make_room_and_do_not_keep_others_out() {
    let gateway = TestGateway::with(|config| config.limits.connections = Some(20)).await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(connect(&gateway).await);
        let answer = gateway.get("/healthz", &[]).await;
        assert_eq!(answer.status, 200);
    }
    let text = || gateway.context.metrics.text();
    until("the surplus is closed", || {
        let open = text()
            .lines()
            .find_map(|line| line.strip_prefix("modash_gateway_connections ")?.parse::<f64>().ok());
        open.unwrap() <= 20.0
    })
    .await;
    let mut end = Vec::new();
    let closed = timeout(PATIENCE, idle[0].read_to_end(&mut end)).await;
    closed.expect("the connection that was idle longest is closed").ok();
}

#[tokio::test]
async fn a_connection_without_a_request_or_with_half_a_head_is_closed() {
    let gateway = TestGateway::with(|config| {
        config.limits.header_timeout = Duration::from_millis(300);
        config.limits.idle_timeout = Duration::from_millis(300);
    })
    .await;
    for sent in ["", "GET /healthz HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut connection = connect(&gateway).await;
        connection.write_all(sent.as_bytes()).await.unwrap();
        let mut end = Vec::new();
        let closed = timeout(PATIENCE, connection.read_to_end(&mut end)).await;
        closed.unwrap_or_else(|_| panic!("{sent:?} is kept")).ok();
    }
}

#[tokio::test]
async fn a_request_that_takes_long_is_not_idle() {
    let gateway = TestGateway::with(|config| {
        config.limits.header_timeout = Duration::from_millis(100);
        config.limits.idle_timeout = Duration::from_millis(100);
    })
    .await;
    *gateway.script.hang.lock().unwrap() = true;
    let mut connection = connect(&gateway).await;
    connection.write_all(call().as_bytes()).await.unwrap();
    let read = timeout(Duration::from_millis(600), connection.read_u8()).await;
    assert!(read.is_err(), "neither an answer nor the end: {read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_in_crowds_disturb_no_other_call() {
    let gateway = TestGateway::start().await;
    *gateway.script.hang.lock().unwrap() = true;
    let patient = gateway.rpc(CALL);
    tokio::pin!(patient);
    let storm = async {
        let asked = || {
            let calls = gateway.script.calls.lock().unwrap();
            calls.iter().any(|(method, _)| *method == "UsageSummary")
        };
        until("the patient call runs", asked).await;
        // Answers that are on their way when their caller leaves are what ends a
        // connection of HTTP/2: analytics answers each of these at once.
        *gateway.script.hang.lock().unwrap() = false;
        for _ in 0..60 {
            let mut leaving = Vec::new();
            for _ in 0..50 {
                let mut connection = connect(&gateway).await;
                connection.write_all(call().as_bytes()).await.unwrap();
                leaving.push(connection);
            }
            drop(leaving);
        }
        let answer = gateway.rpc(CALL).await;
        assert_eq!(answer.json()[0]["exit"]["_tag"], json!("Success"));
    };
    tokio::select! {
        answer = &mut patient => panic!("the call was broken off: {}", answer.text()),
        () = storm => {}
    }
}

#[tokio::test]
async fn a_client_of_http2_that_vanished_is_noticed_and_one_that_is_there_stays() {
    let gateway = TestGateway::with(|config| {
        config.limits.http2_ping = (Duration::from_millis(100), Duration::from_millis(300));
    })
    .await;
    let relay = Relay::start(gateway.address).await;
    let client: Client<_, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = http::Request::get(format!("http://{}/events", relay.address()));
    let mut events = client.request(request.body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(events.status(), 200);
    let open = |count| {
        let line = format!("modash_gateway_event_streams {count}\n");
        gateway.context.metrics.text().contains(&line)
    };
    let ends = async { while let Some(Ok(_)) = events.body_mut().frame().await {} };
    assert!(timeout(Duration::from_secs(1), ends).await.is_err(), "it was asked and answered");
    assert!(open(1));
    // No FIN, no RST: nothing comes any more.
    relay.stall();
    until("the stream has ended", || open(0)).await;
}
