//! What a caller with a token of the role ingest can say that is not so, and that it
//! changes nothing.

use std::collections::BTreeSet;

use modash_proto::{
    duration_from_micros, timestamp_from_micros,
    v1::{
        CompletenessRequest, Hello, ReplicaStats, TimeRange, UsageEvent, UsageSummaryRequest,
        UsageSummaryResponse, stream_usage_request::Message as Up,
    },
};
use modash_test_support::{another, event, event_at, eventually};

use uuid::Uuid;

use crate::harness::{PATIENCE, TestAnalytics, TestProxy};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// The totals of all time, from the rollups as far as they go.
async fn summary(analytics: &TestAnalytics) -> UsageSummaryResponse {
    let wire = |micros| Some(timestamp_from_micros(micros));
    let range = Some(TimeRange { start: wire(now() - 5 * DAY), end: wire(now() + 3 * DAY) });
    let request = UsageSummaryRequest { range, ..Default::default() };
    analytics.client().await.usage_summary(request).await.unwrap().into_inner()
}

fn refused(reason: &str) -> String {
    format!("modash_analytics_ingest_rejected_events_total{{reason=\"{reason}\"}}")
}

#[tokio::test]
async fn an_event_that_comes_again_with_another_start_is_one_event() {
    let analytics = TestAnalytics::start().await;
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    let start = now() - 3_600 * SECOND;
    let first = event_at(start);
    let last = proxy.send(vec![first.clone()]).await;
    assert_eq!(proxy.acknowledged(last).await, []);
    // In the same microsecond, millisecond, minute, day and partition, and in others.
    let starts = [1, 999, 1_000, SECOND, -SECOND, 60 * SECOND, DAY, -DAY, -3 * DAY];
    let again: Vec<_> = starts
        .iter()
        .map(|offset| UsageEvent {
            started_at: Some(timestamp_from_micros(start + offset)),
            prompt_tokens: Some(1_000_000),
            ..first.clone()
        })
        .collect();
    let all: Vec<_> = again.iter().cloned().chain([first.clone(), first.clone()]).collect();
    let last = proxy.send(all).await;
    assert_eq!(proxy.acknowledged(last).await, [], "known already, as any repeat");
    // The same from another proxy, for which it is the first that it hears of.
    let mut other = TestProxy::connect(&analytics, "b").await;
    let foreign = UsageEvent { replica_id: "b".into(), ..again[0].clone() };
    let last = other.send(vec![foreign]).await;
    assert_eq!(other.acknowledged(last).await, []);
    assert_eq!(analytics.stored().await, 1);
    let summary = summary(&analytics).await;
    assert_eq!((summary.requests, summary.prompt_tokens), (1, first.prompt_tokens.unwrap()));
}

#[tokio::test]
async fn an_id_that_names_no_start_is_one_event_too() {
    let analytics = TestAnalytics::start().await;
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    let start = now() - 3_600 * SECOND;
    let ids = [Uuid::now_v7(), Uuid::new_v4(), Uuid::max()];
    let at =
        |id: &Uuid, offset| UsageEvent { event_id: id.to_string(), ..event_at(start + offset) };
    // In one batch, then each for itself; the first start of each stays.
    let together: Vec<_> = ids.iter().flat_map(|id| [at(id, 0), at(id, 1), at(id, DAY)]).collect();
    let last = proxy.send(together).await;
    assert_eq!(proxy.acknowledged(last).await, []);
    assert_eq!(analytics.stored().await, 3);
    for offset in [0, 1, -DAY, SECOND] {
        let last = proxy.send(ids.iter().map(|id| at(id, offset)).collect()).await;
        assert_eq!(proxy.acknowledged(last).await, []);
    }
    assert_eq!(analytics.stored().await, 3);
    let summary = summary(&analytics).await;
    let tokens = event().prompt_tokens.unwrap();
    assert_eq!((summary.requests, summary.prompt_tokens), (3, 3 * tokens));
}

