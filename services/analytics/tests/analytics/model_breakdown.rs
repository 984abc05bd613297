//! ModelBreakdown: one row for each model.

use modash_proto::{
    timestamp_from_micros,
    v1::{
        Cost, Dimension, Filter, GroupBy, ModelBreakdownRequest, ModelBreakdownResponse,
        ModelOrder, ModelRow, Operation, Outcome, TimeRange, UsageEvent, UsageSummaryRequest,
        UsageTimeseriesRequest, group_by::By,
    },
};

use crate::harness::{TestAnalytics, assert_near, at, event_at, range, violated};

async fn ask(analytics: &TestAnalytics, order: ModelOrder, limit: u32) -> ModelBreakdownResponse {
    let request = ModelBreakdownRequest {
        range: range("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        order: order.into(),
        limit,
        ..Default::default()
    };
    analytics.client().await.model_breakdown(request).await.unwrap().into_inner()
}

fn event(model: &str, start: &str) -> UsageEvent {
    UsageEvent { model: Some(model.into()), ..event_at(start) }
}

#[tokio::test]
async fn a_row_has_all_of_its_model() {
    let analytics = TestAnalytics::start().await;
    analytics
        .store(vec![
            event("a", "2026-01-01T00:00:00Z"),
            event("a", "2026-01-01T23:59:59Z"),
            UsageEvent {
                outcome: Outcome::Truncated.into(),
                decode_tokens_per_second: Some(12.0),
                ..event("a", "2026-01-01T01:00:00Z")
            },
            event("b", "2026-01-01T01:30:00Z"),
        ])
        .await;
    let mut answer = ask(&analytics, ModelOrder::Unspecified, 1).await;
    assert_eq!(answer.total, 2);
    assert_near(answer.rows[0].decode_tokens_per_second_p50.take(), Some(12.0));
    let mut sparkline = vec![0; 24];
    (sparkline[0], sparkline[1], sparkline[23]) = (1, 1, 1);
    let last_seen = at("2026-01-01T23:59:59Z").timestamp_micros();
    assert_eq!(
        answer.rows,
        [ModelRow {
            model: "a".into(),
            requests: 3,
            share: 0.75,
            failed_requests: 1,
            error_share: 1.0 / 3.0,
            prompt_tokens: 300,
            cached_prompt_tokens: 60,
            cache_write_tokens: 0,
            completion_tokens: 150,
            reasoning_tokens: 0,
            total_tokens: 450,
            requests_without_usage: 0,
            decode_tokens_per_second_p50: None,
            prefill_tokens_per_second_p50: None,
            time_to_first_token_ms_p50: None,
            time_to_first_token_ms_p95: None,
            last_seen_at: Some(timestamp_from_micros(last_seen)),
            sparkline,
            cost: Some(Cost { unknown_requests: 3, ..Cost::default() }),
        }]
    );
}

/// A request that names no model.
fn nameless(operation: Operation, start: &str) -> UsageEvent {
    let operation = operation.into();
    UsageEvent { operation, model: None, model_requested: None, ..event("", start) }
}

#[tokio::test]
async fn requests_that_call_no_model_are_no_model_without_a_name() {
    let analytics = TestAnalytics::start().await;
    let (within, at_the_end) = ("2026-01-01T12:30:00Z", "2026-01-01T23:59:30.5Z");
    analytics
        .store(vec![
            event("a", within),
            nameless(Operation::Retrieval, within),
            nameless(Operation::Other, within),
            nameless(Operation::Retrieval, at_the_end),
            UsageEvent { operation: Operation::Other.into(), ..event("b", at_the_end) },
        ])
        .await;
    let mut client = analytics.client().await;
    // From rollups only, and with single requests at the end.
    for end in ["2026-01-02T00:00:00Z", "2026-01-01T23:59:45Z"] {
        let range = range("2026-01-01T00:00:00Z", end);
        let breakdown = ModelBreakdownRequest { range, ..Default::default() };
        let answer = client.model_breakdown(breakdown).await.unwrap().into_inner();
        let rows: Vec<_> =
            answer.rows.iter().map(|row| (row.model.as_str(), row.requests)).collect();
        assert_eq!((answer.total, rows), (2, vec![("a", 1), ("b", 1)]), "until {end}");
        let other = answer.other.unwrap();
        assert_eq!((other.requests, other.share), (3, 0.6), "until {end}");
        let summary = UsageSummaryRequest { range, ..Default::default() };
        let summary = client.usage_summary(summary).await.unwrap().into_inner();
        assert_eq!(summary.requests, 5, "until {end}");

        let series = by_model(&analytics, range).await;
        let expected = [("", true, 3), ("a", false, 1), ("b", false, 1)];
        assert_eq!(series, expected.map(|(key, other, sum)| (key.to_owned(), other, sum)));
    }
}

#[tokio::test]
async fn a_call_that_names_no_model_is_one_without_a_name() {
    let analytics = TestAnalytics::start().await;
    let start = "2026-01-01T12:30:00Z";
    let retrieval = nameless(Operation::Retrieval, start);
    analytics.store(vec![event("a", start), nameless(Operation::Chat, start), retrieval]).await;
    let answer = ask(&analytics, ModelOrder::Unspecified, 0).await;
    let rows: Vec<_> = answer.rows.iter().map(|row| (row.model.as_str(), row.requests)).collect();
    assert_eq!((answer.total, rows), (2, vec![("", 1), ("a", 1)]));
    // A filter by that row finds what the row counts.
    let unnamed = UsageSummaryRequest {
        range: range("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        filter: Some(Filter { models: vec![String::new()], ..Default::default() }),
        ..Default::default()
    };
    let found = analytics.client().await.usage_summary(unnamed).await.unwrap().into_inner();
    assert_eq!(found.requests, 1);
}

#[tokio::test]
async fn nothing_is_left_where_all_requests_call_models() {
    let analytics = TestAnalytics::start().await;
    let before = nameless(Operation::Retrieval, "2025-12-01T00:00:00Z");
    analytics.store(vec![before, event("a", "2026-01-01T12:30:00Z")]).await;
    assert_eq!(ask(&analytics, ModelOrder::Unspecified, 0).await.other, None);
    let day = range("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    assert_eq!(by_model(&analytics, day).await, [("a".to_owned(), false, 1)]);
}

/// Key, whether it is the rest, and requests of each series, in the order of keys.
async fn by_model(analytics: &TestAnalytics, range: Option<TimeRange>) -> Vec<(String, bool, u64)> {
    let request = UsageTimeseriesRequest {
        range,
        time_zone: "UTC".to_owned(),
        group_by: Some(GroupBy { by: Some(By::Dimension(Dimension::Model.into())) }),
        ..Default::default()
    };
    let answer = analytics.client().await.usage_timeseries(request).await.unwrap().into_inner();
    let sums = answer.series.into_iter().map(|series| {
        let requests = series.requests.iter().sum();
        (series.key, series.other, requests)
    });
    let mut sums: Vec<_> = sums.collect();
    sums.sort_unstable();
    sums
}

#[tokio::test]
async fn every_order_begins_with_its_largest() {
    let analytics = TestAnalytics::start().await;
    analytics
        .store(vec![
            event("most", "2026-01-01T00:00:00Z"),
            event("most", "2026-01-01T00:00:00Z"),
            UsageEvent { total_tokens: Some(900), ..event("tokens", "2026-01-01T00:00:00Z") },
            UsageEvent { completion_tokens: Some(800), ..event("words", "2026-01-01T00:00:00Z") },
            event("late", "2026-01-01T09:00:00Z"),
            UsageEvent {
                outcome: Outcome::HttpError.into(),
                ..event("broken", "2026-01-01T00:00:00Z")
            },
        ])
        .await;
    for (order, first) in [
        (ModelOrder::Unspecified, "most"),
        (ModelOrder::Requests, "most"),
        (ModelOrder::TotalTokens, "tokens"),
        (ModelOrder::CompletionTokens, "words"),
        (ModelOrder::LastSeen, "late"),
        (ModelOrder::ErrorShare, "broken"),
    ] {
        assert_eq!(ask(&analytics, order, 0).await.rows[0].model, first, "{order:?}");
    }
}

#[tokio::test]
async fn arguments_out_of_range_are_named() {
    let analytics = TestAnalytics::start().await;
    let request = ModelBreakdownRequest { limit: 1001, order: 99, ..Default::default() };
    let status = analytics.client().await.model_breakdown(request).await.unwrap_err();
    assert_eq!(violated(&status), ["limit", "order"]);
}
