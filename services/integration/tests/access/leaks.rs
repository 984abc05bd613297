//! A token is in no place where it can be read later.

use std::fmt::Write as _;

use modash_access::{Role, Token};
use modash_integration::{Signal, get_with, post_json};
use modash_test_support::{OtlpProtocol, OtlpReceiver, TestDatabase, TokensFile, eventually};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::{
    doors::{Door, Question, ask},
    system::{System, get},
};

/// Everything in the database as text.
async fn dump(database: &TestDatabase) -> String {
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut all = String::new();
    for table in tables {
        let sql = format!("SELECT coalesce(string_agg(t::text, chr(10)), '') FROM {table} t");
        let sql = sqlx::AssertSqlSafe(sql);
        let text: String = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        all += &text;
    }
    all
}

/// The command lines and, of our own process, the environment of all processes.
fn process_list() -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let _ = writeln!(all, "{}", String::from_utf8_lossy(&line));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_in_a_log_an_answer_a_metric_a_trace_the_process_list_or_the_database() {
    let file = TokensFile::new();
    let read = file.add("read", Role::Read);
    let ingest = file.add("ingest", Role::Ingest);
    let app = file.add("app", Role::Use);
    let expired = file.add_expired("expired", Role::Admin);
    let unknown = Token::generate();
    let tokens = [&read, &ingest, &app, &expired, &unknown];
    let (database, receiver) =
        (TestDatabase::create().await, OtlpReceiver::start(OtlpProtocol::Grpc).await);
    let path = file.path().display().to_string();
    let mut system = System::start(
        file,
        &[
            ("DATABASE_URL", database.url()),
            ("MODASH_LOG", "trace".to_owned()),
            ("MODASH_PROXY_ACCESS_LOG", "json".to_owned()),
            ("MODASH_PROXY_CLIENT_TOKENS", path),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.clone()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned()),
            ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
            ("OTEL_TRACES_SAMPLER", "always_on".to_owned()),
        ],
    )
    .await;
    let mut seen = String::new();

    // Each token at each door, right or wrong.
    let question = |method: &str| Question {
        method: method.to_owned(),
        service: "modash.v1.AnalyticsService".to_owned(),
        message: Vec::new(),
        json: json!({}),
    };
    for token in tokens {
        for door in Door::ALL {
            let answer = ask(&system, door, &question("UsageSummary"), Some(token)).await;
            let _ = writeln!(seen, "{answer:?}");
        }
        for service in ["proxy", "gateway", "analytics"] {
            let url = format!("http://{}/metrics", system.admin(service).await);
            let (_, headers, text) = get(&url, Some(token)).await;
            let _ = writeln!(seen, "{headers:?}{text}");
        }
        let gateway = &system.modash.gateway;
        let headers = [("origin", gateway.as_str()), ("x-modash-request", "1")];
        let body = json!({ "token": token.expose() });
        let answer = post_json(&format!("{gateway}/session"), &headers, &body).await.unwrap();
        let _ = writeln!(seen, "{:?}{:?}", answer.headers, answer.body);
        if let Some(cookie) = answer.headers.get("set-cookie") {
            let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
            let who = get_with(&format!("{gateway}/session"), &[("cookie", cookie)]).await.unwrap();
            let _ = writeln!(seen, "{:?}{:?}", who.headers, who.body);
        }
        let chat = json!({ "model": "m", "messages": [{ "role": "user", "content": "one" }] });
        let headers = [("x-modash-token", token.expose()), ("authorization", "Bearer sk-theirs")];
        let url = format!("{}/v1/chat/completions", system.modash.proxy);
        let answer = post_json(&url, &headers, &chat).await.unwrap();
        let _ = writeln!(seen, "{:?}{:?}", answer.headers, answer.body);
    }
    // A token in a place where it does not belong, as people put it there.
    for path in ["rpc/UsageSummary", "events", "sign-in"] {
        let url = format!("{}/{path}?token={}", system.modash.gateway, read.expose());
        let answer = get_with(&url, &[]).await.unwrap();
        let _ = writeln!(seen, "{:?}{:?}", answer.headers, answer.body);
    }
    eventually(modash_integration::PATIENCE, || async {
        let (stored, spans) = (dump(&database).await, receiver.spans().len());
        if stored.contains("/v1/chat/completions") && spans > 0 {
            Ok(())
        } else {
            Err(format!("{spans} spans, {} bytes stored", stored.len()))
        }
    })
    .await;
    seen += &process_list();
    seen += &dump(&database).await;
    system.modash.process.signal(Signal::TERM);
    assert!(system.modash.process.ended().await.success());
    system.modash.process.says_no_more().await;
    let log = system.modash.process.output();
    assert!(log.contains("DEBUG") || log.contains("TRACE"), "the log has all levels");
    seen += &log;
    for span in receiver.spans() {
        let _ = writeln!(seen, "{span:?}");
    }
    let _ = writeln!(seen, "{:?}", receiver.metrics());
    for token in tokens {
        // Neither as a whole nor a part of it that would be enough to guess it.
        let part = &token.expose()[7..27];
        if let Some(at) = seen.find(part) {
            let from = seen.floor_char_boundary(at.saturating_sub(300));
            let to = seen.floor_char_boundary((at + 60).min(seen.len()));
            panic!("a token is in: {}", &seen[from..to]);
        }
    }
    assert!(!seen.contains("sk-theirs"), "a credential of the upstream is somewhere");
}
