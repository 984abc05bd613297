//! Rate limits as responses stated them: the last and the lowest values of each limit,
//! in whatever order and however often events come.

use chrono::{DateTime, TimeDelta, Utc};
use modash_proto::{
    duration_from_micros, timestamp_from_micros,
    v1::{
        Exclusion, Filter, RateLimit, RateLimitKind, RateLimitRow, RateLimits, RateLimitsRequest,
        RateLimitsResponse, TimeRange, UsageEvent,
    },
};
use modash_test_support::{TokensFile, event_at, eventually};
use sqlx::Connection as _;

use crate::{
    access::{guarded, reader},
    harness::{PATIENCE, TestAnalytics, TestProxy, violated},
};

/// Start of the tests' range.
fn start() -> DateTime<Utc> {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

fn micros(seconds: i64) -> i64 {
    (start() + TimeDelta::seconds(seconds)).timestamp_micros()
}

fn range(hours: i64) -> Option<TimeRange> {
    let bound = |seconds| Some(timestamp_from_micros(micros(seconds)));
    Some(TimeRange { start: bound(0), end: bound(hours * 3_600) })
}

fn limit(kind: RateLimitKind, window: &str, remaining: u64, limit: u64) -> RateLimit {
    RateLimit {
        kind: kind.into(),
        window: window.to_owned(),
        limit: Some(limit),
        remaining: Some(remaining),
        ..RateLimit::default()
    }
}

/// An event whose response head came so many seconds after the start.
fn stating(seconds: i64, key: &str, limits: Vec<RateLimit>) -> UsageEvent {
    UsageEvent {
        client_key: Some(key.to_owned()),
        rate_limits: Some(RateLimits {
            limits,
            retry_after: None,
            observed_at: Some(timestamp_from_micros(micros(seconds))),
        }),
        ..event_at(micros(seconds) - 1_000)
    }
}

fn tokens(seconds: i64, key: &str, remaining: u64) -> UsageEvent {
    let mut tokens = limit(RateLimitKind::Tokens, "", remaining, 1_000);
    tokens.resets_at = Some(timestamp_from_micros(micros(seconds + 60)));
    stating(seconds, key, vec![tokens])
}

async fn ask(analytics: &TestAnalytics, request: RateLimitsRequest) -> RateLimitsResponse {
    let mut client = analytics.client().await;
    client.rate_limits(request).await.unwrap().into_inner()
}

async fn ask_all(analytics: &TestAnalytics, hours: i64) -> RateLimitsResponse {
    ask(analytics, RateLimitsRequest { range: range(hours), ..Default::default() }).await
}

/// Waits until nothing waits to be folded.
async fn folded(analytics: &TestAnalytics) {
    eventually(PATIENCE, || async {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM rate_limit_changes")
            .fetch_one(&mut analytics.connection().await)
            .await
            .unwrap();
        waiting == 0
    })
    .await;
}

/// NaN is not equal to itself.
fn comparable(mut answer: RateLimitsResponse) -> RateLimitsResponse {
    for row in &mut answer.rows {
        row.sparkline.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = -1.0);
    }
    answer
}

