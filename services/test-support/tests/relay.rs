//! The line: open, stalled, cut, restored.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use modash_test_support::Relay;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

async fn line() -> (Relay, TcpListener) {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (Relay::start(target.local_addr().unwrap()).await, target)
}

#[tokio::test]
async fn bytes_and_the_end_pass_both_ways() {
    let (relay, target) = line().await;
    let mut client = TcpStream::connect(relay.address()).await.unwrap();
    let (mut server, _) = target.accept().await.unwrap();
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut text = String::new();
    server.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "question");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    text.clear();
    client.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "answer");
    assert_eq!(relay.accepted(), 1);
}

#[tokio::test]
async fn a_stalled_line_keeps_bytes_until_it_is_restored() {
    let (relay, target) = line().await;
    let mut client = TcpStream::connect(relay.address()).await.unwrap();
    let (mut server, _) = target.accept().await.unwrap();
    relay.stall();
    client.write_all(b"late").await.unwrap();
    let mut bytes = [0; 4];
    let early =
        tokio::time::timeout(Duration::from_millis(50), server.read_exact(&mut bytes)).await;
    assert!(early.is_err());
    relay.restore();
    server.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"late");
}

#[tokio::test]
async fn a_cut_line_ends_connections_at_both_ends() {
    let (relay, target) = line().await;
    let mut client = TcpStream::connect(relay.address()).await.unwrap();
    let (mut server, _) = target.accept().await.unwrap();
    relay.cut();
    let mut bytes = [0; 1];
    assert!(matches!(client.read(&mut bytes).await, Ok(0) | Err(_)));
    assert!(matches!(server.read(&mut bytes).await, Ok(0) | Err(_)));
    let mut refused = TcpStream::connect(relay.address()).await.unwrap();
    assert!(matches!(refused.read(&mut bytes).await, Ok(0) | Err(_)));
}
