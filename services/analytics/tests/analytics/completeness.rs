//! The account of every proxy: what it reports against what was stored.

use std::collections::HashMap;

use modash_proto::{
    timestamp_from_micros,
    v1::{
        CompletenessRequest, CompletenessState, Hello, ReplicaCompleteness, ReplicaStats,
        UsageEvent, stream_usage_request::Message as Up,
    },
};
use modash_test_support::{event, eventually};

use crate::harness::{PATIENCE, TestAnalytics, TestProxy, event_at};

async fn accounts(analytics: &TestAnalytics) -> HashMap<String, ReplicaCompleteness> {
    let answer = analytics.client().await.completeness(CompletenessRequest {}).await.unwrap();
    let replicas = answer.into_inner().replicas.into_iter();
    replicas.map(|replica| (replica.replica_id.clone(), replica)).collect()
}

/// The account of a replica whose last report says so.
async fn account(
    analytics: &TestAnalytics,
    replica_id: &str,
    reported: &ReplicaStats,
) -> ReplicaCompleteness {
    eventually(PATIENCE, || async {
        let account = accounts(analytics).await.remove(replica_id);
        account.filter(|account| account.reported.as_ref() == Some(reported))
    })
    .await
}

/// A stream of a process that started at a second of 2026.
async fn proxy_started_at(analytics: &TestAnalytics, second: i64) -> TestProxy {
    let proxy = TestProxy::connect_silent(analytics).await;
    let hello = Hello {
        replica_id: "a".into(),
        version: "1.2.3".into(),
        next_sequence: 1,
        process_started_at: Some(timestamp_from_micros((1_767_225_600 + second) * 1_000_000)),
        ..Hello::default()
    };
    proxy.say(Up::Hello(hello)).await;
    proxy
}

fn stats(finished: u64, acknowledged: u64) -> ReplicaStats {
    ReplicaStats {
        started: finished,
        finished,
        queued: finished - acknowledged,
        acknowledged,
        recovered: Some(0),
        interrupted: Some(0),
        ..ReplicaStats::default()
    }
}

#[tokio::test]
async fn the_account_adds_up_what_was_stored_repeated_and_rejected() {
    let analytics = TestAnalytics::start().await;
    let mut proxy = proxy_started_at(&analytics, 0).await;
    let twice = event();
    let bad = UsageEvent { event_id: "bad".into(), ..event() };
    let future = event_at("9999-01-01T00:00:00Z");
    let last = proxy.send(vec![twice.clone(), twice.clone(), event(), bad, future]).await;
    assert_eq!(proxy.acknowledged(last).await.len(), 2);
    let last = proxy.send(vec![twice]).await;
    assert_eq!(proxy.acknowledged(last).await, []);

    let mut reported = stats(6, 6);
    reported.rejected = 2;
    proxy.say(Up::Stats(reported)).await;
    let account = account(&analytics, "a", &reported).await;
    assert_eq!((account.committed, account.duplicate, account.rejected), (2, 2, 2));
    assert_eq!((account.missing, account.unaccounted), (0, Some(0)));
    assert_eq!(account.version, "1.2.3");
    assert_eq!(account.state(), CompletenessState::Lossy, "two were rejected");
}

#[tokio::test]
async fn an_acknowledged_event_that_is_not_there_is_seen() {
    let analytics = TestAnalytics::start().await;
    let mut proxy = proxy_started_at(&analytics, 0).await;
    let last = proxy.send(vec![event(), event()]).await;
    proxy.acknowledged(last).await;
    for (acknowledged, state) in [(2, CompletenessState::Complete), (3, CompletenessState::Lossy)] {
        let reported = stats(acknowledged, acknowledged);
        proxy.say(Up::Stats(reported)).await;
        let account = account(&analytics, "a", &reported).await;
        assert_eq!((account.missing, account.state()), (acknowledged - 2, state));
    }
    let waiting = stats(5, 2);
    proxy.say(Up::Stats(waiting)).await;
    let account = account(&analytics, "a", &waiting).await;
    assert_eq!(account.state(), CompletenessState::Waiting);
}

#[tokio::test]
async fn a_restarted_proxy_begins_a_new_account_and_keeps_its_earlier_losses() {
    let analytics = TestAnalytics::start().await;
    let mut proxy = proxy_started_at(&analytics, 0).await;
    let last = proxy.send(vec![event(), UsageEvent::default()]).await;
    proxy.acknowledged(last).await;
    let mut lossy = stats(9, 2);
    (lossy.queued, lossy.dropped) = (0, 7);
    proxy.say(Up::Stats(lossy)).await;
    account(&analytics, "a", &lossy).await;
    drop(proxy);

    let mut proxy = proxy_started_at(&analytics, 60).await;
    let last = proxy.send(vec![event()]).await;
    proxy.acknowledged(last).await;
    proxy.say(Up::Stats(stats(1, 1))).await;
    let account = account(&analytics, "a", &stats(1, 1)).await;
    assert_eq!((account.committed, account.rejected), (1, 0));
    assert_eq!((account.dropped_before, account.rejected_before), (7, 1));
    assert_eq!(account.state(), CompletenessState::Complete);
}

#[tokio::test]
async fn every_replica_of_analytics_knows_the_account_also_after_a_restart() {
    let analytics = TestAnalytics::start().await;
    let mut proxy = proxy_started_at(&analytics, 0).await;
    let last = proxy.send(vec![event()]).await;
    proxy.acknowledged(last).await;
    // Reported at the last moment: written by the stop.
    proxy.say(Up::Stats(stats(1, 1))).await;
    let url = analytics.database.url();
    let other =
        TestAnalytics::start_on(modash_test_support::TestDatabase::create().await, &url, |_| {})
            .await;
    other.ready().await;
    let account = account(&other, "a", &stats(1, 1)).await;
    assert_eq!((account.committed, account.state()), (1, CompletenessState::Complete));
    other.stop().await;
}

#[tokio::test]
async fn a_repeat_from_another_replica_counts_as_a_repeat_there() {
    let analytics = TestAnalytics::start().await;
    let event = event();
    for replica in ["one", "other"] {
        let mut proxy = TestProxy::connect(&analytics, replica).await;
        let last = proxy.send(vec![event.clone()]).await;
        proxy.acknowledged(last).await;
        proxy.say(Up::Stats(stats(1, 1))).await;
        account(&analytics, replica, &stats(1, 1)).await;
    }
    let accounts = accounts(&analytics).await;
    assert_eq!((accounts["one"].committed, accounts["one"].duplicate), (1, 0));
    assert_eq!((accounts["other"].committed, accounts["other"].duplicate), (0, 1));
}