#[tokio::test]
async fn numbers_that_cannot_be_are_kept_in_quarantine_and_counted() {
    let analytics = TestAnalytics::start_with(|config| config.retention_days = 3).await;
    let mut proxy = TestProxy::connect(&analytics, "a").await;
    let micros = |micros: i64| prost_types::Duration {
        seconds: micros / SECOND,
        nanos: i32::try_from(micros % SECOND * 1_000).unwrap(),
    };
    let cases: Vec<(&str, &str, UsageEvent)> = vec![
        ("future", "too_new", event_at(now() + 2 * DAY)),
        ("past", "too_old", event_at(now() - 9 * DAY)),
        (
            "before 1970",
            "too_old",
            UsageEvent { started_at: Some(timestamp_from_micros(-1)), ..event() },
        ),
        (
            "negative rate",
            "invalid",
            UsageEvent { decode_tokens_per_second: Some(-0.5), ..event() },
        ),
        ("negative cost", "invalid", UsageEvent { upstream_cost_usd: Some(-1.0), ..event() }),
        ("no number", "invalid", UsageEvent { search_units: Some(f64::NAN), ..event() }),
        (
            "infinite",
            "invalid",
            UsageEvent { prefill_tokens_per_second: Some(f64::INFINITY), ..event() },
        ),
        ("negative time", "invalid", UsageEvent { duration: Some(micros(-1)), ..event() }),
        (
            "two years",
            "invalid",
            UsageEvent { first_token: Some(duration_from_micros(731 * DAY)), ..event() },
        ),
        (
            "tokens of all books",
            "invalid",
            UsageEvent { completion_tokens: Some(1_000_000_001), ..event() },
        ),
        (
            "more cached than sent",
            "invalid",
            UsageEvent { prompt_tokens: Some(1), cached_prompt_tokens: Some(2), ..event() },
        ),
        ("a petabyte and more", "invalid", UsageEvent { response_bytes: (1 << 50) + 1, ..event() }),
        (
            "another replica",
            "foreign_replica",
            UsageEvent { replica_id: "invented".into(), ..event() },
        ),
    ];
    let good = event();
    let before = |reason| analytics.metric(&refused(reason));
    for (name, reason, event) in &cases {
        // A label that was never counted is not shown.
        let counted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| before(reason)));
        let counted = counted.unwrap_or(0.0);
        let last = proxy.send(vec![event.clone()]).await;
        assert_eq!(proxy.acknowledged(last).await.len(), 1, "{name}");
        assert_eq!(before(reason), counted + 1.0, "{name}");
    }
    let last = proxy.send(vec![good.clone()]).await;
    assert_eq!(proxy.acknowledged(last).await, []);
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT event_id FROM quarantine ORDER BY quarantine_id")
            .fetch_all(&mut analytics.connection().await)
            .await
            .unwrap();
    let sent: Vec<_> = cases.iter().map(|(_, _, event)| event.event_id.clone()).collect();
    assert_eq!(kept.iter().collect::<BTreeSet<_>>(), sent.iter().collect());
    let summary = summary(&analytics).await;
    assert_eq!((summary.requests, summary.total_tokens), (1, good.total_tokens.unwrap()));
}

#[tokio::test]
async fn forged_statistics_and_invented_replicas_change_no_number() {
    let analytics = TestAnalytics::start().await;
    let mut honest = TestProxy::connect(&analytics, "honest").await;
    let last = honest.send(vec![event(), event()]).await;
    assert_eq!(honest.acknowledged(last).await, []);
    let expected = summary(&analytics).await;
    let forged = ReplicaStats {
        started: u64::MAX,
        finished: u64::MAX,
        queued: u64::MAX,
        spooled: u64::MAX,
        sent: u64::MAX,
        acknowledged: u64::MAX,
        dropped: u64::MAX,
        rejected: u64::MAX,
        oldest_unsent_at: Some(prost_types::Timestamp { seconds: i64::MIN, nanos: -1 }),
        recovered: Some(u64::MAX),
        interrupted: Some(u64::MAX),
        damaged: u64::MAX,
        stopped: true,
    };
    // Two lives of one that is not there, and one that is.
    let mut open = Vec::new();
    for (replica, life) in [("invented", 1), ("invented", 2), ("honest", 3)] {
        let proxy = TestProxy::connect_silent(&analytics).await;
        let process_started_at = Some(timestamp_from_micros(now() + life * DAY));
        let hello = Hello { replica_id: replica.into(), process_started_at, ..Hello::default() };
        proxy.say(Up::Hello(hello)).await;
        proxy.say(Up::Stats(forged)).await;
        open.push(proxy);
    }
    let accounts = eventually(PATIENCE, || async {
        let answer = analytics.client().await.completeness(CompletenessRequest {}).await;
        let replicas = answer.map_err(|status| status.to_string())?.into_inner().replicas;
        let invented = replicas.iter().any(|account| account.dropped_before == u64::MAX);
        if invented { Ok(replicas) } else { Err(format!("{replicas:?}")) }
    })
    .await;
    assert!(accounts.iter().all(|account| account.committed <= 2), "{accounts:?}");
    let found = summary(&analytics).await;
    assert_eq!((found.requests, found.total_tokens), (expected.requests, expected.total_tokens));
    // The honest one goes on.
    let last = honest.send(vec![another(event())]).await;
    assert_eq!(honest.acknowledged(last).await, []);
    assert_eq!(summary(&analytics).await.requests, expected.requests + 1);
}
