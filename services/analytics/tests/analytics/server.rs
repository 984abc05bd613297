//! What surrounds the services: health, reflection, grpc-web, the admin port,
//! and the stop.

use modash_analytics::check_health;
use modash_proto::v1::{
    SubscribeRequest, UsageSummaryRequest, analytics_service_client::AnalyticsServiceClient,
};
use modash_test_support::{Relay, event, eventually};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::harness::{PATIENCE, TestAnalytics};

async fn channel(analytics: &TestAnalytics) -> Channel {
    let address = format!("http://{}", analytics.address);
    Channel::from_shared(address).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn health_knows_both_services() {
    let analytics = TestAnalytics::start().await;
    for service in ["", "modash.v1.AnalyticsService", "modash.v1.IngestService"] {
        let request = HealthCheckRequest { service: service.into() };
        let answer = HealthClient::new(channel(&analytics).await).check(request).await.unwrap();
        assert_eq!(answer.into_inner().status, 1, "{service}");
    }
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let analytics = TestAnalytics::start().await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel(&analytics).await);
    let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["modash.v1.AnalyticsService", "modash.v1.IngestService"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
}

#[tokio::test]
async fn grpc_web_over_http_1_is_answered() {
    let analytics = TestAnalytics::start().await;
    analytics.store(vec![event()]).await;
    let message = UsageSummaryRequest::default().encode_to_vec();
    let mut body = vec![0];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend_from_slice(&message);
    let head = format!(
        "POST /modash.v1.AnalyticsService/UsageSummary HTTP/1.1\r\n\
         Host: localhost\r\nContent-Type: application/grpc-web+proto\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(analytics.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(
        text.contains("application/grpc-web+proto") && text.contains("grpc-status:0"),
        "{text}"
    );
    // Field 1, the number of requests, is 1: the beginning of the message.
    let frame = answer.windows(7).find(|bytes| bytes[..3] == [0; 3] && bytes[5..] == [8, 1]);
    assert!(frame.is_some(), "{text}");
}

#[tokio::test]
async fn the_health_check_of_an_image_follows_readiness() {
    let analytics = TestAnalytics::start().await;
    let admin = analytics.admin_address;
    let check = move || tokio::task::spawn_blocking(move || check_health(admin));
    assert_eq!(check().await.unwrap(), Ok(()));
    let hold = analytics.context.readiness.hold("something");
    let waits = check().await.unwrap().unwrap_err();
    assert_eq!(waits.lines().next(), Some("waiting for something"), "{waits}");
    drop(hold);
    analytics.stop().await;
    assert!(check().await.unwrap().is_err());
}

#[tokio::test]
async fn a_stop_ends_open_subscriptions_and_the_process() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    let mut stream = client.subscribe(SubscribeRequest::default()).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    analytics.stop().await;
    assert_eq!(stream.message().await.unwrap_err().code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn a_client_that_vanished_is_noticed_and_one_that_is_there_stays() {
    use std::time::Duration;
    let analytics = TestAnalytics::start_with(|config| {
        config.limits.http2_ping = (Duration::from_millis(100), Duration::from_millis(300));
    })
    .await;
    let relay = Relay::start(analytics.address).await;
    let channel = Channel::from_shared(format!("http://{}", relay.address())).unwrap();
    let mut client = AnalyticsServiceClient::new(channel.connect().await.unwrap());
    let mut messages = client.subscribe(SubscribeRequest::default()).await.unwrap().into_inner();
    let open = |count: u32| {
        analytics
            .context
            .metrics
            .text()
            .contains(&format!("modash_analytics_subscribers {count}\n"))
    };
    let ends = async { while let Ok(Some(_)) = messages.message().await {} };
    let ended = tokio::time::timeout(Duration::from_secs(1), ends).await;
    assert!(ended.is_err() && open(1), "it was asked and answered");
    // No FIN, no RST: nothing comes any more.
    relay.stall();
    eventually(PATIENCE, || async { open(0) }).await;
}
