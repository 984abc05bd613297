//! A background response is created by one call and polled by others, through any
//! proxy: its counts are booked once.

use modash_proto::v1::{
    Operation, RecentRequestsRequest, UsageEvent, UsageSource, UsageSummaryRequest,
    UsageSummaryResponse,
};
use modash_test_support::{TestDatabase, another, event};

use crate::harness::{TestAnalytics, TestProxy};

/// A call that shows the counts of a background response.
fn showing(response: &str) -> UsageEvent {
    UsageEvent {
        response_id: Some(response.to_owned()),
        book_once: true,
        operation: Operation::Retrieval.into(),
        method: "GET".into(),
        path: format!("/v1/responses/{response}"),
        ..event()
    }
}

async fn summary(analytics: &TestAnalytics) -> UsageSummaryResponse {
    let request = UsageSummaryRequest::default();
    analytics.client().await.usage_summary(request).await.unwrap().into_inner()
}

async fn rows(analytics: &TestAnalytics) -> Vec<UsageEvent> {
    let request = RecentRequestsRequest { page: 1, page_size: 100, ..Default::default() };
    analytics.client().await.recent_requests(request).await.unwrap().into_inner().rows
}

/// How many of the rows have the counts, and what the sums say.
async fn booked(analytics: &TestAnalytics) -> (usize, u64) {
    let rows = rows(analytics).await;
    for row in &rows {
        if row.prompt_tokens.is_none() {
            assert_eq!(row.usage_source(), UsageSource::NotDue, "{row:?}");
            assert_eq!((row.completion_tokens, row.total_tokens), (None, None));
        }
    }
    let with = rows.iter().filter(|row| row.prompt_tokens == Some(100)).count();
    (with, summary(analytics).await.total_tokens)
}

#[tokio::test]
async fn polls_of_one_response_are_rows_and_its_counts_are_booked_once() {
    let analytics = TestAnalytics::start().await;
    let create = UsageEvent { operation: Operation::Chat.into(), ..showing("r") };
    analytics.store(vec![create.clone()]).await;
    // Two in one batch, one in another, and the first again as after a lost answer.
    analytics.store(vec![showing("r"), showing("r")]).await;
    analytics.store(vec![showing("r"), create]).await;
    assert_eq!(analytics.stored().await, 4);
    assert_eq!(booked(&analytics).await, (1, 150));
    let summary = summary(&analytics).await;
    assert_eq!((summary.requests, summary.requests_without_usage), (4, 0));
    let other_upstream = UsageEvent { upstream: "other".into(), ..showing("r") };
    analytics.store(vec![showing("s"), other_upstream]).await;
    assert_eq!(booked(&analytics).await, (3, 450));
}

#[tokio::test]
async fn a_poll_that_is_the_first_to_show_counts_books_them() {
    let analytics = TestAnalytics::start().await;
    let queued = UsageEvent {
        prompt_tokens: None,
        cached_prompt_tokens: None,
        completion_tokens: None,
        total_tokens: None,
        book_once: false,
        usage_source: UsageSource::NotDue.into(),
        ..showing("r")
    };
    analytics.store(vec![queued.clone(), another(queued)]).await;
    analytics.store(vec![showing("r")]).await;
    analytics.store(vec![showing("r")]).await;
    assert_eq!(booked(&analytics).await, (1, 150));
}

#[tokio::test]
async fn two_replicas_that_see_polls_at_the_same_time_book_each_response_once() {
    let one = TestAnalytics::start().await;
    let other =
        TestAnalytics::start_on(TestDatabase::create().await, &one.database.url(), |_| {}).await;
    other.ready().await;
    let send = async |analytics: &TestAnalytics, name: &str, backwards: bool| {
        let mut proxy = TestProxy::connect(analytics, name).await;
        let mut last = 0;
        for _ in 0..10 {
            let mut polls: Vec<_> = (0..50).map(|number| showing(&format!("r{number}"))).collect();
            if backwards {
                polls.reverse();
            }
            last = proxy.send(polls).await;
        }
        assert_eq!(proxy.acknowledged(last).await, []);
    };
    tokio::join!(send(&one, "a", false), send(&other, "b", true));
    assert_eq!(one.stored().await, 1_000);
    assert_eq!(summary(&one).await.total_tokens, 50 * 150);
}

#[tokio::test]
async fn bookings_outlive_a_restart_and_end_with_the_requests() {
    let analytics = TestAnalytics::start().await;
    analytics.store(vec![showing("r")]).await;
    let mut connection = analytics.connection().await;
    let again =
        TestAnalytics::start_on(TestDatabase::create().await, &analytics.database.url(), |_| {})
            .await;
    again.ready().await;
    again.store(vec![showing("r")]).await;
    assert_eq!(booked(&again).await, (1, 150));
    let left = async |connection: &mut sqlx::PgConnection| -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM booked_responses");
        count.fetch_one(connection).await.unwrap()
    };
    let mut forget = async |before: chrono::DateTime<chrono::Utc>| {
        sqlx::query(include_str!("../../src/store/queries/forget_booked_responses.sql"))
            .bind(before)
            .execute(&mut connection)
            .await
            .unwrap();
        left(&mut connection).await
    };
    let now = chrono::Utc::now();
    assert_eq!(forget(now - chrono::TimeDelta::hours(1)).await, 1);
    assert_eq!(forget(now + chrono::TimeDelta::hours(1)).await, 0);
}
