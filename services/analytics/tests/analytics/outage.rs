//! A database that is not there yet, goes away, or falls silent.

use futures_util::FutureExt as _;
use modash_analytics::Error;
use modash_proto::v1::UsageSummaryRequest;
use modash_test_support::{TestDatabase, event, eventually};
use tonic::Code;

use crate::harness::{PATIENCE, TestAnalytics, TestProxy};

async fn requests(analytics: &TestAnalytics) -> Result<u64, tonic::Status> {
    let answer = analytics.client().await.usage_summary(UsageSummaryRequest::default()).await?;
    Ok(answer.into_inner().requests)
}

#[tokio::test]
async fn a_database_that_comes_late_is_waited_for() {
    let database = TestDatabase::create().await;
    let relay = modash_test_support::Relay::start(database.socket()).await;
    relay.cut();
    let url = database.url_through(relay.address());
    let analytics = TestAnalytics::start_on(database, &url, |_| {}).await;
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    let last = proxy.send(vec![event()]).await;
    let status = requests(&analytics).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(analytics.context.readiness.waiting_for(), ["database"]);
    relay.restore();
    assert_eq!(proxy.acknowledged(last).await, []);
    analytics.ready().await;
    assert_eq!(requests(&analytics).await.unwrap(), 1);
}

#[tokio::test]
async fn a_database_that_never_comes_ends_the_process_with_its_address_and_no_password() {
    let database = TestDatabase::create().await;
    let url = "postgresql://modash:secret@127.0.0.1:1/modash";
    let analytics = TestAnalytics::start_on(database, url, |config| {
        config.database_wait = std::time::Duration::from_millis(300);
    });
    let error = analytics.await.task.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::NotReady { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:1/modash") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn while_the_database_is_away_queries_say_so_and_events_wait() {
    let (analytics, relay) = TestAnalytics::start_behind_relay().await;
    analytics.ready().await;
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    let last = proxy.send(vec![event()]).await;
    proxy.acknowledged(last).await;

    relay.cut();
    let last = proxy.send(vec![event(), event()]).await;
    let status = requests(&analytics).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(status.message(), "the database is not reachable; try again");
    eventually(PATIENCE, || async {
        analytics.metric("modash_analytics_ingest_commit_retries_total") >= 1.0
    })
    .await;
    assert!(proxy.down.message().now_or_never().is_none(), "acknowledged without a commit");

    relay.restore();
    assert_eq!(proxy.acknowledged(last).await, []);
    let found = eventually(PATIENCE, || requests(&analytics)).await;
    assert_eq!(found, 3);
}

#[tokio::test]
async fn while_the_database_is_silent_a_caller_is_answered_within_its_deadline() {
    let (analytics, relay) = TestAnalytics::start_behind_relay().await;
    analytics.ready().await;
    requests(&analytics).await.unwrap();
    relay.stall();
    let mut request = tonic::Request::new(UsageSummaryRequest::default());
    request.metadata_mut().insert("grpc-timeout", "200m".parse().unwrap());
    let status = analytics.client_without_timers().usage_summary(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    relay.restore();
    eventually(PATIENCE, || requests(&analytics)).await;
}

#[tokio::test]
async fn a_full_queue_stops_the_stream_and_loses_nothing() {
    let (analytics, relay) = TestAnalytics::start_behind_relay().await;
    analytics.ready().await;
    relay.cut();
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    let up = proxy.up.clone();
    // The queue holds 50,000; the rest waits in the stream and then here.
    let sending = async {
        for _ in 0..200 {
            let events = (0..1000).map(|_| event()).collect();
            proxy.send(events).await;
        }
    };
    let full = eventually(PATIENCE, || async {
        analytics.metric("modash_analytics_ingest_received_events_total") >= 50_000.0
            && up.capacity() == 0
    });
    tokio::select! {
        () = sending => panic!("everything was taken in"),
        () = full => {}
    }
    let taken = analytics.metric("modash_analytics_ingest_received_events_total");
    assert!(taken <= 51_000.0, "{taken}");
    relay.restore();
    assert_eq!(proxy.acknowledged(50_000).await, []);
}
