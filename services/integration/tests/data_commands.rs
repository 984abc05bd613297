//! Commands about the data: beside a running modash, and on their own.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use modash_integration::{AllInOne, Process, Signal, rpc_value};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory that the database's account can enter too.
fn data_directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).unwrap();
    directory
}

async fn modash(directory: &TempDir, arguments: &[&str]) -> String {
    let settings = [("MODASH_DATA_DIRECTORY", directory.path().display().to_string())];
    Process::start("modash", &settings, arguments).succeeds().await
}

async fn stored(directory: &TempDir) -> Value {
    let output = modash(directory, &["data", "size", "--json"]).await;
    serde_json::from_str::<Value>(&output).unwrap()["requests"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_use_the_database_of_a_running_modash_or_start_it_themselves() {
    let directory = data_directory();
    let generate = ["data", "generate", "--rows=500", "--days=1"];
    let mut running = AllInOne::start(directory.path(), &[], &[]).await;
    modash(&directory, &generate).await;
    assert_eq!(stored(&directory).await, 500);
    let summary = rpc_value(&running.gateway, "UsageSummary", &json!({})).await.unwrap();
    // Of the last 24 hours: the very first ones may be older by now.
    let requests = summary["requests"].as_u64().unwrap();
    assert!((490..=500).contains(&requests), "{summary}");
    running.process.signal(Signal::TERM);
    assert!(running.process.ended().await.success());

    assert_eq!(stored(&directory).await, 500);
    modash(&directory, &[&generate[..], &["--add", "--seed=2", "--method=bulk"]].concat()).await;
    assert_eq!(stored(&directory).await, 1000);
}
