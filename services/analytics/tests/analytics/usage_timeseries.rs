//! UsageTimeseries: requests and tokens by bucket and group.

use modash_proto::v1::{
    Dimension, GroupBy, Outcome, UsageEvent, UsageTimeseriesRequest, UsageTimeseriesResponse,
    group_by::By,
};

use crate::harness::{TestAnalytics, at, event_at, range, violated};

async fn ask(
    analytics: &TestAnalytics,
    request: UsageTimeseriesRequest,
) -> UsageTimeseriesResponse {
    analytics.client().await.usage_timeseries(request).await.unwrap().into_inner()
}

fn by(by: By) -> Option<GroupBy> {
    Some(GroupBy { by: Some(by) })
}

#[tokio::test]
async fn buckets_without_requests_are_zero() {
    let analytics = TestAnalytics::start().await;
    analytics
        .store(vec![
            event_at("2026-01-01T00:00:00Z"),
            event_at("2026-01-01T02:59:59.999999Z"),
            event_at("2026-01-01T02:00:00Z"),
        ])
        .await;
    let request = UsageTimeseriesRequest {
        range: range("2026-01-01T00:00:00Z", "2026-01-01T04:00:00Z"),
        bucket_seconds: 3600,
        ..Default::default()
    };
    let answer = ask(&analytics, request).await;
    assert_eq!(answer.bucket_starts.len(), 4);
    let [series] = answer.series.as_slice() else { panic!("{:?}", answer.series) };
    assert_eq!(series.requests, [1, 0, 2, 0]);
    assert_eq!(series.total_tokens, [150, 0, 300, 0]);
    assert_eq!(series.cached_prompt_tokens, [20, 0, 40, 0]);
    assert_eq!(series.failed_requests, [0; 4]);
}

#[tokio::test]
async fn a_day_of_25_hours_is_one_day() {
    let analytics = TestAnalytics::start().await;
    // Berlin put its clocks back on 26 October 2025 at 01:00 UTC.
    analytics
        .store(vec![
            event_at("2025-10-25T21:59:59Z"),
            event_at("2025-10-25T22:00:00Z"),
            event_at("2025-10-26T22:59:59Z"),
            event_at("2025-10-26T23:00:00Z"),
        ])
        .await;
    let request = UsageTimeseriesRequest {
        range: range("2025-10-24T22:00:00Z", "2025-10-27T23:00:00Z"),
        time_zone: "Europe/Berlin".into(),
        bucket_seconds: 86_400,
        ..Default::default()
    };
    let answer = ask(&analytics, request).await;
    let starts: Vec<_> = answer.bucket_starts.iter().map(|start| start.seconds).collect();
    let expected = ["2025-10-24T22:00:00Z", "2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z"];
    assert_eq!(starts, expected.map(|start| at(start).timestamp()));
    assert_eq!(answer.series[0].requests, [1, 2, 1]);
}

#[tokio::test]
async fn the_largest_groups_have_a_series_each_and_the_rest_is_one() {
    let analytics = TestAnalytics::start().await;
    let event = |model: Option<&str>, tokens| UsageEvent {
        model: model.map(Into::into),
        model_requested: None,
        total_tokens: Some(tokens),
        ..event_at("2026-01-01T00:30:00Z")
    };
    analytics
        .store(vec![
            event(Some("small"), 1),
            event(Some("small"), 1),
            event(Some("large"), 100),
            event(None, 50),
            event(Some("tiny"), 1),
        ])
        .await;
    let request = UsageTimeseriesRequest {
        range: range("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
        bucket_seconds: 3600,
        group_by: by(By::Dimension(Dimension::Model.into())),
        top: 2,
        ..Default::default()
    };
    let answer = ask(&analytics, request).await;
    let series: Vec<_> = answer
        .series
        .iter()
        .map(|series| {
            (series.key.as_str(), series.other, series.requests[0], series.total_tokens[0])
        })
        .collect();
    assert_eq!(series, [("large", false, 1, 100), ("", false, 1, 50), ("", true, 3, 3)]);
}

#[tokio::test]
async fn groups_of_outcomes_have_the_names_of_the_contract() {
    let analytics = TestAnalytics::start().await;
    analytics
        .store(vec![
            event_at("2026-01-01T00:30:00Z"),
            UsageEvent {
                outcome: Outcome::StreamError.into(),
                total_tokens: None,
                ..event_at("2026-01-01T00:30:00Z")
            },
        ])
        .await;
    let request = UsageTimeseriesRequest {
        range: range("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
        group_by: by(By::Dimension(Dimension::Outcome.into())),
        ..Default::default()
    };
    let answer = ask(&analytics, request).await;
    let keys: Vec<_> = answer.series.iter().map(|series| series.key.as_str()).collect();
    assert_eq!(keys, ["OUTCOME_OK", "OUTCOME_STREAM_ERROR"]);
}

#[tokio::test]
async fn groups_without_requests_are_no_groups_and_everything_is_one() {
    let analytics = TestAnalytics::start().await;
    let everything = ask(&analytics, UsageTimeseriesRequest::default()).await;
    assert_eq!(everything.series.len(), 1);
    assert!(everything.series[0].requests.iter().all(|requests| *requests == 0));
    let grouped =
        UsageTimeseriesRequest { group_by: by(By::Tag("team".into())), ..Default::default() };
    assert!(ask(&analytics, grouped).await.series.is_empty());
}

#[tokio::test]
async fn arguments_out_of_range_are_named() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    let day = range("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let cases = [
        (UsageTimeseriesRequest { bucket_seconds: 1, ..Default::default() }, "bucket_seconds"),
        (
            UsageTimeseriesRequest { bucket_seconds: 604_801, ..Default::default() },
            "bucket_seconds",
        ),
        (UsageTimeseriesRequest { top: 51, ..Default::default() }, "top"),
        (
            UsageTimeseriesRequest { group_by: by(By::Dimension(99)), ..Default::default() },
            "group_by.dimension",
        ),
        (
            UsageTimeseriesRequest { group_by: by(By::Tag(String::new())), ..Default::default() },
            "group_by.tag",
        ),
    ];
    for (request, field) in cases {
        let request = UsageTimeseriesRequest { range: day, ..request };
        let status = client.usage_timeseries(request).await.unwrap_err();
        assert_eq!(violated(&status), [field]);
    }
}
