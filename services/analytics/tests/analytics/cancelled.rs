//! Callers that leave before their answer: nothing of theirs stays behind.

use std::time::Duration;

use modash_proto::v1::{
    CompletenessRequest, UsageSummaryRequest, UsageSummaryResponse,
    analytics_service_client::AnalyticsServiceClient,
};
use modash_test_support::{Relay, TestDatabase, event, eventually};
use sqlx::{Connection as _, PgConnection};
use tonic::{Code, Request, Status};

use crate::harness::{PATIENCE, TestAnalytics, TestProxy};

/// Analytics that answers one question at a time, and would let it run for long.
async fn start() -> TestAnalytics {
    TestAnalytics::start_with(|config| {
        config.query_timeout = 10 * PATIENCE;
        config.query_connections = 1;
    })
    .await
}

/// Lets no other connection use a table until it is closed.
async fn lock(analytics: &TestAnalytics, statement: &'static str) -> PgConnection {
    let mut connection = analytics.connection().await;
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    connection
}

/// Waits until the connections of an application run nothing and have no
/// transaction open.
async fn idle(analytics: &TestAnalytics, application: &'static str) {
    eventually(PATIENCE, || async {
        let busy: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = $1 AND state <> 'idle'",
        )
        .bind(application)
        .fetch_one(&mut analytics.connection().await)
        .await
        .unwrap();
        busy == 0
    })
    .await;
}

async fn summary(analytics: &TestAnalytics) -> Result<UsageSummaryResponse, Status> {
    let answer = analytics.client().await.usage_summary(UsageSummaryRequest::default()).await;
    answer.map(tonic::Response::into_inner)
}

/// Once a caller left: its statement ended, and further answers are as new as what
/// was acknowledged.
async fn assert_recovered(analytics: &TestAnalytics, lock: PgConnection) {
    idle(analytics, "modash-analytics queries").await;
    lock.close().await.unwrap();
    for _ in 0..3 {
        let before = summary(analytics).await.unwrap().requests;
        analytics.client().await.completeness(CompletenessRequest {}).await.unwrap();
        analytics.store(vec![event()]).await;
        assert_eq!(summary(analytics).await.unwrap().requests, before + 1);
    }
}

#[tokio::test]
async fn a_connection_is_used_for_one_question_after_the_other() {
    let analytics = start().await;
    let mut processes = Vec::new();
    for _ in 0..3 {
        summary(&analytics).await.unwrap();
        idle(&analytics, "modash-analytics queries").await;
        let process: Vec<i32> = sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
             AND application_name = 'modash-analytics queries'",
        )
        .fetch_all(&mut analytics.connection().await)
        .await
        .unwrap();
        processes.push(process);
    }
    assert_eq!(processes[0].len(), 1, "{processes:?}");
    assert!(processes.iter().all(|these| *these == processes[0]), "{processes:?}");
}

const LOCK_SERIES: &str = "BEGIN; LOCK TABLE series IN ACCESS EXCLUSIVE MODE";

#[tokio::test]
async fn the_statement_of_a_caller_that_cancels_ends() {
    let analytics = start().await;
    let lock = lock(&analytics, LOCK_SERIES).await;
    tokio::select! {
        answer = summary(&analytics) => panic!("answered: {answer:?}"),
        () = analytics.blocked_by_a_lock() => {}
    }
    assert_recovered(&analytics, lock).await;
}

#[tokio::test]
async fn the_statement_of_a_caller_whose_connection_is_cut_ends() {
    let analytics = start().await;
    let lock = lock(&analytics, LOCK_SERIES).await;
    let relay = Relay::start(analytics.address).await;
    let url = format!("http://{}", relay.address());
    let mut client = AnalyticsServiceClient::connect(url).await.unwrap();
    let asking = tokio::spawn(async move {
        let answer = client.usage_summary(UsageSummaryRequest::default()).await;
        answer.map(|_| ())
    });
    analytics.blocked_by_a_lock().await;
    relay.cut();
    assert!(asking.await.unwrap().is_err());
    assert_recovered(&analytics, lock).await;
}

#[tokio::test]
async fn a_statement_ends_at_the_deadline_of_its_caller() {
    let analytics = start().await;
    let lock = lock(&analytics, LOCK_SERIES).await;
    let mut request = Request::new(UsageSummaryRequest::default());
    request.set_timeout(Duration::from_millis(300));
    let status = analytics.client_without_timers().usage_summary(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert_recovered(&analytics, lock).await;
}

#[tokio::test]
async fn a_caller_that_leaves_while_its_transaction_begins_leaves_none_open() {
    let database = TestDatabase::create().await;
    let relay = Relay::start(database.socket()).await;
    let url = database.url_through(relay.address());
    let analytics = TestAnalytics::start_on(database, &url, |config| {
        config.query_timeout = 10 * PATIENCE;
        config.query_connections = 1;
    })
    .await;
    analytics.ready().await;
    summary(&analytics).await.unwrap();
    for _ in 0..3 {
        relay.stall_behind(b"BEGIN ISOLATION LEVEL REPEATABLE READ");
        tokio::select! {
            answer = summary(&analytics) => panic!("answered: {answer:?}"),
            () = relay.stalled() => {}
        }
        // Meanwhile the server sees that the caller left; it has no other sign of it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        relay.restore();
        // A statement on its own fixes the snapshot of a transaction left open.
        let mut client = analytics.client().await;
        eventually(PATIENCE, async || client.clone().completeness(CompletenessRequest {}).await)
            .await;
        client.completeness(CompletenessRequest {}).await.unwrap();
        let mut proxy = TestProxy::connect(&analytics, "test").await;
        let before: i64 = analytics.stored().await;
        let last = proxy.send(vec![event()]).await;
        assert_eq!(proxy.acknowledged(last).await, []);
        let requests = summary(&analytics).await.unwrap().requests;
        assert_eq!(requests.cast_signed(), before + 1, "the answer is older than a commit");
    }
    idle(&analytics, "modash-analytics queries").await;
}

#[tokio::test]
async fn statements_that_write_end_with_what_began_them() {
    let analytics = start().await;
    let lock = lock(&analytics, "BEGIN; LOCK TABLE requests IN ACCESS EXCLUSIVE MODE").await;
    let mut proxy = TestProxy::connect(&analytics, "test").await;
    proxy.send(vec![event()]).await;
    analytics.blocked_by_a_lock().await;
    analytics.task.abort();
    idle(&analytics, "modash-analytics ingest").await;
    lock.close().await.unwrap();
}
