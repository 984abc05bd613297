//! Two replicas of analytics on one database: a reader of one sees what the
//! other one's proxies do.

use modash_proto::v1::{
    LiveRequest, Outcome, RequestPhase, SubscribeRequest, UsageEvent, subscribe_response::Message,
};
use modash_test_support::{TestDatabase, event, eventually};

use crate::{
    harness::{PATIENCE, TestAnalytics, TestProxy},
    subscribe::{Reader, in_flight, proxy_with, running},
};

/// A second replica on the database of the first; both know of each other.
async fn second(first: &TestAnalytics) -> TestAnalytics {
    let unused = TestDatabase::create().await;
    let second = TestAnalytics::start_on(unused, &first.database.url(), |_| {}).await;
    second.ready().await;
    eventually(PATIENCE, || async {
        let replicas: i64 = sqlx::query_scalar("SELECT count(*) FROM live_replicas")
            .fetch_one(&mut first.connection().await)
            .await
            .unwrap();
        replicas == 2
    })
    .await;
    second
}

#[tokio::test]
async fn a_reader_of_one_replica_sees_what_happens_at_the_other() {
    let first = TestAnalytics::start().await;
    let mut reader = Reader::open(&first, SubscribeRequest::default()).await;
    let second = second(&first).await;
    let request = running(RequestPhase::Waiting);
    let mut proxy = proxy_with(&second, &request).await;
    assert_eq!(reader.until(RequestPhase::Waiting).await, request);
    assert_eq!(in_flight(&first).await, 1);
    let finished = UsageEvent {
        event_id: request.event_id.clone(),
        started_at: request.started_at,
        outcome: Outcome::Truncated.into(),
        ..event()
    };
    let last = proxy.send(vec![finished]).await;
    proxy.acknowledged(last).await;
    let (mut outcome, mut committed) = (None, 0);
    while outcome.is_none() || committed == 0 {
        match reader.next().await {
            Message::RequestStateUpdated(update) => {
                outcome = outcome.or(update.requests.first().map(LiveRequest::outcome));
            }
            Message::UsageUpdated(update) => committed += update.requests,
            _ => {}
        }
    }
    assert_eq!((outcome, committed), (Some(Outcome::Truncated), 1));
    assert_eq!(in_flight(&first).await, 0);
}

#[tokio::test]
async fn a_replica_that_starts_later_learns_what_runs() {
    let first = TestAnalytics::start().await;
    let request = running(RequestPhase::Streaming);
    let _proxy = proxy_with(&first, &request).await;
    let second = second(&first).await;
    eventually(PATIENCE, || async { in_flight(&second).await == 1 }).await;
    let connected = Reader::open(&second, SubscribeRequest::default()).await.connected().await;
    assert_eq!(connected.requests, [request]);
}

#[tokio::test]
async fn requests_of_a_replica_that_died_end() {
    let first = TestAnalytics::start().await;
    let second = second(&first).await;
    let _proxy = proxy_with(&second, &running(RequestPhase::Streaming)).await;
    eventually(PATIENCE, || async { in_flight(&first).await == 1 }).await;
    second.task.abort();
    // Its lease would run out a little later.
    sqlx::query("UPDATE live_replicas SET lease_until = now() - interval '1 second'")
        .execute(&mut first.connection().await)
        .await
        .unwrap();
    eventually(PATIENCE, || async { in_flight(&first).await == 0 }).await;
}

#[tokio::test]
async fn a_proxy_that_changes_replicas_takes_its_requests_along() {
    let first = TestAnalytics::start().await;
    let second = second(&first).await;
    let request = running(RequestPhase::Waiting);
    let proxy = proxy_with(&first, &request).await;
    eventually(PATIENCE, || async { in_flight(&second).await == 1 }).await;
    let mut reader = Reader::open(&first, SubscribeRequest::default()).await;
    reader.connected().await;
    drop(proxy);
    let moved = LiveRequest { phase: RequestPhase::Streaming.into(), ..request };
    let proxy = TestProxy::connect(&second, "a").await;
    proxy.report(true, vec![moved.clone()]).await;
    assert_eq!(reader.until(RequestPhase::Streaming).await, moved);
    assert_eq!((in_flight(&first).await, in_flight(&second).await), (1, 1));
}