#[tokio::test]
async fn the_last_and_the_lowest_values_of_each_limit_are_shown() {
    let analytics = TestAnalytics::start().await;
    let plan = RateLimit {
        kind: RateLimitKind::Plan.into(),
        window: "5h".to_owned(),
        used_share: Some(0.95),
        ..RateLimit::default()
    };
    analytics
        .store(vec![
            tokens(10, "k1", 500),
            tokens(400, "k1", 100),
            tokens(3_000, "k1", 900),
            tokens(20, "k2", 800),
            stating(30, "k2", vec![plan, limit(RateLimitKind::Requests, "minute", 9, 10)]),
            event_at(micros(40)),
        ])
        .await;
    for waits in [false, true] {
        if waits {
            folded(&analytics).await;
        }
        let answer = ask_all(&analytics, 1).await;
        let short: Vec<_> = answer
            .rows
            .iter()
            .map(|row| (row.client_key(), row.kind(), row.window.as_str(), row.headroom))
            .collect();
        let (k1, k2) = ("k1", "k2");
        let left = (1.0_f64 - 0.95).clamp(0.0, 1.0);
        assert_eq!(
            short,
            [
                (k2, RateLimitKind::Plan, "5h", Some(left)),
                (k2, RateLimitKind::Tokens, "", Some(0.8)),
                (k1, RateLimitKind::Tokens, "", Some(0.9)),
                (k2, RateLimitKind::Requests, "minute", Some(0.9)),
            ]
        );
        assert_eq!((answer.total, answer.refusals.len()), (4, 0));
        let row: &RateLimitRow = &answer.rows[2];
        assert_eq!(row.last_seen_at, Some(timestamp_from_micros(micros(3_000))));
        assert_eq!((row.limit, row.remaining), (Some(1_000), Some(900)));
        assert_eq!(row.resets_at, Some(timestamp_from_micros(micros(3_060))));
        assert_eq!((row.lowest_headroom, row.lowest_remaining), (Some(0.1), Some(100)));
        assert_eq!(row.lowest_at, Some(timestamp_from_micros(micros(400))));
        // 24 parts of 150 s; buckets of five minutes are in the part of their start.
        let seen: Vec<_> = row.sparkline.iter().map(|value| (value * 10.0).round()).collect();
        assert_eq!((seen[0], seen[2], seen[20], seen.len()), (5.0, 1.0, 9.0, 24));
        assert_eq!(row.sparkline.iter().filter(|value| value.is_nan()).count(), 21);
    }
    analytics.stop().await;
}

#[tokio::test]
async fn order_batches_and_repeats_make_no_difference() {
    let mut answers = Vec::new();
    let events: Vec<UsageEvent> = (0..60)
        .map(|at| {
            let seconds = at * 37 % 1_800;
            let mut event = tokens(seconds, ["k1", "k2"][at as usize % 2], at as u64 * 13 % 97);
            if at % 7 == 0 {
                event.status = Some(429);
                event.rate_limits.as_mut().unwrap().retry_after =
                    Some(duration_from_micros(at * 1_000_000));
            }
            event
        })
        .collect();
    for (size, backwards) in [(60, false), (20, true), (15, true), (25, false)] {
        let analytics = TestAnalytics::start().await;
        let mut events = events.clone();
        if backwards {
            events.reverse();
        }
        for batch in events.chunks(size) {
            analytics.store(batch.to_vec()).await;
            if size == 15 {
                folded(&analytics).await;
            }
        }
        // All of it again, as after a lost acknowledgement.
        analytics.store(events).await;
        folded(&analytics).await;
        answers.push(comparable(ask_all(&analytics, 1).await));
        analytics.stop().await;
    }
    assert_eq!(answers[0].rows.len(), 2);
    assert_eq!(answers[0].refusals.iter().map(|row| row.requests).sum::<u64>(), 9);
    for answer in &answers[1..] {
        assert_eq!(answer, &answers[0]);
    }
}

#[tokio::test]
async fn refusals_are_counted_with_when_to_try_again() {
    let analytics = TestAnalytics::start().await;
    let refused = |seconds, key: Option<&str>, status, after: Option<i64>| UsageEvent {
        client_key: key.map(str::to_owned),
        status: Some(status),
        rate_limits: after.map(|after| RateLimits {
            limits: Vec::new(),
            retry_after: Some(duration_from_micros(after * 1_000_000)),
            observed_at: Some(timestamp_from_micros(micros(seconds))),
        }),
        ..event_at(micros(seconds))
    };
    analytics
        .store(vec![
            refused(1, Some("k1"), 429, Some(10)),
            refused(2, Some("k1"), 429, None),
            refused(3, Some("k1"), 529, Some(30)),
            refused(4, None, 429, None),
            refused(5, None, 503, None),
            refused(6, Some("k1"), 200, Some(10)),
        ])
        .await;
    let answer = ask_all(&analytics, 1).await;
    assert_eq!(answer.rows, []);
    let rows: Vec<_> = answer
        .refusals
        .iter()
        .map(|row| (row.client_key.as_deref(), row.requests, row.last_seen_at, row.retry_at))
        .collect();
    let at = |seconds| Some(timestamp_from_micros(micros(seconds)));
    assert_eq!(rows, [(None, 1, at(4), None), (Some("k1"), 2, at(3), at(33))]);
    analytics.stop().await;
}

