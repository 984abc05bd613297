//! Sums that a process remembers are those of the database, whoever writes to it.

use std::pin::pin;

use futures_util::future::{Either, select};
use modash_analytics::rebuild_rollups;
use modash_proto::{
    micros_from_timestamp,
    v1::{
        BreakdownOrder, BreakdownRequest, Dimension, Filter, GroupBy, ThroughputTimeseriesRequest,
        TimeRange, UsageEvent, UsageSummaryRequest, UsageTimeseriesRequest,
        analytics_service_client::AnalyticsServiceClient, group_by::By,
    },
};
use modash_test_support::TestDatabase;
use tonic::transport::Channel;

use crate::{
    harness::{TestAnalytics, at, config, event_at, range},
    random::Random,
};

type Client = AnalyticsServiceClient<Channel>;

async fn execute(analytics: &TestAnalytics, statement: &'static str) {
    sqlx::query(statement).execute(&mut analytics.connection().await).await.unwrap();
}

/// Analytics with requests that can be remembered: a later one is the last write.
async fn with_requests(moments: &[&str]) -> TestAnalytics {
    let analytics = TestAnalytics::start().await;
    analytics.store(moments.iter().map(|moment| event_at(moment)).collect()).await;
    analytics.folded().await;
    analytics.store(vec![event_at("2025-10-30T10:00:30Z")]).await;
    analytics.folded().await;
    analytics
}

/// Requests of ten days at the end of October.
async fn requests(client: &mut Client, until: &str) -> u64 {
    let range = range("2025-10-20T00:00:00Z", until);
    let request = UsageSummaryRequest { range, ..UsageSummaryRequest::default() };
    client.usage_summary(request).await.unwrap().into_inner().requests
}

#[tokio::test]
async fn what_was_read_is_not_read_again_until_it_is_written_to() {
    let days = ["2025-10-21T10:00:30Z", "2025-10-23T11:00:30Z", "2025-10-28T12:00:30Z"];
    let analytics = with_requests(&days).await;
    let client = &mut analytics.client().await;
    assert_eq!(requests(client, "2025-10-29T00:00:00Z").await, 3);
    execute(&analytics, "DELETE FROM rollups WHERE level <> 60").await;
    assert_eq!(requests(client, "2025-10-29T00:00:00Z").await, 3);
    assert_eq!(requests(client, "2025-10-29T00:00:17Z").await, 3, "of another end");

    analytics.store(vec![event_at("2025-10-29T15:00:30Z")]).await;
    analytics.folded().await;
    assert_eq!(requests(client, "2025-10-29T00:00:00Z").await, 3, "it is later");
    analytics.store(vec![event_at("2025-10-23T15:00:30Z")]).await;
    analytics.folded().await;
    // The days are read again, and there is only what came last.
    assert_eq!(requests(client, "2025-10-29T00:00:00Z").await, 1);
}

#[tokio::test]
async fn a_rebuild_makes_forget_what_was_read_before_it() {
    let analytics = with_requests(&["2025-10-21T10:00:30Z", "2025-10-28T12:00:30Z"]).await;
    let client = &mut analytics.client().await;
    assert_eq!(requests(client, "2025-10-29T00:00:00Z").await, 2);
    // As if rows had been lost, which only a rebuild tells.
    execute(&analytics, "DELETE FROM requests WHERE started_at < '2025-10-22'").await;
    assert_eq!(requests(client, "2025-10-29T00:00:00Z").await, 2);
    let (from, to) = (at("2025-10-20T00:00:00Z"), at("2025-10-31T00:00:00Z"));
    rebuild_rollups(config(&analytics.database.url()), from, to, |_| {}).await.unwrap();
    assert_eq!(requests(client, "2025-10-29T00:00:00Z").await, 1);
}

