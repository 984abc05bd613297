//! The commands about the data, as somebody types them.

use std::{
    path::Path,
    process::{Command, Output},
};

use chrono::{Days, Utc};
use modash_test_support::TestDatabase;
use sqlx::{Connection as _, PgConnection};

use crate::sums::{ErrorLines, errors_of_rollups};

/// A small workload of the three days before today.
const SMALL: [&str; 7] =
    ["data", "generate", "--rows=3000", "--days=3", "--models=8", "--keys=10", "--until"];

fn today() -> String {
    Utc::now().date_naive().to_string()
}

/// Runs `modash-analytics` with these arguments on a database.
pub(crate) async fn run(database: &TestDatabase, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_modash-analytics"));
    command.args(arguments).current_dir("/").env_clear().env("DATABASE_URL", database.url());
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

pub(crate) async fn succeeds(database: &TestDatabase, arguments: &[&str]) -> String {
    let output = run(database, arguments).await;
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {problem}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it says when it fails with this exit code.
pub(crate) async fn fails(database: &TestDatabase, code: i32, arguments: &[&str]) -> String {
    let output = run(database, arguments).await;
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {problem}");
    problem
}

pub(crate) async fn generate(database: &TestDatabase, more: &[&str]) {
    let today = today();
    let arguments = [&SMALL[..], &[today.as_str()], more].concat();
    succeeds(database, &arguments).await;
}

/// All rows of a statement, as text.
pub(crate) async fn rows(database: &TestDatabase, statement: &'static str) -> Vec<String> {
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::query_scalar(statement).fetch_all(&mut connection).await.unwrap()
}

async fn requests(database: &TestDatabase) -> Vec<String> {
    rows(database, "SELECT r::text FROM requests r ORDER BY started_at, event_id").await
}

async fn exported(database: &TestDatabase, file: &Path, more: &[&str]) -> String {
    let output = file.display().to_string();
    succeeds(database, &[&["data", "export", "--output", &output], more].concat()).await;
    std::fs::read_to_string(file).unwrap()
}

#[tokio::test]
async fn both_ways_to_generate_leave_the_same_rows_and_rollups() {
    let (ingested, copied) = (TestDatabase::create().await, TestDatabase::create().await);
    // Days that are not those of the calendar.
    let until = format!("{}T11:30:00Z", Utc::now().date_naive() - Days::new(1));
    for (database, method) in [(&ingested, "--method=ingest"), (&copied, "--method=bulk")] {
        succeeds(database, &[&SMALL[..], &[&until, method]].concat()).await;
    }
    let expected = requests(&ingested).await;
    assert_eq!(expected.len(), 3000);
    assert_eq!(requests(&copied).await, expected);
    let series = "SELECT s::text FROM series s ORDER BY series_id";
    assert_eq!(rows(&copied, series).await, rows(&ingested, series).await);
    let rollups = "SELECT (series_id, bucket, level, sums, histograms)::text
                   FROM rollups ORDER BY level, bucket, series_id";
    let expected = rows(&ingested, rollups).await;
    assert!(expected.len() > 3000, "{}", expected.len());
    assert!(rows(&copied, rollups).await == expected, "the rollups differ");
    // Client keys have other numbers.
    let of_errors = errors(&ingested).await;
    assert!(of_errors.iter().all(|(_, lines)| !lines.is_empty()));
    assert!(errors(&copied).await == of_errors, "the errors differ");
    let sessions = "SELECT s::text FROM sessions s ORDER BY session_id, series_id";
    let of_ingest = rows(&ingested, sessions).await;
    assert!(of_ingest.len() > 100, "{}", of_ingest.len());
    assert!(rows(&copied, sessions).await == of_ingest, "the sessions differ");

    // A rebuild changes nothing, and mends what is not as it should be.
    let repair = ["rollups", "rebuild", "--from=2020-01-01", "--to", &until];
    succeeds(&ingested, &repair).await;
    assert!(rows(&ingested, rollups).await == expected, "a rebuild changed the rollups");
    assert!(errors(&ingested).await == of_errors, "a rebuild changed the errors");
    let spoil = "WITH gone AS (DELETE FROM rollups WHERE series_id % 2 = 0 RETURNING 1)
                 SELECT count(*)::text FROM gone";
    assert_ne!(rows(&copied, spoil).await, ["0"]);
    succeeds(&copied, &repair).await;
    assert!(rows(&copied, rollups).await == expected, "a rebuild did not mend the rollups");
    assert!(errors(&copied).await == of_errors, "a rebuild did not mend the errors");
}

/// The errors in the rollups of each width.
async fn errors(database: &TestDatabase) -> Vec<(i64, ErrorLines)> {
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let mut lines = Vec::new();
    for width in [3_600, 21_600, 86_400, 604_800] {
        lines.push((width, errors_of_rollups(&mut connection, width).await));
    }
    lines
}

#[tokio::test]
async fn made_up_requests_do_not_mix_with_others_unless_told_to() {
    let database = TestDatabase::create().await;
    generate(&database, &[]).await;
    let today = today();
    let again = [&SMALL[..], &[today.as_str()]].concat();
    let problem = fails(&database, 1, &again).await;
    assert!(problem.contains("there are requests from"), "{problem}");
    let problem = fails(&database, 1, &[&again[..], &["--add", "--method=bulk"]].concat()).await;
    assert!(problem.contains("another --seed"), "{problem}");
    assert_eq!(requests(&database).await.len(), 3000);
    generate(&database, &["--add", "--seed=2"]).await;
    assert_eq!(requests(&database).await.len(), 6000);
}

#[tokio::test]
async fn what_flags_say_together_is_checked_before_anything_is_done() {
    let database = TestDatabase::create().await;
    let generate = ["data", "generate", "--days=90"];
    let problem = fails(&database, 64, &generate).await;
    assert!(problem.contains("set MODASH_ANALYTICS_RETENTION_DAYS to 9"), "{problem}");
    let export = ["data", "export", "--from=2026-11-02", "--to=2026-11-01"];
    let problem = fails(&database, 64, &export).await;
    assert!(problem.contains("--to: must be after --from"), "{problem}");
    let problem = fails(&database, 64, &["data", "export", "--outcome=bad"]).await;
    assert!(problem.contains("http_error"), "{problem}");
    let problem = fails(&database, 64, &["data", "export", "--from=tomorrow"]).await;
    assert!(problem.contains("2026-11-27T12:00:00Z"), "{problem}");
    let rebuild = ["rollups", "rebuild", "--from=2026-11-02", "--to=2026-11-01"];
    let problem = fails(&database, 64, &rebuild).await;
    assert!(problem.contains("--to: must be after --from"), "{problem}");
    let problem = fails(&database, 1, &["data", "size"]).await;
    assert!(problem.contains("no tables of modash yet"), "{problem}");
}

#[tokio::test]
async fn an_export_has_every_request_once_in_order_and_can_be_filtered() {
    let database = TestDatabase::create().await;
    generate(&database, &[]).await;
    let directory = tempfile::tempdir().unwrap();
    let csv = exported(&database, &directory.path().join("all.csv"), &[]).await;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let names = reader.headers().unwrap().clone();
    let column = |name: &str| names.iter().position(|other| other == name).unwrap();
    let records: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 3000);
    assert!(records.is_sorted_by_key(|record| record[column("started_at")].to_owned()));

    // What the file says adds up to what the database says.
    let tokens: u64 = records
        .iter()
        .filter_map(|record| record[column("total_tokens")].parse::<u64>().ok())
        .sum();
    let sum = rows(&database, "SELECT sum(total_tokens)::text FROM requests").await;
    assert_eq!(sum, [tokens.to_string()]);

    let model = records[0][column("model")].to_owned();
    let file = directory.path().join("some.jsonl");
    let lines = exported(&database, &file, &["--model", &model, "--outcome=ok"]).await;
    let expected = records
        .iter()
        .filter(|record| record[column("model")] == model && &record[column("outcome")] == "ok")
        .count();
    assert!(expected > 0);
    assert_eq!(lines.lines().count(), expected);

    let file = file.display().to_string();
    let problem = fails(&database, 64, &["data", "export", "--output", &file]).await;
    assert!(problem.contains("exists already"), "{problem}");
}

#[tokio::test]
async fn the_size_counts_rows_and_days() {
    let database = TestDatabase::create().await;
    generate(&database, &[]).await;
    let size: serde_json::Value =
        serde_json::from_str(&succeeds(&database, &["data", "size", "--json"]).await).unwrap();
    assert_eq!(size["requests"], 3000);
    assert!(size["bytes_per_request"].as_f64().unwrap() > 100.0, "{size}");
    let first = Utc::now().date_naive() - Days::new(3);
    assert_eq!(size["oldest_day"], first.to_string());
    assert_eq!(size["requests_per_day"], 1000.0);
    let text = succeeds(&database, &["data", "size", "--exact"]).await;
    assert!(text.contains("3,000 requests from"), "{text}");
}

#[tokio::test]
async fn the_retention_is_shown_and_drops_only_when_told_to() {
    let database = TestDatabase::create().await;
    generate(&database, &[]).await;
    let shown = ["data", "retention", "--analytics-retention-days=1"];
    let text = succeeds(&database, &shown).await;
    assert!(text.contains("--apply"), "{text}");
    assert_eq!(requests(&database).await.len(), 3000);
    succeeds(&database, &[&shown[..], &["--apply"]].concat()).await;
    let left = requests(&database).await.len();
    assert!((1..3000).contains(&left), "{left}");
    let text = succeeds(&database, &["data", "retention"]).await;
    assert!(!text.contains("--apply"), "{text}");
}
