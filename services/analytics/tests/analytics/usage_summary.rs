//! UsageSummary: totals and percentiles.

use modash_proto::{
    duration_from_micros,
    v1::{
        Cost, DurationPercentiles, Filter, Operation, Outcome, RatePercentiles,
        ThroughputTimeseriesRequest, TimeRange, UsageEvent, UsageSource, UsageSummaryRequest,
        UsageSummaryResponse,
    },
};
use modash_test_support::{as_sent, event, failed_event, stream_event};
use tonic::Code;

use crate::harness::{TestAnalytics, assert_near, event_at, range, violated};

async fn summary(analytics: &TestAnalytics, request: UsageSummaryRequest) -> UsageSummaryResponse {
    analytics.client().await.usage_summary(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn totals_and_percentiles_are_those_of_the_rows() {
    let analytics = TestAnalytics::start().await;
    let duration = |milliseconds: i64| Some(duration_from_micros(milliseconds * 1000));
    analytics
        .store(vec![
            UsageEvent { duration: duration(100), reasoning_tokens: Some(5), ..stream_event() },
            UsageEvent {
                duration: duration(200),
                cache_write_tokens: Some(30),
                decode_tokens_per_second: Some(90.0),
                upstream_cost_usd: Some(0.25),
                ..stream_event()
            },
            UsageEvent { duration: duration(300), ..failed_event(Outcome::HttpError, Some(500)) },
            UsageEvent { duration: None, ..failed_event(Outcome::ClientClosed, None) },
            UsageEvent {
                usage_source: UsageSource::NotReported.into(),
                prompt_tokens: None,
                cached_prompt_tokens: None,
                completion_tokens: None,
                total_tokens: None,
                duration: duration(400),
                ..event()
            },
            // Counting tokens has no usage to report.
            UsageEvent {
                operation: Operation::CountTokens.into(),
                usage_source: UsageSource::NotReported.into(),
                duration: duration(500),
                ..event()
            },
            UsageEvent {
                usage_source: UsageSource::Estimated.into(),
                duration: duration(600),
                ..event()
            },
        ])
        .await;
    let mut answer = summary(&analytics, UsageSummaryRequest::default()).await;
    assert!(answer.range.take().is_some());
    let expected =
        Cost { nano_usd: 250_000_000, known_requests: 1, unknown_requests: 6, ..Cost::default() };
    assert_eq!(answer.cost.take(), Some(expected));
    let durations = answer.duration_ms.take().unwrap();
    let waits = answer.time_to_first_token_ms.take().unwrap();
    let decode = answer.decode_tokens_per_second.take().unwrap();
    let prefill = answer.prefill_tokens_per_second.take().unwrap();
    for (found, expected) in [
        (durations.p50, 300.0),
        (durations.p95, 600.0),
        (durations.p99, 600.0),
        (waits.p50, 100.0),
        (waits.p99, 100.0),
        (decode.p5, 70.0),
        (decode.p50, 70.0),
        (decode.p95, 90.0),
        (prefill.p50, 800.0),
    ] {
        assert_near(found, Some(expected));
    }
    assert_eq!(
        answer,
        UsageSummaryResponse {
            requests: 7,
            failed_requests: 1,
            in_flight_requests: 0,
            prompt_tokens: 400,
            cached_prompt_tokens: 80,
            cache_write_tokens: 30,
            completion_tokens: 200,
            reasoning_tokens: 5,
            total_tokens: 600,
            requests_without_usage: 1,
            requests_with_estimated_usage: 1,
            duration_ms: None,
            time_to_first_token_ms: None,
            decode_tokens_per_second: None,
            prefill_tokens_per_second: None,
            previous: None,
            client_closed_requests: 1,
            upstream_cost_usd: Some(0.25),
            range: None,
            cost: None,
        }
    );
}

#[tokio::test]
async fn nothing_is_zero_and_its_percentiles_are_unknown() {
    let analytics = TestAnalytics::start().await;
    let answer = summary(&analytics, UsageSummaryRequest::default()).await;
    assert_eq!((answer.requests, answer.total_tokens), (0, 0));
    assert_eq!(answer.duration_ms, Some(DurationPercentiles::default()));
    assert_eq!(answer.decode_tokens_per_second, Some(RatePercentiles::default()));
    assert_eq!(answer.upstream_cost_usd, None);
}

#[tokio::test]
async fn a_range_begins_with_its_start_and_ends_before_its_end_and_so_does_the_one_before() {
    let analytics = TestAnalytics::start().await;
    for moment in [
        "2026-01-01T23:59:59.999999Z",
        "2026-01-02T00:00:00Z",
        "2026-01-02T23:59:59.999999Z",
        "2026-01-03T00:00:00Z",
        "2026-01-03T12:00:00Z",
        "2026-01-04T00:00:00Z",
    ] {
        analytics.store(vec![event_at(moment)]).await;
    }
    let wanted = range("2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z");
    let request =
        UsageSummaryRequest { range: wanted, compare_previous: true, ..Default::default() };
    let answer = summary(&analytics, request).await;
    assert_eq!((answer.requests, answer.range), (2, wanted));
    let previous = *answer.previous.unwrap();
    assert_eq!(previous.requests, 2);
    assert_eq!(previous.range, range("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"));
}

#[tokio::test]
async fn sums_of_the_largest_counts_that_are_taken_are_exact() {
    let analytics = TestAnalytics::start().await;
    let most = 1_000_000_000;
    let event = || UsageEvent {
        total_tokens: Some(2 * most),
        prompt_tokens: Some(most),
        completion_tokens: Some(most),
        ..event()
    };
    analytics.store((0..100).map(|_| event()).collect()).await;
    let answer = summary(&analytics, UsageSummaryRequest::default()).await;
    let sums = (answer.total_tokens, answer.prompt_tokens, answer.completion_tokens);
    assert_eq!(sums, (200 * most, 100 * most, 100 * most));
}

#[tokio::test]
async fn every_mistake_in_the_arguments_is_named() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    let too_many = || (0..101).map(|number| number.to_string()).collect::<Vec<_>>();
    let request = UsageSummaryRequest {
        range: range("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
        time_zone: "Mars/Olympus".into(),
        filter: Some(Filter {
            models: too_many(),
            users: vec!["a\0".into()],
            tags: too_many().into_iter().map(|name| (name, String::new())).collect(),
            ..Filter::default()
        }),
        compare_previous: false,
    };
    let fields = violated(&client.usage_summary(request).await.unwrap_err());
    assert_eq!(fields, ["range.end", "time_zone", "filter.models", "filter.users", "filter.tags"]);
    let far = TimeRange {
        start: Some(prost_types::Timestamp { seconds: i64::MIN, nanos: 0 }),
        end: None,
    };
    let request = UsageSummaryRequest { range: Some(far), ..Default::default() };
    let fields = violated(&client.usage_summary(request).await.unwrap_err());
    assert_eq!(fields, ["range.start"]);
}

#[tokio::test]
async fn all_of_time_can_be_asked_for_and_compared() {
    let analytics = TestAnalytics::start().await;
    analytics.store(vec![event()]).await;
    let request = UsageSummaryRequest {
        range: range("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
        ..Default::default()
    };
    assert_eq!(summary(&analytics, request.clone()).await.requests, 1);
    let request = UsageSummaryRequest { compare_previous: true, ..request };
    let status = analytics.client().await.usage_summary(request).await.unwrap_err();
    assert_eq!(violated(&status), ["compare_previous"]);
}

#[tokio::test]
async fn text_of_a_filter_is_text_and_nothing_else() {
    let analytics = TestAnalytics::start().await;
    let model = "'; DROP TABLE requests; -- %_\\ \u{1F980}";
    analytics.store(vec![UsageEvent { model: Some(model.into()), ..event() }, event()]).await;
    for (wanted, requests) in [(model, 1), ("%", 0), ("' OR '1'='1", 0)] {
        let filter = Filter { models: vec![wanted.into()], ..Filter::default() };
        let request = UsageSummaryRequest { filter: Some(filter), ..Default::default() };
        assert_eq!(summary(&analytics, request).await.requests, requests, "{wanted}");
    }
}

#[tokio::test]
async fn a_deadline_that_passed_is_deadline_exceeded() {
    let analytics = TestAnalytics::start().await;
    let mut connection = analytics.connection().await;
    let mut holder = sqlx::Connection::begin(&mut connection).await.unwrap();
    sqlx::query("LOCK TABLE requests").execute(&mut *holder).await.unwrap();
    let mut request = tonic::Request::new(UsageSummaryRequest::default());
    request.metadata_mut().insert("grpc-timeout", "300m".parse().unwrap());
    let status = analytics.client_without_timers().usage_summary(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
}

#[tokio::test]
async fn a_query_that_reads_too_much_says_what_to_narrow() {
    let analytics = TestAnalytics::start_with(|config| config.query_rows = 3).await;
    let second = |second| event_at(&format!("2026-01-01T00:00:0{second}Z"));
    analytics.store((0..5).map(second).collect()).await;
    let ask = |start: &str| UsageSummaryRequest {
        range: range(start, "2026-01-01T00:00:09Z"),
        ..Default::default()
    };
    assert_eq!(summary(&analytics, ask("2026-01-01T00:00:03Z")).await.requests, 2);
    let status = analytics.client().await.usage_summary(ask("2026-01-01T00:00:00Z")).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("shorter range"), "{status:?}");
}

#[tokio::test]
async fn requests_that_are_looked_at_for_concurrency_count_too() {
    let analytics = TestAnalytics::start_with(|config| config.query_rows = 3).await;
    let long = |second| UsageEvent {
        duration: Some(duration_from_micros(60_000_000)),
        ..event_at(&format!("2026-01-01T00:00:0{second}Z"))
    };
    analytics.store((0..5).map(long).collect()).await;
    let ask = |start: &str| ThroughputTimeseriesRequest {
        range: range(start, "2026-01-01T00:01:09Z"),
        ..Default::default()
    };
    let mut client = analytics.client().await;
    // Two of them still run, and none began.
    let answer = client.throughput_timeseries(ask("2026-01-01T00:01:03Z")).await.unwrap();
    assert_eq!(answer.into_inner().series[0].concurrency_max[0], 1);
    let status = client.throughput_timeseries(ask("2026-01-01T00:00:30Z")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
}

#[tokio::test]
async fn text_that_looks_like_sql_is_stored_as_it_is_in_every_field() {
    let analytics = TestAnalytics::start().await;
    let text = "a'); DROP TABLE requests; --\\ \"\u{1F980}";
    let some = || Some(text.to_owned());
    let sent = UsageEvent {
        replica_id: text.into(),
        upstream: text.into(),
        dialect: text.into(),
        path: text.into(),
        model: some(),
        model_requested: some(),
        user: some(),
        session: some(),
        user_agent_family: some(),
        response_id: some(),
        finish_reason: some(),
        service_tier: some(),
        error_type: some(),
        tags: [(text.to_owned(), text.to_owned())].into(),
        ..event()
    };
    analytics.store(vec![sent.clone()]).await;
    let filter = Filter {
        models: vec![text.into()],
        users: vec![text.into()],
        sessions: vec![text.into()],
        tags: [(text.to_owned(), text.to_owned())].into(),
        ..Filter::default()
    };
    let request = modash_proto::v1::RecentRequestsRequest {
        page: 1,
        page_size: 10,
        filter: Some(filter),
        ..Default::default()
    };
    let mut answer = analytics.client().await.recent_requests(request).await.unwrap().into_inner();
    answer.rows.iter_mut().for_each(as_sent);
    assert_eq!(answer.rows, [sent]);
}