/// Analytics that remembers the one request of a day.
async fn remembering() -> (TestAnalytics, Client) {
    let analytics = with_requests(&["2025-10-21T10:00:30Z"]).await;
    let mut client = analytics.client().await;
    assert_eq!(requests(&mut client, "2025-10-29T00:00:00Z").await, 1);
    execute(&analytics, "DELETE FROM rollups WHERE level <> 60").await;
    assert_eq!(requests(&mut client, "2025-10-29T00:00:00Z").await, 1, "it is remembered");
    (analytics, client)
}

#[tokio::test]
async fn what_was_read_of_tables_that_a_backup_replaced_is_forgotten() {
    let (analytics, mut client) = remembering().await;
    // As a restore does: the same rows in tables that were made anew.
    execute(&analytics, "CREATE TABLE restored AS SELECT * FROM rollup_writes").await;
    execute(&analytics, "TRUNCATE rollup_writes").await;
    execute(&analytics, "INSERT INTO rollup_writes SELECT * FROM restored").await;
    assert_eq!(requests(&mut client, "2025-10-29T00:00:00Z").await, 0);
}

#[tokio::test]
async fn a_rebuild_whose_lock_is_lost_keeps_its_mark_until_its_parts_have_ended() {
    let (analytics, mut client) = remembering().await;
    let mut connection = analytics.connection().await;
    // It waits for this table, after it has taken its lock.
    let mut blocker = analytics.connection().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE series IN ACCESS EXCLUSIVE MODE")
        .execute(&mut blocker)
        .await
        .unwrap();
    let (from, to) = (at("2025-10-20T00:00:00Z"), at("2025-10-24T00:00:00Z"));
    let url = analytics.database.url();
    let rebuilding = tokio::spawn(rebuild_rollups(config(&url), from, to, |_| {}));
    analytics.blocked_by_a_lock().await;
    let lost = "SELECT count(pg_terminate_backend(l.pid))
                FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted";
    let ended: i64 = sqlx::query_scalar(lost).fetch_one(&mut connection).await.unwrap();
    assert_eq!(ended, 1, "who holds the lock");
    // Somebody else has the lock now, and ends what had begun: once the part has ended.
    let note =
        "SET lock_timeout = '1s'; DELETE FROM rollup_writes WHERE number = 9223372036854775807";
    let refused = sqlx::raw_sql(note).execute(&mut connection).await.unwrap_err().to_string();
    assert!(refused.contains("lock timeout"), "{refused}");
    sqlx::raw_sql("ROLLBACK").execute(&mut blocker).await.unwrap();
    assert!(rebuilding.await.unwrap().is_err(), "its lock is lost");
    // The mark is there still, so nothing that was read before is taken for what it was.
    let found = requests(&mut client, "2025-10-29T00:00:00Z").await;
    assert_eq!(found, 1, "the part was rebuilt");
}

#[tokio::test]
async fn while_a_rebuild_runs_every_answer_is_right() {
    let analytics = TestAnalytics::start().await;
    let client = &mut analytics.client().await;
    let mut random = Random::new(31);
    let mut events: Vec<UsageEvent> = (0..300).map(|_| random.event()).collect();
    analytics.store(events.clone()).await;
    analytics.folded().await;
    analytics.store(vec![event_at("2025-11-20T10:00:30Z")]).await;
    analytics.folded().await;
    let end = at("2025-11-04T00:00:00Z").timestamp_micros();
    events.retain(|event| event.started_at.as_ref().and_then(micros_from_timestamp) < Some(end));
    let expected = events.len() as u64;
    let (from, to) = (at("2025-10-19T00:00:00Z"), at("2025-11-21T00:00:00Z"));
    let mut rebuilding = pin!(rebuild_rollups(config(&analytics.database.url()), from, to, |_| {}));
    let mut asked = 0;
    loop {
        let asking = pin!(requests(client, "2025-11-04T00:00:00Z"));
        match select(&mut rebuilding, asking).await {
            Either::Left((rebuilt, _)) => break rebuilt.unwrap(),
            Either::Right((found, _)) => assert_eq!(found, expected, "after {asked}"),
        }
        asked += 1;
    }
    assert!(asked > 3, "{asked}");
    assert_eq!(requests(client, "2025-11-04T00:00:00Z").await, expected);
}

