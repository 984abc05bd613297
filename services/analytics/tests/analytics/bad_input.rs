//! Input that no well-meaning caller sends: questions that cannot be answered are
//! refused with every field that is wrong, texts made to break out of something
//! are stored and found like any other.

use std::collections::HashMap;

use modash_proto::{
    duration_from_micros,
    v1::{
        ErrorBreakdownRequest, Exclusion, Filter, GroupBy, ListMarksRequest, LiveRequest,
        ModelBreakdownRequest, RecentRequestsRequest, SubscribeRequest,
        ThroughputTimeseriesRequest, TimeRange, UsageEvent, UsageSummaryRequest,
        UsageTimeseriesRequest, group_by::By, subscribe_response,
    },
};
use modash_test_support::{as_sent, event};
use tonic::Code;

use crate::harness::{TestAnalytics, TestProxy, range, violated};

/// Texts that mean something to SQL, to `COPY`, to a page, to a shell, to logs, or to
/// whoever measures lengths.
const TEXTS: [&str; 13] = [
    "'; DROP TABLE requests; --",
    "\" OR 1=1 --",
    "$1 $$ %s {} {{7*7}} ${HOME} `id`",
    "\\N \\. \\",
    "<script>alert(1)</script>",
    "../../../etc/passwd",
    "=cmd|' /C calc'!A0",
    "\u{202e}txt.exe\u{feff}",
    "e\u{301} 👩‍👩‍👧‍👦 \u{10ffff}",
    "{\"a\":[null]}",
    "%00%0d%0aSet-Cookie: a=b",
    "NULL",
    " ",
];

fn all_time() -> Option<TimeRange> {
    range("2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z")
}

/// Ninety days, which is a range for any of the questions.
fn days() -> Option<TimeRange> {
    range("2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z")
}

#[tokio::test]
async fn a_zone_that_there_is_not_is_refused_by_each_question_that_has_one() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    for zone in ["Mars/Olympus", "CEST+1", "'; DROP TABLE series; --", "Europe/Berlin\0"] {
        let (range, time_zone) = (days(), zone.to_owned());
        let usage = UsageTimeseriesRequest { range, time_zone, ..Default::default() };
        let status = client.usage_timeseries(usage.clone()).await.unwrap_err();
        assert_eq!(violated(&status), ["time_zone"], "{zone}");
        let UsageTimeseriesRequest { range, time_zone, .. } = usage;
        let throughput = ThroughputTimeseriesRequest { range, time_zone, ..Default::default() };
        let status = client.throughput_timeseries(throughput).await.unwrap_err();
        assert_eq!(violated(&status), ["time_zone"], "{zone}");
    }
}

#[tokio::test]
async fn a_range_that_ends_before_it_begins_is_refused_by_every_question() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    let range = range("2026-04-01T00:00:00Z", "2026-01-01T00:00:00Z");
    let refusals = [
        client.usage_summary(UsageSummaryRequest { range, ..Default::default() }).await.err(),
        client.usage_timeseries(UsageTimeseriesRequest { range, ..Default::default() }).await.err(),
        client
            .throughput_timeseries(ThroughputTimeseriesRequest { range, ..Default::default() })
            .await
            .err(),
        client.model_breakdown(ModelBreakdownRequest { range, ..Default::default() }).await.err(),
        client
            .recent_requests(RecentRequestsRequest {
                range,
                page: 1,
                page_size: 1,
                ..Default::default()
            })
            .await
            .err(),
        client.error_breakdown(ErrorBreakdownRequest { range, ..Default::default() }).await.err(),
        client.list_marks(ListMarksRequest { range }).await.err(),
    ];
    for status in refusals {
        let fields = violated(&status.unwrap());
        assert!(fields[0].starts_with("range"), "{fields:?}");
    }
}

