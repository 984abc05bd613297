//! Rollups are the sums of the stored requests, whatever way these came.

use chrono::{DateTime, TimeDelta, Utc};
use modash_analytics::rebuild_rollups;
use modash_proto::{
    duration_from_micros,
    v1::{RecentRequestsRequest, UsageEvent, UsageSummaryRequest},
};
use modash_test_support::{TestDatabase, another, eventually};
use sqlx::{Connection as _, PgConnection};

use crate::{
    harness::{PATIENCE, TestAnalytics, TestProxy, at, config, event_at, migrated},
    random::Random,
    sums::{errors_of_requests, errors_of_rollups, of_requests, of_rollups},
};

const WEEK: i64 = 604_800;

/// Seconds of the buckets of each level.
const WIDTHS: [i64; 6] = [60, 900, 3_600, 21_600, 86_400, WEEK];

async fn changes(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM rollup_changes").fetch_one(connection).await.unwrap()
}

/// The rollups of every width, changes included, say what the rows say.
async fn assert_rolled_up(connection: &mut PgConnection) {
    let full: Vec<i64> = sqlx::query_scalar("SELECT series_id FROM series WHERE cube = 0")
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    // Weeks are those of narrow sets.
    let kept = |width: i64, series: &i64| width < WEEK || !full.contains(series);
    for width in WIDTHS {
        let (mut found, mut expected) =
            (of_rollups(connection, width).await, of_requests(connection, width).await);
        found.retain(|(series, ..), _| kept(width, series));
        expected.retain(|(series, ..), _| kept(width, series));
        // Busy time is that of the requests, whatever the width.
        let (busy, total): (i64, Vec<i64>) = sqlx::query_as(
            "SELECT (SELECT coalesce(sum(least(coalesce(duration_us, 0), 86400000000)), 0)::bigint FROM requests),
                    (SELECT array_agg(series_id) FROM series WHERE cube = 1)",
        )
        .fetch_one(&mut *connection)
        .await
        .unwrap();
        let of_total = found.iter().filter(|((series, ..), _)| total.contains(series));
        assert_eq!(of_total.map(|(_, line)| line[2]).sum::<i64>(), busy, "{width}");
        let mut without_busy = found;
        without_busy.retain(|_, line| line[0] > 0);
        without_busy.values_mut().for_each(|line| line[2] = 0);
        for (key, line) in &expected {
            assert_eq!(without_busy.get(key), Some(line), "{width} {key:?}");
        }
        assert_eq!(without_busy.len(), expected.len(), "{width}");
        if width >= 3_600 {
            let (mut found, mut expected) = (
                errors_of_rollups(connection, width).await,
                errors_of_requests(connection, width).await,
            );
            found.retain(|(series, ..), _| kept(width, series));
            expected.retain(|(series, ..), _| kept(width, series));
            for (key, line) in &expected {
                assert_eq!(found.get(key), Some(line), "{width} {key:?}");
            }
            assert_eq!(found.len(), expected.len(), "{width}");
        }
    }
}

fn events(seed: u64, count: usize) -> Vec<UsageEvent> {
    let mut random = Random::new(seed);
    (0..count).map(|_| random.event()).collect()
}