#[tokio::test]
async fn days_are_read_by_the_hour_and_give_the_same() {
    let analytics = TestAnalytics::start().await;
    let events =
        (0..80).map(|at| tokens(at * 3_300 + 200, "k1", 1_000 - at as u64 * 997 % 1_000)).collect();
    analytics.store(events).await;
    let waiting = ask_all(&analytics, 72).await;
    folded(&analytics).await;
    assert_eq!(comparable(ask_all(&analytics, 72).await), comparable(waiting));
    let row = ask_all(&analytics, 72).await.rows.remove(0);
    assert!(row.sparkline.iter().all(|value| !value.is_nan()), "{:?}", row.sparkline);
    // The last one before the end, and the lowest of all.
    assert_eq!(row.last_seen_at, Some(timestamp_from_micros(micros(78 * 3_300 + 200))));
    assert_eq!(row.lowest_remaining, (0..79).map(|at| 1_000 - at * 997 % 1_000).min());
    analytics.stop().await;
}

#[tokio::test]
async fn upstreams_and_keys_are_filtered_and_the_rest_is_refused() {
    let analytics = TestAnalytics::start().await;
    let other = UsageEvent { upstream: "other".to_owned(), ..tokens(5, "k1", 1) };
    analytics.store(vec![tokens(1, "k1", 2), tokens(2, "k2", 3), other]).await;
    let filters = [
        (Filter { upstreams: vec!["other".into()], ..Default::default() }, vec![1]),
        (Filter { client_keys: vec!["k1".into()], ..Default::default() }, vec![1, 2]),
        (
            Filter {
                exclude: Some(Exclusion {
                    upstreams: vec!["other".into()],
                    client_keys: vec!["k2".into()],
                    ..Default::default()
                }),
                ..Default::default()
            },
            vec![2],
        ),
    ];
    for waits in [false, true] {
        if waits {
            folded(&analytics).await;
        }
        for (filter, expected) in &filters {
            let filter = Some(filter.clone());
            let request = RateLimitsRequest { range: range(1), filter, limit: 0 };
            let answer = ask(&analytics, request).await;
            let remaining: Vec<_> = answer.rows.iter().filter_map(|row| row.remaining).collect();
            assert_eq!(&remaining, expected, "folded: {waits}");
        }
        let request = RateLimitsRequest { range: range(1), filter: None, limit: 2 };
        let answer = ask(&analytics, request).await;
        assert_eq!((answer.rows.len(), answer.total), (2, 3));
    }
    let filter = Some(Filter { models: vec!["m".into()], ..Default::default() });
    let request = RateLimitsRequest { filter, limit: 1_001, ..Default::default() };
    let status = analytics.client().await.rate_limits(request).await.unwrap_err();
    assert_eq!(violated(&status), ["filter", "limit"]);
    analytics.stop().await;
}

#[tokio::test]
async fn a_scope_shows_its_own_keys_and_no_limit_that_others_share() {
    let open = TestAnalytics::start().await;
    let other = UsageEvent { upstream: "other".to_owned(), ..tokens(3, "k3", 3) };
    open.store(vec![tokens(1, "k1", 1), tokens(2, "k2", 2), other]).await;
    let file = TokensFile::new();
    let scopes: [(&[&str], &[u64]); 5] = [
        (&["client:k1"], &[1]),
        (&["upstream:other"], &[3]),
        (&["upstream:other", "client:k1"], &[]),
        (&["tag:team=x"], &[]),
        (&["client:k1", "model:qwen3-8b"], &[]),
    ];
    let tokens = scopes.map(|(texts, _)| file.add_scoped(&texts.join(" "), texts));
    let guarded = guarded(&open, file.access()).await;
    for ((texts, expected), token) in scopes.into_iter().zip(&tokens) {
        let request = RateLimitsRequest { range: range(1), ..Default::default() };
        let mut client = reader(&guarded, Some(token)).await;
        let answer = client.rate_limits(request).await.unwrap().into_inner();
        let remaining: Vec<_> = answer.rows.iter().filter_map(|row| row.remaining).collect();
        assert_eq!(remaining, expected, "{texts:?}");
    }
    guarded.stop().await;
    open.stop().await;
}

