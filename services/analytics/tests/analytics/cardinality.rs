//! More models and users than an answer can look at.

use modash_proto::v1::{
    Dimension, GroupBy, ModelBreakdownRequest, ThroughputTimeseriesRequest, UsageEvent,
    UsageTimeseriesRequest, group_by::By,
};
use modash_test_support::eventually;

use crate::harness::{PATIENCE, TestAnalytics, event_at, range};

const MODELS: u64 = 2_500;

/// Models with a request each, and two with more; as many users.
async fn store_many(analytics: &TestAnalytics) {
    let event = |name: String| UsageEvent {
        model: Some(name.clone()),
        user: Some(name),
        decode_tokens_per_second: Some(12.0),
        ..event_at("2026-01-01T12:00:30Z")
    };
    let mut events: Vec<_> = (2..MODELS).map(|at| event(format!("m{at}"))).collect();
    events.extend((0..9).map(|_| event("large".into())));
    events.extend((0..5).map(|_| event("second".into())));
    analytics.store(events).await;
}

fn breakdown(limit: u32) -> ModelBreakdownRequest {
    ModelBreakdownRequest {
        range: range("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        limit,
        ..Default::default()
    }
}

#[tokio::test]
async fn of_very_many_models_the_largest_have_rows_and_the_others_are_one_row() {
    let analytics = TestAnalytics::start().await;
    store_many(&analytics).await;
    // Until they are summed up, only those that were are found.
    let answer = eventually(PATIENCE, || async {
        let answer = analytics.client().await.model_breakdown(breakdown(2)).await.unwrap();
        Some(answer.into_inner()).filter(|answer| answer.total == MODELS)
    })
    .await;
    let named: Vec<_> = answer.rows.iter().map(|row| (&*row.model, row.requests)).collect();
    assert_eq!(named, [("large", 9), ("second", 5)]);
    assert!(answer.rows[0].decode_tokens_per_second_p50.is_some(), "{:?}", answer.rows[0]);
    let other = answer.other.unwrap();
    assert_eq!((other.requests, other.total_tokens), (MODELS - 2, (MODELS - 2) * 150));
    assert_eq!(other.sparkline.iter().sum::<u64>(), MODELS - 2);
    assert_eq!(other.model, "");
    let shares: f64 = answer.rows.iter().chain([&other]).map(|row| row.share).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
}

#[tokio::test]
async fn of_few_models_too_the_rest_is_one_row_and_no_rest_is_none() {
    let analytics = TestAnalytics::start().await;
    let event =
        |name: &str| UsageEvent { model: Some(name.into()), ..event_at("2026-01-01T12:00:30Z") };
    analytics.store(vec![event("a"), event("a"), event("b"), event("c")]).await;
    let mut client = analytics.client().await;
    let answer = client.model_breakdown(breakdown(1)).await.unwrap().into_inner();
    assert_eq!((answer.total, answer.rows.len()), (3, 1));
    assert_eq!(answer.other.unwrap().requests, 2);
    let answer = client.model_breakdown(breakdown(3)).await.unwrap().into_inner();
    assert_eq!((answer.total, answer.rows.len(), answer.other), (3, 3, None));
}

#[tokio::test]
async fn charts_by_group_count_the_groups_without_a_line() {
    let analytics = TestAnalytics::start().await;
    store_many(&analytics).await;
    let mut client = analytics.client().await;
    let group_by = Some(GroupBy { by: Some(By::Dimension(Dimension::User.into())) });
    let usage = UsageTimeseriesRequest {
        range: range("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        bucket_seconds: 3_600,
        group_by: group_by.clone(),
        top: 2,
        ..Default::default()
    };
    let answer = eventually(PATIENCE, || async {
        let answer = client.clone().usage_timeseries(usage.clone()).await.unwrap().into_inner();
        Some(answer).filter(|answer| answer.other_groups == MODELS - 2)
    })
    .await;
    let series: Vec<_> = answer
        .series
        .iter()
        .map(|series| (&*series.key, series.other, series.requests[12]))
        .collect();
    assert_eq!(series, [("large", false, 9), ("second", false, 5), ("", true, MODELS - 2)]);
    let throughput = ThroughputTimeseriesRequest {
        range: usage.range,
        bucket_seconds: 3_600,
        group_by,
        top: 2,
        ..Default::default()
    };
    let answer = client.throughput_timeseries(throughput).await.unwrap().into_inner();
    let keys: Vec<_> = answer.series.iter().map(|series| &*series.key).collect();
    assert_eq!((keys, answer.other_groups), (vec!["large", "second"], MODELS - 2));
}
