//! PostgreSQL as teams have it: Debian's package, roles without rights, TLS, a standby,
//! backups.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use modash_integration::{
    PATIENCE, Services, post_json,
    postgres::{self, Postgres},
    rpc_value,
};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig};
use modash_test_support::{Authority, eventually};
use serde_json::{Value, json};

async fn simulator() -> String {
    let simulator = Simulator::bind(SimulatorConfig::default()).await.unwrap();
    let url = simulator.url();
    tokio::spawn(simulator.run(Shutdown::new(Duration::from_secs(1))));
    url
}

async fn send(services: &Services, requests: usize) {
    let url = format!("{}/v1/chat/completions", services.proxy_url);
    for at in 0..requests {
        let request = json!({
            "model": format!("model-{}", at % 3), "max_tokens": 4,
            "messages": [{ "role": "user", "content": "one two" }]
        });
        let reply = post_json(&url, &[("authorization", "Bearer key")], &request).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

async fn recorded(services: &Services, requests: u64) {
    eventually(PATIENCE, || async {
        let summary = rpc_value(&services.gateway_url, "UsageSummary", &json!({})).await?;
        if summary["requests"] == requests { Ok(()) } else { Err(summary.to_string()) }
    })
    .await;
}

/// Everything that is said of a fixed range.
async fn answers(services: &Services, from: u64, to: u64) -> Vec<Value> {
    let range = json!({ "start": from, "end": to });
    let mut answers = Vec::new();
    for procedure in ["UsageSummary", "ModelBreakdown", "RecentRequests"] {
        let payload = json!({ "range": range, "page": 1, "pageSize": 100 });
        answers.push(rpc_value(&services.gateway_url, procedure, &payload).await.unwrap());
    }
    answers
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_owns_its_database_and_may_nothing_else_is_enough() {
    let cluster = Postgres::start(&[]).await.with_database().await;
    let services = Services::start(&cluster.url("modash", "modash"), &simulator().await).await;
    send(&services, 5).await;
    recorded(&services, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_missing_is_made_by_a_role_that_may_and_asked_for_by_one_that_may_not() {
    let cluster = Postgres::start(&[]).await;
    cluster.run("CREATE ROLE maker LOGIN CREATEDB").await;
    let services = Services::start(&cluster.url("maker", "made_for_us"), &simulator().await).await;
    send(&services, 2).await;
    recorded(&services, 2).await;

    cluster.run("CREATE ROLE guest LOGIN").await;
    let settings = [("MODASH_ANALYTICS_DATABASE_WAIT_SECONDS", "2".to_owned())];
    let url = cluster.url("guest", "not_there");
    let mut analytics = Services::start_analytics_with(&url, "127.0.0.1:0", &settings);
    assert!(!analytics.ended().await.success());
    analytics.says("CREATE DATABASE not_there OWNER guest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_make_no_tables_is_told_what_it_lacks() {
    let cluster = Postgres::start(&[]).await.with_database().await;
    cluster.run("CREATE ROLE guest LOGIN").await;
    let settings = [("MODASH_ANALYTICS_DATABASE_WAIT_SECONDS", "2".to_owned())];
    let url = cluster.url("guest", "modash");
    let mut analytics = Services::start_analytics_with(&url, "127.0.0.1:0", &settings);
    assert!(!analytics.ended().await.success());
    analytics.says("ALTER DATABASE modash OWNER TO guest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_to_the_database_is_verified_in_full() {
    let (authority, other) = (Authority::new("the team's"), Authority::new("somebody else's"));
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let root = authority.write(directory.path());
    let other_root = directory.path().join("other");
    fs::create_dir(&other_root).unwrap();
    let other_root = other.write(&other_root);
    let (certificate, key) = authority.sign(&["localhost"]).write(directory.path());
    postgres::give(&key);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let (certificate, key) = (certificate.display(), key.display());
    let files = [format!("ssl_cert_file={certificate}"), format!("ssl_key_file={key}")];
    let cluster = Postgres::start(&["ssl=on", &files[0], &files[1]]).await.with_database().await;
    let rules = cluster.data().join("pg_hba.conf");
    fs::write(rules, "hostssl all all 127.0.0.1/32 trust\n").unwrap();
    cluster.run("SELECT pg_reload_conf()").await;

    let url = |host: &str, mode: &str, root: &std::path::Path| {
        let (port, root) = (cluster.port(), root.display());
        format!("postgresql://modash@{host}:{port}/modash?sslmode={mode}&sslrootcert={root}")
    };
    let upstream = simulator().await;
    let services = Services::start(&url("localhost", "verify-full", &root), &upstream).await;
    send(&services, 2).await;
    recorded(&services, 2).await;
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE usename = 'modash'";
    let asked = cluster.psql(&url("localhost", "verify-full", &root), encrypted).await;
    assert_eq!(asked, "t");

    // Another authority, another name, and no TLS at all.
    for wrong in [
        url("localhost", "verify-full", &other_root),
        url("127.0.0.1", "verify-full", &root),
        url("localhost", "disable", &root),
    ] {
        let settings = [("MODASH_ANALYTICS_DATABASE_WAIT_SECONDS", "2".to_owned())];
        let mut analytics = Services::start_analytics_with(&wrong, "127.0.0.1:0", &settings);
        assert!(!analytics.ended().await.success(), "{wrong}: {}", analytics.output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_answers_while_it_keeps_up_and_the_primary_while_it_does_not() {
    let primary = Postgres::start(&[]).await.with_database().await;
    let mut standby = primary.standby().await;
    let settings = [
        ("MODASH_ANALYTICS_READ_DATABASE_URL", standby.url("modash", "modash")),
        ("MODASH_ANALYTICS_READ_MAX_LAG_SECONDS", "2".to_owned()),
    ];
    let url = primary.url("modash", "modash");
    let services = Services::start_with(&url, &simulator().await, &settings).await;
    send(&services, 3).await;
    recorded(&services, 3).await;
    let readers = "SELECT count(*) FROM pg_stat_activity \
                   WHERE application_name = 'modash-analytics queries'";
    assert_ne!(standby.run(readers).await, "0", "{}", services.analytics.output());

    // It falls behind: nobody misses what was committed.
    standby.run("SELECT pg_wal_replay_pause()").await;
    send(&services, 2).await;
    services.analytics.says("the read replica is too far behind").await;
    recorded(&services, 5).await;
    standby.run("SELECT pg_wal_replay_resume()").await;
    services.analytics.says("queries go to the read replica again").await;
    recorded(&services, 5).await;

    // It dies: the next answer comes from the primary.
    standby.kill().await;
    send(&services, 1).await;
    recorded(&services, 6).await;
    services.analytics.says("the read replica is not reachable").await;
    standby.start_again().await;
    eventually(PATIENCE, || async {
        let count = services.analytics.output().matches("to the read replica again").count();
        if count >= 2 { Ok(()) } else { Err(format!("{count} times")) }
    })
    .await;
    recorded(&services, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_and_a_base_backup_restore_to_the_same_answers() {
    let cluster = Postgres::start(&[]).await.with_database().await;
    let url = cluster.url("modash", "modash");
    let upstream = simulator().await;
    let services = Services::start(&url, &upstream).await;
    let from = now_ms() - 60_000;
    send(&services, 20).await;
    recorded(&services, 20).await;
    let to = now_ms() + 60_000;
    let before = answers(&services, from, to).await;

    let copy = cluster.copy().await;
    let place = tempfile::tempdir().unwrap();
    postgres::give(place.path());
    let file = place.path().join("modash.dump").display().to_string();
    postgres::run("pg_dump", &["-Fc", "-f", &file, "-d", &url]).await;
    cluster.run("CREATE DATABASE restored OWNER modash").await;
    let restored = cluster.url("modash", "restored");
    postgres::run("pg_restore", &["--no-owner", "-d", &restored, &file]).await;

    for url in [restored, copy.url("modash", "modash")] {
        let services = Services::start(&url, &upstream).await;
        assert_eq!(answers(&services, from, to).await, before, "{url}");
        // And it goes on.
        send(&services, 1).await;
        recorded(&services, 21).await;
    }
}