/// Answers to one question of each kind.
async fn answers(
    client: &mut Client,
    range: TimeRange,
    filter: Option<Filter>,
    group_by: Option<GroupBy>,
) -> Vec<String> {
    let range = Some(range);
    let time_zone = String::from("Europe/Berlin");
    let summary = UsageSummaryRequest {
        range,
        filter: filter.clone(),
        time_zone: time_zone.clone(),
        compare_previous: true,
    };
    let usage = UsageTimeseriesRequest {
        range,
        filter: filter.clone(),
        time_zone: time_zone.clone(),
        group_by: group_by.clone(),
        ..UsageTimeseriesRequest::default()
    };
    let throughput = ThroughputTimeseriesRequest {
        range,
        filter: filter.clone(),
        time_zone: time_zone.clone(),
        ..ThroughputTimeseriesRequest::default()
    };
    let by_model = GroupBy { by: Some(By::Dimension(Dimension::Model.into())) };
    let breakdown = BreakdownRequest {
        range,
        filter,
        time_zone,
        group_by: Some(group_by.unwrap_or(by_model)),
        order: BreakdownOrder::Cost.into(),
        page_size: 2,
        ..BreakdownRequest::default()
    };
    vec![
        text(client.usage_summary(summary).await.unwrap().into_inner()),
        text(client.usage_timeseries(usage).await.unwrap().into_inner()),
        text(client.throughput_timeseries(throughput).await.unwrap().into_inner()),
        text(client.breakdown(breakdown).await.unwrap().into_inner()),
    ]
}

/// The text of an answer; sums of fractions depend on their order, so those are rounded.
fn text(answer: impl std::fmt::Debug) -> String {
    let text = format!("{answer:?}");
    let words = text.split_inclusive([' ', ',', ')', ']']).map(|word| {
        let number = word.trim_end_matches([' ', ',', ')', ']']);
        match number.parse::<f64>().ok().filter(|_| number.contains('.')) {
            Some(value) => format!("{value:.4e}{}", &word[number.len()..]),
            None => word.to_owned(),
        }
    });
    words.collect()
}

/// Where two texts differ, with what stands around it.
fn difference(one: &str, other: &str) -> String {
    let at = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    let around = |text: &str| text[at.saturating_sub(200)..text.len().min(at + 50)].to_owned();
    format!("{}\n{}", around(one), around(other))
}

#[tokio::test]
async fn answers_of_a_process_that_remembers_are_those_of_one_that_does_not() {
    let analytics = TestAnalytics::start().await;
    let url = analytics.database.url();
    let client = &mut analytics.client().await;
    let mut random = Random::new(32);
    let questions: Vec<_> =
        (0..12).map(|_| (random.range(), random.filter(), random.group_by())).collect();
    for round in 0..8 {
        let events = (0..[300, 1, 40][round % 3]).map(|_| random.event());
        analytics.store(events.collect()).await;
        if round % 2 == 0 {
            analytics.folded().await;
        }
        if round == 5 {
            let (from, to) = (at("2025-10-25T00:00:00Z"), at("2025-11-02T00:00:00Z"));
            rebuild_rollups(config(&url), from, to, |_| {}).await.unwrap();
        }
        let fresh = TestAnalytics::start_on(TestDatabase::create().await, &url, |_| {}).await;
        fresh.ready().await;
        let of_fresh = &mut fresh.client().await;
        for (range, filter, group_by) in &questions {
            println!("{round}: {range:?} {filter:?} {group_by:?}");
            let remembered = answers(client, *range, filter.clone(), group_by.clone()).await;
            let read = answers(of_fresh, *range, filter.clone(), group_by.clone()).await;
            for (remembered, read) in remembered.iter().zip(&read) {
                assert!(remembered == read, "{}", difference(remembered, read));
            }
        }
        fresh.stop().await;
    }
}