#[tokio::test]
async fn all_mistakes_of_a_question_are_named_at_once() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    let filter = Filter {
        models: vec!["m".into(); 101],
        users: vec!["a\0b".into()],
        tags: HashMap::from([("a\0".into(), String::new())]),
        trace_ids: vec!["4bf92f35-77b3-4da6-a3ce-929d0e0e4736".into()],
        exclude: Some(Exclusion {
            operations: vec![1; 101],
            sessions: vec!["\0".into()],
            ..Default::default()
        }),
        min_prompt_tokens: Some(2),
        max_prompt_tokens: Some(1),
        ..Default::default()
    };
    let request = UsageTimeseriesRequest {
        range: days(),
        filter: Some(filter),
        time_zone: "nowhere".into(),
        bucket_seconds: 0,
        group_by: Some(GroupBy { by: Some(By::Tag("t".repeat(65))) }),
        top: 51,
    };
    let status = client.usage_timeseries(request).await.unwrap_err();
    let mut fields = violated(&status);
    fields.sort();
    assert_eq!(
        fields,
        [
            "filter.exclude.operations",
            "filter.exclude.sessions",
            "filter.min_prompt_tokens",
            "filter.models",
            "filter.tags",
            "filter.trace_ids",
            "filter.users",
            "group_by.tag",
            "time_zone",
            "top"
        ]
    );
}

#[tokio::test]
async fn a_bucket_that_is_too_fine_is_refused_before_the_database_is_asked() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    for bucket_seconds in [1, 60, 604_801, u32::MAX] {
        let usage = UsageTimeseriesRequest { range: days(), bucket_seconds, ..Default::default() };
        let status = client.usage_timeseries(usage).await.unwrap_err();
        assert_eq!(violated(&status), ["bucket_seconds"], "{bucket_seconds}");
        let throughput =
            ThroughputTimeseriesRequest { range: days(), bucket_seconds, ..Default::default() };
        let status = client.throughput_timeseries(throughput).await.unwrap_err();
        assert_eq!(violated(&status), ["bucket_seconds"], "{bucket_seconds}");
    }
}

#[tokio::test]
async fn a_filter_with_a_million_values_is_refused_and_the_next_question_is_answered() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    let ask = |models: Vec<String>| {
        let filter = Some(Filter { models, ..Default::default() });
        UsageSummaryRequest { filter, ..Default::default() }
    };
    let short = client.usage_summary(ask(vec!["m".into(); 1_000_000])).await.unwrap_err();
    assert_eq!(violated(&short), ["filter.models"]);
    // Too long to be read at all.
    let long = client.usage_summary(ask(vec!["m".repeat(40); 1_000_000])).await.unwrap_err();
    assert_eq!(long.code(), Code::OutOfRange, "{long:?}");
    assert!(long.message().contains("limit"), "{long:?}");
    assert_eq!(client.usage_summary(ask(vec!["m".into()])).await.unwrap().into_inner().requests, 0);
}

/// An event that has a text in each field that takes any.
fn event_of(text: &str) -> UsageEvent {
    let some = || Some(text.to_owned());
    UsageEvent {
        replica_id: text.into(),
        upstream: text.into(),
        dialect: text.into(),
        method: text.chars().take(8).collect(),
        path: text.into(),
        model_requested: some(),
        user_agent_family: some(),
        client_key: some(),
        user: some(),
        session: some(),
        model: some(),
        response_id: some(),
        finish_reason: some(),
        service_tier: some(),
        error_type: some(),
        tags: HashMap::from([(text.into(), text.into())]),
        ..event()
    }
}