#[tokio::test]
async fn what_a_broken_proxy_states_keeps_no_event_out() {
    let analytics = TestAnalytics::start().await;
    let broken = |limit| stating(1, "k1", vec![limit]);
    let all = RateLimitKind::Tokens;
    let mut times = limit(all, "times", 1, 2);
    times.resets_at = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: -1 });
    let mut late = stating(1, "late", vec![limit(all, "", 1, 2)]);
    late.rate_limits.as_mut().unwrap().observed_at =
        Some(timestamp_from_micros(micros(90 * 86_400)));
    analytics
        .store(vec![
            broken(limit(all, &"w".repeat(33), 1, 2)),
            broken(limit(all, "A\0", 1, 2)),
            broken(limit(all, "", u64::MAX, 2)),
            broken(limit(all, "", 1, 0)),
            broken(limit(RateLimitKind::Unspecified, "", 1, 2)),
            broken(RateLimit { kind: 99, ..limit(all, "", 1, 2) }),
            broken(RateLimit { used_share: Some(f64::NAN), ..limit(all, "", 1, 2) }),
            broken(times),
            late,
        ])
        .await;
    assert_eq!(analytics.stored().await, 9);
    let answer = ask_all(&analytics, 1).await;
    let rows: Vec<_> =
        answer.rows.iter().map(|row| (row.client_key(), row.window.as_str())).collect();
    assert_eq!(rows, [("k1", "times"), ("late", "")]);
    assert_eq!(answer.rows[0].resets_at, None);
    // A clock that is far off is not believed.
    assert_eq!(answer.rows[1].last_seen_at, Some(timestamp_from_micros(micros(1) - 1_000)));
    analytics.stop().await;
}

#[tokio::test]
async fn old_buckets_and_limits_without_any_are_forgotten() {
    let analytics = TestAnalytics::start_with(|config| config.retention_days = 3_650).await;
    analytics.store(vec![tokens(1, "old", 1), tokens(86_400, "new", 2)]).await;
    folded(&analytics).await;
    let mut connection = analytics.connection().await;
    let bucket = i32::try_from(micros(3_600) / 60_000_000).unwrap();
    let statement = include_str!("../../src/store/queries/forget_rate_limits.sql");
    sqlx::query(statement).bind(bucket).execute(&mut connection).await.unwrap();
    let left: Vec<(String, i64)> = sqlx::query_as(
        "SELECT client_key, (SELECT count(*) FROM rate_limit_buckets b
                             WHERE b.limit_id = l.limit_id)
         FROM rate_limits l",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(left, [("new".to_owned(), 2)]);
    connection.close().await.unwrap();
    analytics.stop().await;
}

#[tokio::test]
async fn limits_beyond_the_most_are_left_out() {
    let analytics = TestAnalytics::start().await;
    let mut connection = analytics.connection().await;
    sqlx::query(
        "INSERT INTO rate_limits (limit_id, upstream, client_key, kind, window_name)
         SELECT n, 'full', n::text, 1, '' FROM generate_series(1, 9999) AS n",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let mut proxy = TestProxy::connect(&analytics, "replica-1").await;
    let last = proxy.send(vec![tokens(1, "k1", 1), tokens(2, "k2", 2)]).await;
    proxy.acknowledged(last).await;
    folded(&analytics).await;
    let answer = ask_all(&analytics, 1).await;
    assert_eq!(answer.rows.len(), 1, "{:?}", answer.rows);
    connection.close().await.unwrap();
    analytics.stop().await;
}
