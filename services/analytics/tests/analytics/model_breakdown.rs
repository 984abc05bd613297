//! ModelBreakdown: one row for each model.

use modash_proto::{
    timestamp_from_micros,
    v1::{
        ModelBreakdownRequest, ModelBreakdownResponse, ModelOrder, ModelRow, Outcome, UsageEvent,
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
        }]
    );
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