#[tokio::test]
async fn texts_made_to_break_out_come_back_as_they_were_and_are_found_by_every_filter() {
    let analytics = TestAnalytics::start().await;
    let events: Vec<_> = TEXTS.into_iter().map(event_of).collect();
    analytics.store(events.clone()).await;
    let mut client = analytics.client().await;
    let mut recent = async |filter: Filter| {
        let filter = Some(filter);
        let request =
            RecentRequestsRequest { page: 1, page_size: 100, filter, ..Default::default() };
        let mut answer = client.recent_requests(request).await.unwrap().into_inner();
        answer.rows.iter_mut().for_each(as_sent);
        answer
    };
    let all = recent(Filter::default()).await;
    assert_eq!(all.total, TEXTS.len() as u64);
    for (text, event) in TEXTS.into_iter().zip(&events) {
        assert!(all.rows.contains(event), "{text:?} came back otherwise");
        let values = || vec![text.to_owned()];
        for filter in [
            Filter { models: values(), ..Default::default() },
            Filter { upstreams: values(), ..Default::default() },
            Filter { dialects: values(), ..Default::default() },
            Filter { client_keys: values(), ..Default::default() },
            Filter { users: values(), ..Default::default() },
            Filter { sessions: values(), ..Default::default() },
            Filter { tags: event.tags.clone(), ..Default::default() },
        ] {
            let found = recent(filter.clone()).await;
            assert_eq!(found.rows, std::slice::from_ref(event), "{filter:?}");
            assert_eq!(found.total, 1, "{filter:?}");
        }
    }
}

/// Texts that older proxies send, and what is stored of them.
fn texts_to_clean() -> [(String, String); 6] {
    let pair = |sent: &str, stored: &str| (sent.to_owned(), stored.to_owned());
    [
        pair("a\0", "a\u{fffd}"),
        pair("\0\0", "\u{fffd}\u{fffd}"),
        pair("\\N\t\\.\n\r\u{b}", "\\N\u{fffd}\\.\u{fffd}\u{fffd}\u{fffd}"),
        pair("\u{1b}[31mred\u{7}", "\u{fffd}[31mred\u{fffd}"),
        pair("\u{7f}\u{85}\u{9f}", "\u{fffd}\u{fffd}\u{fffd}"),
        (format!("{}\0", "ä".repeat(4_000)), "ä".repeat(4_000)),
    ]
}

#[tokio::test]
async fn no_text_whatever_keeps_an_event_out_of_the_totals() {
    let analytics = TestAnalytics::start().await;
    let fitting = |text: &str, bytes: usize| text[..text.floor_char_boundary(bytes)].to_owned();
    for (sent, stored) in texts_to_clean() {
        let event = UsageEvent { method: sent.clone(), ..event_of(&sent) };
        analytics.store(vec![event.clone()]).await;
        let some = |bytes| Some(fitting(&stored, bytes));
        let expected = UsageEvent {
            replica_id: fitting(&stored, 128),
            upstream: fitting(&stored, 128),
            dialect: fitting(&stored, 64),
            method: fitting(&stored, 32),
            path: fitting(&stored, 512),
            model_requested: some(256),
            user_agent_family: some(64),
            client_key: some(64),
            user: some(128),
            session: some(128),
            model: some(256),
            response_id: some(128),
            finish_reason: some(64),
            service_tier: some(64),
            error_type: some(128),
            tags: HashMap::from([(fitting(&stored, 64), fitting(&stored, 128))]),
            ..event
        };
        let filter = Some(Filter { users: vec![fitting(&stored, 128)], ..Default::default() });
        let request = RecentRequestsRequest { page: 1, page_size: 9, filter, ..Default::default() };
        let mut found =
            analytics.client().await.recent_requests(request).await.unwrap().into_inner();
        found.rows.iter_mut().for_each(as_sent);
        assert_eq!(found.rows, [expected], "{sent:?}");
    }
    let summary = UsageSummaryRequest { range: all_time(), ..Default::default() };
    let summary = analytics.client().await.usage_summary(summary).await.unwrap().into_inner();
    assert_eq!(summary.requests, texts_to_clean().len() as u64);
}

