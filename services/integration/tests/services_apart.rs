//! Proxy, gateway and analytics as processes of their own, with a database that
//! somebody else runs.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::time::Duration;

use modash_integration::{PATIENCE, Services, Signal, post_json, rpc_value};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig, Stats};
use modash_test_support::{Relay, TestDatabase, eventually};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

async fn simulator() -> (String, Stats) {
    let simulator = Simulator::bind(SimulatorConfig::default()).await.unwrap();
    let (url, stats) = (simulator.url(), simulator.stats());
    tokio::spawn(simulator.run(Shutdown::new(Duration::from_secs(1))));
    (url, stats)
}

async fn send(services: &Services) {
    let request = json!({
        "model": "m", "max_tokens": 4, "messages": [{ "role": "user", "content": "one two" }]
    });
    let url = format!("{}/v1/chat/completions", services.proxy_url);
    let reply = post_json(&url, &[], &request).await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
}

async fn summary(services: &Services) -> Result<Value, String> {
    rpc_value(&services.gateway_url, "UsageSummary", &json!({})).await
}

async fn recorded(services: &Services, requests: u64) {
    eventually(PATIENCE, || async {
        let summary = summary(services).await?;
        if summary["requests"] == requests { Ok(()) } else { Err(summary.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_seconds_without_analytics_disturb_no_client_and_lose_nothing() {
    let (database, (upstream, stats)) = (TestDatabase::create().await, simulator().await);
    let mut services = Services::start(&database.url(), &upstream).await;
    send(&services).await;
    recorded(&services, 1).await;

    services.analytics.signal(Signal::TERM);
    assert!(services.analytics.ended().await.success(), "{}", services.analytics.output());
    let mut sent = 1;
    let away = tokio::time::Instant::now() + Duration::from_secs(10);
    while tokio::time::Instant::now() < away {
        send(&services).await;
        sent += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let failed = rpc_value(&services.gateway_url, "UsageSummary", &json!({})).await.unwrap_err();
    assert!(failed.contains("DatabaseError"), "{failed}");

    let listen = services.analytics_address.to_string();
    services.analytics = Services::start_analytics(&database.url(), &listen);
    recorded(&services, sent).await;
    assert_eq!(stats.completed(), sent);
    assert_eq!(summary(&services).await.unwrap()["promptTokens"], 2 * sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_comes_back_and_nothing_is_missing() {
    let (database, (upstream, _)) = (TestDatabase::create().await, simulator().await);
    let line = Relay::start(database.socket()).await;
    let services = Services::start(&database.url_through(line.address()), &upstream).await;
    send(&services).await;
    recorded(&services, 1).await;
    line.cut();
    for _ in 0..5 {
        send(&services).await;
    }
    eventually(PATIENCE, || async { summary(&services).await.is_err() }).await;
    line.restore();
    recorded(&services, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_analytics_is_replaced_without_loss_or_repetition() {
    let (database, (upstream, _)) = (TestDatabase::create().await, simulator().await);
    let mut services = Services::start(&database.url(), &upstream).await;
    for round in 1..=3 {
        for _ in 0..20 {
            send(&services).await;
        }
        services.analytics.signal(Signal::KILL);
        services.analytics.ended().await;
        let listen = services.analytics_address.to_string();
        services.analytics = Services::start_analytics(&database.url(), &listen);
        recorded(&services, 20 * round).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_applies_the_migrations_and_exits() {
    let database = TestDatabase::create().await;
    let settings = [("DATABASE_URL", database.url())];
    for _ in 0..2 {
        modash_integration::Process::start("modash-analytics", &settings, &["migrate"])
            .succeeds()
            .await;
    }
}

/// Waits until statements of queries run, or until none does: in less time than
/// they would need to end by themselves.
async fn statements(database: &TestDatabase, running: bool) {
    eventually(Duration::from_secs(5), || async {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND state <> 'idle'
               AND application_name = 'modash-analytics queries'",
        )
        .fetch_one(&mut PgConnection::connect(&database.url()).await.unwrap())
        .await
        .unwrap();
        (count > 0) == running
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_leaves_and_a_deadline_that_passes_end_the_statement() {
    let (database, (upstream, _)) = (TestDatabase::create().await, simulator().await);
    let services = Services::start(&database.url(), &upstream).await;
    let mut lock = PgConnection::connect(&database.url()).await.unwrap();
    let locking = "BEGIN; LOCK TABLE series IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(locking).execute(&mut lock).await.unwrap();
    let everything = json!({});
    for url in [&services.gateway_url, &services.proxy_url] {
        tokio::select! {
            answer = rpc_value(url, "UsageSummary", &everything) => panic!("{answer:?}"),
            () = statements(&database, true) => {}
        }
        statements(&database, false).await;
    }
    let url = format!("{}/modash.v1.AnalyticsService/UsageSummary", services.gateway_url);
    let reply = post_json(&url, &[("connect-timeout-ms", "500")], &everything).await.unwrap();
    assert_eq!(reply.status, 504, "{reply:?}");
    statements(&database, false).await;
    lock.close().await.unwrap();
    send(&services).await;
    recorded(&services, 1).await;
}