#[tokio::test]
async fn what_commits_noted_is_written_once_into_each_level() {
    let analytics = TestAnalytics::start().await;
    let mut connection = analytics.connection().await;
    for _ in 0..2 {
        analytics.store(vec![event_at("2026-01-01T00:00:30Z")]).await;
        analytics.folded().await;
    }
    // One full set in five levels and six narrow ones in six: first inserted, then updated.
    let rows = [41, 41];
    eventually(PATIENCE, || async {
        // Counted by the server, some time after the commit.
        let counts: Vec<i64> = sqlx::query_scalar(
            "SELECT unnest(ARRAY[sum(n_tup_ins), sum(n_tup_upd)]::bigint[])
             FROM pg_stat_user_tables WHERE relname LIKE '%rollups_%_20260101'",
        )
        .fetch_all(&mut analytics.connection().await)
        .await
        .unwrap();
        assert!(counts.iter().zip(rows).all(|(count, most)| *count <= most), "{counts:?}");
        if counts == rows { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
    assert_rolled_up(&mut connection).await;
}

#[tokio::test]
async fn rollups_are_the_sums_of_the_rows_after_repeats_late_events_and_any_order() {
    let analytics = TestAnalytics::start().await;
    let mut events = events(11, 300);
    analytics.store(events[..200].to_vec()).await;
    let mut connection = analytics.connection().await;
    assert!(changes(&mut connection).await > 0);
    assert_rolled_up(&mut connection).await;
    analytics.folded().await;
    assert_rolled_up(&mut connection).await;
    // The first ones again among new ones, backwards.
    events.reverse();
    analytics.store(events).await;
    assert_rolled_up(&mut connection).await;
    analytics.folded().await;
    assert_eq!(analytics.stored().await, 300);
    assert_rolled_up(&mut connection).await;
}

#[tokio::test]
async fn two_replicas_that_write_at_full_load_neither_deadlock_nor_lose_an_update() {
    let one = TestAnalytics::start().await;
    let other =
        TestAnalytics::start_on(TestDatabase::create().await, &one.database.url(), |_| {}).await;
    other.ready().await;
    let mut events = events(12, 2_000);
    // Long ones run in hundreds of minutes, each a row in six cubes.
    for event in &mut events {
        event.duration = event.duration.map(|_| duration_from_micros(90_000_000));
    }
    let send = async |analytics: &TestAnalytics, name: &str, backwards: bool| {
        let mut proxy = TestProxy::connect(analytics, name).await;
        let mut last = 0;
        let chunks = events.chunks(50);
        let chunks: Vec<_> = if backwards { chunks.rev().collect() } else { chunks.collect() };
        for chunk in chunks {
            last = proxy.send(chunk.to_vec()).await;
        }
        assert_eq!(proxy.acknowledged(last).await, []);
    };
    tokio::join!(
        send(&one, "a", false),
        send(&one, "b", true),
        send(&other, "c", false),
        send(&other, "d", true)
    );
    assert_eq!(one.stored().await, 2_000);
    one.folded().await;
    assert_rolled_up(&mut one.connection().await).await;
    let deadlocks: i64 = sqlx::query_scalar(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
    )
    .fetch_one(&mut one.connection().await)
    .await
    .unwrap();
    assert_eq!(deadlocks, 0);
}

async fn rebuild(analytics: &TestAnalytics, from: &str, to: &str) -> u64 {
    let mut requests = 0;
    let config = config(&analytics.database.url());
    rebuild_rollups(config, at(from), at(to), |rebuilt| requests += rebuilt.requests)
        .await
        .unwrap();
    requests
}

#[tokio::test]
async fn a_rebuild_while_events_arrive_leaves_the_sums_of_the_rows() {
    let analytics = TestAnalytics::start().await;
    let events = events(13, 600);
    analytics.store(events[..200].to_vec()).await;
    analytics.folded().await;
    let mut connection = analytics.connection().await;
    sqlx::query("UPDATE rollups SET sums = '\\x01010007', histograms = NULL, errors = NULL")
        .execute(&mut connection)
        .await
        .unwrap();
    let arriving = async {
        for chunk in events[200..].chunks(25) {
            analytics.store(chunk.to_vec()).await;
        }
    };
    let (rebuilt, ()) =
        tokio::join!(rebuild(&analytics, "2025-10-19T00:00:00Z", "2025-11-08T00:00:00Z"), arriving);
    assert!(rebuilt >= 200, "{rebuilt}");
    analytics.folded().await;
    assert_rolled_up(&mut connection).await;
}

#[tokio::test]
async fn requests_without_rollups_are_summed_up_after_the_start() {
    let database = TestDatabase::create().await;
    migrated(config(&database.url())).await.unwrap();
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO series VALUES
             (1, 'a', 'default', 'openai-chat', 1, true, 'k1', NULL, NULL, '{}', 0, true, false),
             (2, NULL, 'cloud', 'openai-chat', 1, false, NULL, 'u1', NULL, '{\"team\": \"x\"}', 0,
              true, false);
         UPDATE rollup_levels SET complete_from = timestamptz '9999-12-31 00:00:00+00';
         SELECT create_requests_partition(day::date)
         FROM generate_series(timestamp '2026-01-01', '2026-01-04', '1 day') day;
         INSERT INTO requests (event_id, started_at, series_id, prompt_tokens, duration_us,
                               content_events, request_bytes, response_bytes, outcome,
                               usage_source, speed_source, cost_nano_usd, cost_source, replica_id,
                               method, path)
         SELECT gen_random_uuid(), timestamptz '2026-01-01 00:00:00+00' + i * interval '11 minutes',
                i % 2 + 1, i, i * 3000000, 0, 1, 1, i % 3 + 1, i % 5 + 1, 0, nullif(i, 7), i % 4 + 1, 'r', 'POST', '/'
         FROM generate_series(0, 499) i",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let url = database.url();
    let analytics = TestAnalytics::start_on(database, &url, |_| {}).await;
    analytics.ready().await;
    analytics.store(vec![event_at("2026-01-02T12:00:00Z")]).await;
    eventually(PATIENCE, || async {
        let oldest: DateTime<Utc> =
            sqlx::query_scalar("SELECT max(complete_from) FROM rollup_levels")
                .fetch_one(&mut analytics.connection().await)
                .await
                .unwrap();
        oldest <= at("2026-01-01T00:00:00Z")
    })
    .await;
    analytics.folded().await;
    assert_rolled_up(&mut connection).await;
}

#[tokio::test]
async fn weeks_that_a_rebuild_left_aside_are_summed_up_after_the_start() {
    let analytics = TestAnalytics::start().await;
    analytics.store(events(14, 200)).await;
    analytics.folded().await;
    let mut connection = analytics.connection().await;
    sqlx::raw_sql(
        "DELETE FROM rollups WHERE level = 604800;
         UPDATE rollup_levels SET complete_from = timestamptz '2026-12-31 00:00:00+00'
         WHERE level = 604800",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let url = analytics.database.url();
    let next = TestAnalytics::start_on(TestDatabase::create().await, &url, |_| {}).await;
    next.ready().await;
    eventually(PATIENCE, || async {
        let complete_from: DateTime<Utc> =
            sqlx::query_scalar("SELECT complete_from FROM rollup_levels WHERE level = 604800")
                .fetch_one(&mut analytics.connection().await)
                .await
                .unwrap();
        complete_from <= at("2025-10-30T00:00:00Z")
    })
    .await;
    let weeks = "SELECT count(*) FROM rollups WHERE level = 604800";
    let weeks: i64 = sqlx::query_scalar(weeks).fetch_one(&mut connection).await.unwrap();
    assert!(weeks > 0);
}

#[tokio::test]
async fn an_event_that_comes_again_after_its_day_was_dropped_is_not_counted_again() {
    let analytics = TestAnalytics::start().await;
    let old =
        UsageEvent { duration: Some(duration_from_micros(1)), ..event_at("2026-01-01T00:00:00Z") };
    analytics.store(vec![old.clone()]).await;
    analytics.folded().await;
    let mut shorter = config(&analytics.database.url());
    shorter.retention_days = 30;
    migrated(shorter).await.unwrap();
    let mut proxy = TestProxy::connect(&analytics, "late").await;
    let last = proxy.send(vec![old]).await;
    assert_eq!(proxy.acknowledged(last).await.len(), 1);
    let mut connection = analytics.connection().await;
    for width in WIDTHS {
        let lines = of_rollups(&mut connection, width).await;
        // In its full series, which has no weeks, and in six narrow ones.
        let rows = if width < WEEK { 7 } else { 6 };
        assert_eq!(lines.values().map(|line| line[0]).sum::<i64>(), rows, "{width}");
    }
    assert_eq!(changes(&mut analytics.connection().await).await, 0);
}

#[tokio::test]
async fn sets_beyond_the_limit_of_series_are_counted_as_other() {
    let analytics = TestAnalytics::start_with(|config| config.series_limit = 100).await;
    let events: Vec<_> = (0..250)
        .map(|number| UsageEvent {
            user: Some(format!("user {number}")),
            ..event_at("2026-01-01T00:00:00Z")
        })
        .collect();
    for chunk in events.chunks(50) {
        analytics.store(chunk.to_vec()).await;
    }
    let (series, other): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE user_name = 'other' AND model = 'qwen3-8b')
         FROM series WHERE cube = 0",
    )
    .fetch_one(&mut analytics.connection().await)
    .await
    .unwrap();
    assert_eq!((series, other), (101, 1));
    assert_eq!(analytics.metric("modash_analytics_series_overflow_events_total"), 150.0);
    assert_eq!(analytics.stored().await, 250);
    // A set that is known to be beyond the limit counts each time it comes.
    let again = another(events[249].clone());
    analytics.store(vec![again]).await;
    assert_eq!(analytics.metric("modash_analytics_series_overflow_events_total"), 151.0);
    assert_rolled_up(&mut analytics.connection().await).await;
}

#[tokio::test]
async fn requests_that_a_process_of_an_older_version_wrote_are_found_and_summed_up() {
    let analytics = TestAnalytics::start().await;
    let started_at = (Utc::now() - TimeDelta::hours(2)).to_rfc3339();
    let first = UsageEvent { session: Some("s".into()), ..event_at(&started_at) };
    analytics.store(vec![first]).await;
    analytics.folded().await;
    // As that version wrote them: texts in the row, and no rollups. Beside the first one,
    // whose day has its partition at every hour of today.
    sqlx::query(
        "INSERT INTO requests (event_id, started_at, series_id, prompt_tokens, duration_us,
                               content_events, request_bytes, response_bytes, outcome,
                               usage_source, speed_source, cost_nano_usd, cost_source, replica_id,
                               method, path)
         SELECT gen_random_uuid(), started_at, series_id, 5, 3000000, 0, 1, 1, 1, 1, 0, 5, 2,
                'old', 'POST', '/v1/chat/completions'
         FROM requests, generate_series(1, 30)",
    )
    .execute(&mut analytics.connection().await)
    .await
    .unwrap();
    let url = analytics.database.url();
    let next = TestAnalytics::start_on(TestDatabase::create().await, &url, |_| {}).await;
    next.ready().await;
    let mut client = next.client().await;
    let request = || UsageSummaryRequest::default();
    let asked = std::sync::Arc::new(tokio::sync::Mutex::new(client.clone()));
    eventually(PATIENCE, || async {
        asked.lock().await.usage_summary(request()).await.unwrap().into_inner().requests == 31
    })
    .await;
    let recent = RecentRequestsRequest { page: 1, page_size: 50, ..Default::default() };
    let rows = client.recent_requests(recent).await.unwrap().into_inner().rows;
    assert_eq!(rows.iter().filter(|row| row.replica_id == "old").count(), 30);
    assert_rolled_up(&mut analytics.connection().await).await;
}
