//! What callers of gRPC rely on beside the answers: health, reflection, compression,
//! reasons of errors, and that one caller leaves room for others.

use std::time::Duration;

use modash_proto::v1::{
    Filter, UsageSummaryRequest, analytics_service_client::AnalyticsServiceClient,
};
use modash_test_support::{event, eventually};
use sqlx::Connection as _;
use tonic::{Code, Request, codec::CompressionEncoding::Gzip, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1alpha::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt as _;

use crate::harness::{PATIENCE, TestAnalytics};

/// Values of `grpc.health.v1.HealthCheckResponse.ServingStatus`.
const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

const SERVICES: [&str; 3] = ["", "modash.v1.AnalyticsService", "modash.v1.IngestService"];

async fn channel(analytics: &TestAnalytics) -> Channel {
    let address = format!("http://{}", analytics.address);
    Channel::from_shared(address).unwrap().connect().await.unwrap()
}

/// Waits until all services are in this state.
async fn are(analytics: &TestAnalytics, expected: i32) {
    let client = HealthClient::new(channel(analytics).await);
    for service in SERVICES {
        eventually(PATIENCE, || async {
            let request = HealthCheckRequest { service: service.into() };
            let found = client.clone().check(request).await.unwrap().into_inner().status;
            if found == expected { Ok(()) } else { Err(format!("{service}: {found}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn health_of_each_service_follows_readiness_and_holds_up_no_stop() {
    let analytics = TestAnalytics::start().await;
    are(&analytics, SERVING).await;
    let request = HealthCheckRequest { service: SERVICES[1].into() };
    let mut client = HealthClient::new(channel(&analytics).await);
    let mut watched = client.watch(request).await.unwrap().into_inner();
    let mut next = async || {
        let message = tokio::time::timeout(PATIENCE, watched.message()).await.unwrap();
        message.unwrap().map(|message| message.status)
    };
    assert_eq!(next().await, Some(SERVING));
    let hold = analytics.context.readiness.hold("something");
    assert_eq!(next().await, Some(NOT_SERVING));
    are(&analytics, NOT_SERVING).await;
    drop(hold);
    assert_eq!(next().await, Some(SERVING));
    are(&analytics, SERVING).await;
    analytics.stop().await;
    assert_eq!(next().await, Some(NOT_SERVING), "those that watch learn of the stop");
    assert_eq!(next().await, None, "they are let go before the connection is cut");
}

#[tokio::test]
async fn the_older_reflection_describes_the_services_too() {
    let analytics = TestAnalytics::start().await;
    let mut client = ServerReflectionClient::new(channel(&analytics).await);
    let symbol = MessageRequest::FileContainingSymbol("modash.v1.AnalyticsService".into());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(symbol) };
    let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::FileDescriptorResponse(files)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let name = b"analytics_service.proto";
    let files = files.file_descriptor_proto;
    assert!(files.iter().any(|file| file.windows(name.len()).any(|part| part == name)));
}

#[tokio::test]
async fn gzip_is_taken_and_sent_and_a_bomb_is_refused() {
    let analytics = TestAnalytics::start().await;
    analytics.store(vec![event()]).await;
    let mut client = AnalyticsServiceClient::new(channel(&analytics).await)
        .send_compressed(Gzip)
        .accept_compressed(Gzip);
    let answer = client.usage_summary(UsageSummaryRequest::default()).await.unwrap();
    assert_eq!(answer.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(answer.into_inner().requests, 1);
    let filter = Filter { models: vec!["a".repeat(64 << 20)], ..Filter::default() };
    let request = UsageSummaryRequest { filter: Some(filter), ..Default::default() };
    let status = client.usage_summary(request).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    // Without it nothing is packed.
    let answer = analytics.client().await.usage_summary(UsageSummaryRequest::default()).await;
    assert!(answer.unwrap().metadata().get("grpc-encoding").is_none());
}

#[tokio::test]
async fn a_wrong_argument_has_its_fields_and_its_reason() {
    let analytics = TestAnalytics::start().await;
    let request = UsageSummaryRequest { time_zone: "Nowhere".into(), ..Default::default() };
    let status = analytics.client().await.usage_summary(request).await.unwrap_err();
    assert_eq!(crate::harness::violated(&status), ["time_zone"]);
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("ARGUMENT_INVALID", "modash"));
}

#[tokio::test]
async fn further_queries_of_a_caller_wait_for_their_turn_without_a_connection() {
    let analytics = TestAnalytics::start_with(|config| {
        config.query_timeout = 10 * PATIENCE;
        config.queries_per_caller = Some(1);
    })
    .await;
    let mut lock = analytics.connection().await;
    let statement = "BEGIN; LOCK TABLE series IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(statement).execute(&mut lock).await.unwrap();
    let client = analytics.client().await;
    let first = tokio::spawn({
        let mut client = client.clone();
        async move { client.usage_summary(UsageSummaryRequest::default()).await }
    });
    analytics.blocked_by_a_lock().await;
    let mut request = Request::new(UsageSummaryRequest::default());
    request.set_timeout(Duration::from_millis(300));
    let status = analytics.client_without_timers().usage_summary(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "ANSWER_TOO_SLOW");
    let busy: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state \
         <> 'idle' AND application_name = 'modash-analytics queries'",
    )
    .fetch_one(&mut analytics.connection().await)
    .await
    .unwrap();
    assert_eq!(busy, 1, "only the first one is in the database");
    lock.close().await.unwrap();
    first.await.unwrap().unwrap();
    client.clone().usage_summary(UsageSummaryRequest::default()).await.unwrap();
}
