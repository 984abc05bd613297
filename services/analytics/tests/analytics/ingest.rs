//! Receiving events: what is acknowledged is stored, and stored once.

use std::collections::HashMap;

use futures_util::FutureExt as _;
use modash_proto::{
    duration_from_micros,
    v1::{
        EventBatch, Hello, LogHistogram, RecentRequestsRequest, ReplicaStats, StreamUsageRequest,
        UsageEvent, stream_usage_request::Message as Up,
    },
};
use modash_test_support::{as_sent, event, eventually, stream_event};
use sqlx::Connection as _;
use tonic::Code;

use crate::harness::{PATIENCE, TestAnalytics, TestProxy, event_at};

async fn newest(analytics: &TestAnalytics) -> UsageEvent {
    let request = RecentRequestsRequest { page: 1, page_size: 1, ..Default::default() };
    let answer = analytics.client().await.recent_requests(request).await.unwrap().into_inner();
    let mut newest = answer.rows[0].clone();
    as_sent(&mut newest);
    newest
}

#[tokio::test]
async fn a_batch_is_acknowledged_only_after_its_commit() {
    let analytics = TestAnalytics::start().await;
    let mut connection = analytics.connection().await;
    let mut holder = connection.begin().await.unwrap();
    sqlx::query("LOCK TABLE requests").execute(&mut *holder).await.unwrap();
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    let last = proxy.send(vec![event(), event()]).await;
    analytics.blocked_by_a_lock().await;
    assert!(proxy.down.message().now_or_never().is_none(), "answered before the commit");
    holder.rollback().await.unwrap();
    assert_eq!(proxy.acknowledged(last).await, []);
    assert_eq!(analytics.stored().await, 2);
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_stored_once_and_acknowledged_again() {
    let analytics = TestAnalytics::start().await;
    let events = vec![event(), stream_event()];
    for _ in 0..2 {
        let mut proxy = TestProxy::connect(&analytics, "a").await;
        let last = proxy.send(events.clone()).await;
        assert_eq!(proxy.acknowledged(last).await, []);
    }
    assert_eq!(analytics.stored().await, 2);
    assert_eq!(analytics.metric("modash_analytics_ingest_committed_events_total") as i64, 2);
    assert_eq!(analytics.metric("modash_analytics_ingest_duplicate_events_total") as i64, 2);
}

#[tokio::test]
async fn an_event_twice_in_one_batch_is_stored_once() {
    let analytics = TestAnalytics::start().await;
    let event = event();
    analytics.store(vec![event.clone(), event]).await;
    assert_eq!(analytics.stored().await, 1);
}

#[tokio::test]
async fn overlapping_batches_of_two_streams_are_stored_once() {
    let analytics = TestAnalytics::start().await;
    let events: Vec<_> = (0..600).map(|_| event()).collect();
    let mut reversed = events.clone();
    reversed.reverse();
    let mut one = TestProxy::connect(&analytics, "a").await;
    let mut other = TestProxy::connect(&analytics, "b").await;
    let (mut last_one, mut last_other) = (0, 0);
    for (forward, backward) in events.chunks(50).zip(reversed.chunks(50)) {
        last_one = one.send(forward.to_vec()).await;
        last_other = other.send(backward.to_vec()).await;
    }
    let rejects = tokio::join!(one.acknowledged(last_one), other.acknowledged(last_other));
    assert_eq!(rejects, (vec![], vec![]));
    assert_eq!(analytics.stored().await, 600);
}

#[tokio::test]
async fn an_event_comes_back_as_it_was_sent() {
    let analytics = TestAnalytics::start().await;
    let event = UsageEvent {
        user: Some("ana".into()),
        client_key: Some("0123456789abcdef".into()),
        session: Some("s".into()),
        trace_id: Some("00f067aa0ba902b7a3ce929d0e0e4736".into()),
        span_id: Some(u64::MAX),
        parent_span_id: Some(1),
        tags: HashMap::from([("team".into(), "blue".into()), ("'; DROP".into(), "\"{}".into())]),
        response_id: Some("chatcmpl-1".into()),
        service_tier: Some("flex".into()),
        error_type: Some("odd".into()),
        cache_write_tokens: Some(7),
        reasoning_tokens: Some(0),
        audio_prompt_tokens: Some(1),
        audio_completion_tokens: Some(2),
        cached_audio_prompt_tokens: Some(0),
        image_prompt_tokens: Some(258),
        image_completion_tokens: Some(0),
        images: Some(2),
        characters: Some(0),
        billed_prompt_tokens: Some(3),
        billed_completion_tokens: Some(1_000_000_000),
        billed_audio: Some(duration_from_micros(1_500_000)),
        search_units: Some(1.5),
        upstream_cost_usd: Some(0.1),
        token_gaps: Some(LogHistogram { indexes: vec![0, 7, 1023], counts: vec![1, 200, 3] }),
        // Numbers that a newer proxy may send.
        outcome: 99,
        operation: 77,
        ..stream_event()
    };
    analytics.store(vec![event.clone()]).await;
    assert_eq!(newest(&analytics).await, event);
}

#[tokio::test]
async fn what_is_unknown_comes_back_unknown() {
    let analytics = TestAnalytics::start().await;
    let whole = event();
    let event = UsageEvent {
        event_id: whole.event_id,
        replica_id: "old proxy".into(),
        started_at: whole.started_at,
        ..UsageEvent::default()
    };
    analytics.store(vec![event.clone()]).await;
    assert_eq!(newest(&analytics).await, event);
}

#[tokio::test]
async fn an_event_that_can_never_be_stored_is_rejected_and_kept_and_the_others_are_stored() {
    let analytics = TestAnalytics::start().await;
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    let no_id = UsageEvent { event_id: "no\0id".into(), ..event() };
    let absurd =
        UsageEvent { prompt_tokens: Some(100), cached_prompt_tokens: Some(9_900), ..event() };
    let last = proxy.send(vec![event(), no_id, event(), absurd.clone()]).await;
    let rejects = proxy.acknowledged(last).await;
    let told: Vec<_> = rejects
        .iter()
        .map(|reject| (reject.sequence, reject.event_id.as_str(), reject.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (2, "no\0id", "event_id is not a UUID of 36 characters"),
            (4, absurd.event_id.as_str(), MORE_THAN_THE_WHOLE)
        ]
    );
    assert_eq!(analytics.stored().await, 2);
    let kept: Vec<(String, String)> =
        sqlx::query_as("SELECT event_id, reason FROM quarantine ORDER BY quarantine_id")
            .fetch_all(&mut analytics.connection().await)
            .await
            .unwrap();
    assert_eq!(kept[0].0, "noid");
    assert_eq!(kept[1].1, MORE_THAN_THE_WHOLE);
}

const MORE_THAN_THE_WHOLE: &str =
    "cached_prompt_tokens is more than the whole that it is a part of";

#[tokio::test]
async fn no_text_keeps_an_event_out_of_the_totals() {
    let analytics = TestAnalytics::start().await;
    let odd = || "a\0\u{1b}[31m\u{85}".repeat(200);
    type Spoil = fn(&mut UsageEvent, String);
    let spoils: [Spoil; 15] = [
        |event, text| event.upstream = text,
        |event, text| event.dialect = text,
        |event, text| event.method = text,
        |event, text| event.path = text,
        |event, text| event.model_requested = Some(text),
        |event, text| event.user_agent_family = Some(text),
        |event, text| event.client_key = Some(text),
        |event, text| event.user = Some(text),
        |event, text| event.session = Some(text),
        |event, text| event.model = Some(text),
        |event, text| event.response_id = Some(text),
        |event, text| event.finish_reason = Some(text),
        |event, text| event.service_tier = Some(text),
        |event, text| event.error_type = Some(text),
        |event, text| event.tags = HashMap::from([(text.clone(), text)]),
    ];
    let events = spoils.iter().map(|spoil| {
        let mut event = event();
        spoil(&mut event, odd());
        event
    });
    // An older proxy's id may be odd, too.
    let mut proxy = TestProxy::connect(&analytics, "a\0b").await;
    let last = proxy.send(events.collect()).await;
    assert_eq!(proxy.acknowledged(last).await, []);
    let page = RecentRequestsRequest { page: 1, page_size: 100, ..Default::default() };
    let rows = analytics.client().await.recent_requests(page).await.unwrap().into_inner().rows;
    assert_eq!(rows.len(), spoils.len());
    assert!(rows.iter().all(|row| row.total_tokens == Some(150)));
    assert!(rows.iter().any(|row| row.user.as_ref().is_some_and(|user| {
        user.starts_with("a\u{fffd}\u{fffd}[31m\u{fffd}a") && user.len() <= 128
    })));
}

#[tokio::test]
async fn an_event_that_the_database_refuses_is_found_and_the_others_are_stored() {
    let analytics = TestAnalytics::start().await;
    sqlx::query("ALTER TABLE requests ADD CONSTRAINT poison CHECK (response_id <> 'poison')")
        .execute(&mut analytics.connection().await)
        .await
        .unwrap();
    let mut events: Vec<_> = (0..20).map(|_| event()).collect();
    events[13].response_id = Some("poison".into());
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    let last = proxy.send(events.clone()).await;
    let rejects = proxy.acknowledged(last).await;
    assert_eq!(rejects.len(), 1);
    assert_eq!((rejects[0].sequence, &rejects[0].event_id), (14, &events[13].event_id));
    assert!(!rejects[0].reason.contains("poison"), "{}", rejects[0].reason);
    assert_eq!(analytics.stored().await, 19);
}

#[tokio::test]
async fn an_event_of_a_wrong_time_is_rejected() {
    let analytics = TestAnalytics::start_with(|config| config.retention_days = 30).await;
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    let last = proxy.send(vec![event_at("2024-01-01T00:00:00Z"), event_at("9999-01-01T00:00:00Z")]);
    let last = last.await;
    let reasons: Vec<_> =
        proxy.acknowledged(last).await.into_iter().map(|reject| reject.reason).collect();
    assert_eq!(
        reasons,
        ["started_at is older than the retention", "started_at is more than a day ahead"]
    );
    assert_eq!(analytics.stored().await, 0);
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM quarantine")
        .fetch_one(&mut analytics.connection().await)
        .await
        .unwrap();
    assert_eq!(kept, 2);
}

#[tokio::test]
async fn a_stream_without_hello_is_refused() {
    let analytics = TestAnalytics::start().await;
    let mut proxy = TestProxy::connect_silent(&analytics).await;
    proxy
        .say(Up::Batch(EventBatch {
            first_sequence: 1,
            events: vec![event()],
            ..Default::default()
        }))
        .await;
    assert_eq!(proxy.answer().await.unwrap_err().code(), Code::InvalidArgument);
    let mut nameless = TestProxy::connect_silent(&analytics).await;
    nameless.say(Up::Hello(Hello::default())).await;
    assert_eq!(nameless.answer().await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(analytics.stored().await, 0);
}

#[tokio::test]
async fn a_gap_in_the_sequence_ends_the_stream_after_what_came_before_it() {
    let analytics = TestAnalytics::start().await;
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    let last = proxy.send(vec![event()]).await;
    proxy
        .say(Up::Batch(EventBatch {
            first_sequence: 3,
            events: vec![event()],
            ..Default::default()
        }))
        .await;
    assert_eq!(proxy.acknowledged(last).await, []);
    let status = proxy.answer().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("first_sequence"), "{}", status.message());
    assert_eq!(analytics.stored().await, 1);
}

#[tokio::test]
async fn a_message_that_only_a_newer_proxy_knows_is_passed_over() {
    let analytics = TestAnalytics::start().await;
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    proxy.up.send(StreamUsageRequest { message: None }).await.unwrap();
    let last = proxy.send(vec![event()]).await;
    assert_eq!(proxy.acknowledged(last).await, []);
}

#[tokio::test]
async fn counters_of_a_proxy_are_shown_while_it_is_connected() {
    let analytics = TestAnalytics::start().await;
    let proxy = TestProxy::connect(&analytics, "a").await;
    proxy.say(Up::Stats(ReplicaStats { dropped: 7, ..ReplicaStats::default() })).await;
    let line = "modash_analytics_replica_events{replica=\"a\",state=\"dropped\"} 7";
    let shown = || analytics.context.metrics.text().contains(line);
    eventually(PATIENCE, || async { shown() }).await;
    drop(proxy);
    eventually(PATIENCE, || async { !shown() }).await;
}

#[tokio::test]
async fn a_second_hello_ends_the_stream() {
    let analytics = TestAnalytics::start().await;
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    proxy.say(Up::Hello(Hello { replica_id: "b".into(), ..Hello::default() })).await;
    assert_eq!(proxy.answer().await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_stop_acknowledges_what_was_taken_in() {
    let analytics = TestAnalytics::start().await;
    let mut connection = analytics.connection().await;
    let mut holder = connection.begin().await.unwrap();
    sqlx::query("LOCK TABLE requests").execute(&mut *holder).await.unwrap();
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    let last = proxy.send(vec![event()]).await;
    analytics.blocked_by_a_lock().await;
    analytics.context.shutdown.request();
    holder.rollback().await.unwrap();
    assert_eq!(proxy.acknowledged(last).await, []);
    assert_eq!(proxy.answer().await.unwrap_err().code(), Code::Unavailable);
    analytics.stop().await;
}
