//! ThroughputTimeseries: speeds, waiting times and concurrency by bucket.

use modash_proto::{
    duration_from_micros,
    v1::{
        Dimension, GroupBy, LogHistogram, ThroughputTimeseriesRequest,
        ThroughputTimeseriesResponse, UsageEvent, group_by::By,
    },
};

use crate::harness::{TestAnalytics, assert_near, event_at, range};

async fn ask(
    analytics: &TestAnalytics,
    request: ThroughputTimeseriesRequest,
) -> ThroughputTimeseriesResponse {
    analytics.client().await.throughput_timeseries(request).await.unwrap().into_inner()
}

fn lasting(start: &str, seconds: i64) -> UsageEvent {
    UsageEvent { duration: Some(duration_from_micros(seconds * 1_000_000)), ..event_at(start) }
}

fn first_hours(hours: u32) -> ThroughputTimeseriesRequest {
    ThroughputTimeseriesRequest {
        range: range("2026-01-01T00:00:00Z", &format!("2026-01-01T0{hours}:00:00Z")),
        bucket_seconds: 3600,
        ..Default::default()
    }
}

#[tokio::test]
async fn rates_and_waits_are_those_of_the_requests_that_began_in_the_bucket() {
    let analytics = TestAnalytics::start().await;
    let stream = |decode, first_token_ms: i64| UsageEvent {
        completion_tokens: Some(3600),
        decode_tokens_per_second: Some(decode),
        prefill_tokens_per_second: Some(500.0),
        first_token: Some(duration_from_micros(first_token_ms * 1000)),
        // 1.04^50 = 7.1 microseconds, 1.04^100 = 50.5.
        token_gaps: Some(LogHistogram { indexes: vec![50, 100], counts: vec![99, 1] }),
        ..event_at("2026-01-01T01:10:00Z")
    };
    analytics.store(vec![stream(10.0, 100), stream(20.0, 200)]).await;
    let answer = ask(&analytics, first_hours(3)).await;
    let [series] = answer.series.as_slice() else { panic!("{:?}", answer.series) };
    assert_eq!(series.tokens_per_second, [0.0, 2.0, 0.0]);
    assert_eq!(series.requests, [0, 2, 0]);
    assert_eq!(series.requests_with_decode, [0, 2, 0]);
    assert_eq!(series.requests_with_first_token, [0, 2, 0]);
    assert_near(Some(series.decode_p5[1]), Some(10.0));
    assert_near(Some(series.decode_p50[1]), Some(10.0));
    assert_near(Some(series.decode_p95[1]), Some(20.0));
    assert_near(Some(series.prefill_p50[1]), Some(500.0));
    assert_near(Some(series.time_to_first_token_ms_p50[1]), Some(100.0));
    assert_near(Some(series.time_to_first_token_ms_p99[1]), Some(200.0));
    assert!((series.token_gap_ms_p50[1] * 1000.0 / 1.04_f64.powi(50) - 1.0).abs() < 0.02);
    assert!((series.token_gap_ms_p99[1] * 1000.0 / 1.04_f64.powi(50) - 1.0).abs() < 0.02);
    for column in [&series.decode_p50, &series.prefill_p50, &series.token_gap_ms_p99] {
        assert!(column[0].is_nan() && column[2].is_nan());
    }
}

#[tokio::test]
async fn concurrency_counts_requests_while_they_run() {
    let analytics = TestAnalytics::start().await;
    analytics
        .store(vec![
            // Before the range and into it: 30 minutes of the first hour.
            lasting("2025-12-31T23:50:00Z", 40 * 60),
            // A short one that reaches 4 minutes into the range.
            lasting("2025-12-31T23:55:00Z", 9 * 60),
            // From the first into the second hour, 15 minutes in each.
            lasting("2026-01-01T00:45:00Z", 30 * 60),
            // Begins when another ends: never two at a time.
            lasting("2026-01-01T01:15:00Z", 60),
            // Beyond the range: 30 minutes of the last hour.
            lasting("2026-01-01T02:30:00Z", 9 * 3600),
            // Never ran.
            lasting("2026-01-01T00:20:00Z", 0),
        ])
        .await;
    let answer = ask(&analytics, first_hours(3)).await;
    let series = &answer.series[0];
    assert_eq!(series.concurrency_max, [2, 1, 1]);
    let expected = [0.75 + 4.0 / 60.0, 16.0 / 60.0, 0.5];
    for (mean, expected) in series.concurrency_mean.iter().zip(expected) {
        assert!((mean - expected).abs() < 1e-9, "{:?}", series.concurrency_mean);
    }
}

#[tokio::test]
async fn a_group_has_its_own_columns_and_there_is_no_other() {
    let analytics = TestAnalytics::start().await;
    let event = |model: &str| UsageEvent {
        model: Some(model.into()),
        ..lasting("2026-01-01T00:10:00Z", 1800)
    };
    analytics.store(vec![event("a"), event("b"), event("b"), event("c")]).await;
    let request = ThroughputTimeseriesRequest {
        group_by: Some(GroupBy { by: Some(By::Dimension(Dimension::Model.into())) }),
        top: 2,
        ..first_hours(1)
    };
    let answer = ask(&analytics, request).await;
    let found: Vec<_> = answer
        .series
        .iter()
        .map(|series| (series.key.as_str(), series.requests[0], series.concurrency_max[0]))
        .collect();
    assert_eq!(found, [("b", 2, 2), ("a", 1, 1)]);
    assert!((answer.series[0].concurrency_mean[0] - 1.0).abs() < 1e-9);
}