#[tokio::test]
async fn texts_of_a_hello_and_of_running_requests_are_cleaned() {
    let analytics = TestAnalytics::start().await;
    let long = format!("r\0{}", "x".repeat(200));
    let mut proxy = TestProxy::connect(&analytics, &long).await;
    let running = LiveRequest {
        event_id: event().event_id,
        replica_id: "r\0".into(),
        upstream: "u\0".into(),
        dialect: "d\0".into(),
        path: format!("/{}", "p\0".repeat(9_000)),
        model: Some("m\0".into()),
        client_key: Some("k\0".into()),
        user: Some("n\0".into()),
        ..LiveRequest::default()
    };
    proxy.report(true, vec![running]).await;
    let last = proxy.send(vec![event()]).await;
    assert_eq!(proxy.acknowledged(last).await, []);
    let live = SubscribeRequest::default();
    let mut messages = analytics.client().await.subscribe(live).await.unwrap().into_inner();
    let first = messages.message().await.unwrap().unwrap().message;
    let Some(subscribe_response::Message::Connected(connected)) = first else {
        panic!("{first:?}")
    };
    let shown = &connected.requests[0];
    assert_eq!((shown.upstream.as_str(), shown.model.as_deref()), ("u\u{fffd}", Some("m\u{fffd}")));
    assert_eq!((shown.user.as_deref(), shown.dialect.as_str()), (Some("n\u{fffd}"), "d\u{fffd}"));
    assert_eq!(shown.path.len(), 510);
}

#[tokio::test]
async fn each_number_that_would_spoil_a_sum_is_kept_in_quarantine_with_its_reason() {
    let analytics = TestAnalytics::start().await;
    let forever = || Some(duration_from_micros(i64::MAX));
    let events = vec![
        UsageEvent { prompt_tokens: Some(u64::MAX), ..event() },
        UsageEvent { total_tokens: Some(i64::MAX as u64), ..event() },
        UsageEvent { prompt_tokens: Some(1), cached_prompt_tokens: Some(99), ..event() },
        UsageEvent { upstream_cost_usd: Some(f64::INFINITY), ..event() },
        UsageEvent { search_units: Some(f64::NAN), ..event() },
        UsageEvent { decode_tokens_per_second: Some(-1.0), ..event() },
        UsageEvent { duration: forever(), ..event() },
        UsageEvent { response_bytes: u64::MAX, ..event() },
    ];
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    let last = proxy.send(events).await;
    let rejects = proxy.acknowledged(last).await;
    let reasons: Vec<_> = rejects.iter().map(|reject| reject.reason.as_str()).collect();
    let expected = [
        "prompt_tokens is out of range",
        "total_tokens is out of range",
        "cached_prompt_tokens is more than the whole that it is a part of",
        "upstream_cost_usd is out of range",
        "search_units is out of range",
        "decode_tokens_per_second is out of range",
        "duration is out of range",
        "response_bytes is out of range",
    ];
    assert_eq!(reasons, expected);
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT reason FROM quarantine ORDER BY quarantine_id")
            .fetch_all(&mut analytics.connection().await)
            .await
            .unwrap();
    assert_eq!(kept, expected);
    assert_eq!(analytics.stored().await, 0);
}

#[tokio::test]
async fn a_tag_made_to_break_out_can_be_grouped_by() {
    let analytics = TestAnalytics::start().await;
    analytics.store(TEXTS.into_iter().map(event_of).collect()).await;
    let mut client = analytics.client().await;
    for text in TEXTS {
        let request = UsageTimeseriesRequest {
            group_by: Some(GroupBy { by: Some(By::Tag(text.into())) }),
            range: range("2020-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ..Default::default()
        };
        let answer = client.usage_timeseries(request).await.unwrap().into_inner();
        let keys: Vec<_> = answer.series.iter().map(|series| series.key.as_str()).collect();
        assert!(keys.contains(&text), "{text:?}: {keys:?}");
    }
}

#[tokio::test]
async fn a_page_token_that_was_made_up_is_refused() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    for token in TEXTS.into_iter().chain(["AAAA", "____", "0"]) {
        let request = RecentRequestsRequest {
            page: 1,
            page_size: 1,
            page_token: token.into(),
            ..Default::default()
        };
        let status = client.recent_requests(request).await.unwrap_err();
        assert_eq!(violated(&status), ["page_token"], "{token:?}");
    }
}
