//! Clients that were not made for modash: the official Python packages, a gRPC
//! client that knows only an address, schemathesis, and a browser.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use modash_integration::{AllInOne, PATIENCE, Process, rpc_value};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig};
use modash_test_support::eventually;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The system in front of a simulated LLM server.
/// Where the dashboard links to for a trace.
const TRACE_URL: &str = "https://traces.example.com/{trace_id}?span={span_id}";

async fn modash(directory: &TempDir) -> AllInOne {
    modash_with(directory, &[]).await
}

async fn modash_with(directory: &TempDir, more: &[(&str, String)]) -> AllInOne {
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).unwrap();
    let simulator = Simulator::bind(SimulatorConfig::default()).await.unwrap();
    let url = simulator.url();
    tokio::spawn(simulator.run(Shutdown::new(Duration::from_secs(1))));
    let trace_url = ("MODASH_GATEWAY_TRACE_URL", TRACE_URL.to_owned());
    let mut settings = vec![("UPSTREAM_URL", url), trace_url];
    settings.extend_from_slice(more);
    AllInOne::start(directory.path(), &settings, &[]).await
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Runs a Python script of `tests/python` to its end.
async fn python(script: &str, arguments: &[&str]) -> String {
    let python = modash_integration::python();
    let mut command = Command::new(&python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script));
    command.args(arguments);
    Process::spawn(script, command).succeeds().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_and_anthropic_packages_work_and_are_counted_right() {
    let directory = TempDir::new().unwrap();
    let modash = modash(&directory).await;
    let output = python("sdk_clients.py", &["--proxy", &modash.proxy, "--responses"]).await;
    let announced = &output[output.find('{').unwrap()..=output.rfind('}').unwrap()];
    let announced: Value = serde_json::from_str(announced).unwrap();
    eventually(PATIENCE, || async {
        let summary = rpc_value(&modash.gateway, "UsageSummary", &json!({})).await?;
        if summary["requests"] == announced["requests"] {
            Ok(())
        } else {
            Err(format!("{summary} instead of {announced}"))
        }
    })
    .await;
    let breakdown = rpc_value(&modash.gateway, "ModelBreakdown", &json!({})).await.unwrap();
    for (model, expected) in announced["models"].as_object().unwrap() {
        let rows = breakdown["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["model"] == **model);
        let row = row.unwrap_or_else(|| panic!("{model} is missing in {breakdown}"));
        for (ours, theirs) in [
            ("requests", "requests"),
            ("promptTokens", "prompt_tokens"),
            ("cachedPromptTokens", "cached_prompt_tokens"),
            ("reasoningTokens", "reasoning_tokens"),
        ] {
            assert_eq!(row[ours], expected[theirs], "{ours} of {model} in {row}");
        }
        // A stream without usage may be estimated: its own model, its own count.
        if expected["requests_without_usage"] == 0 {
            assert_eq!(row["completionTokens"], expected["completion_tokens"], "{model}");
            assert_eq!(row["totalTokens"], expected["total_tokens"], "{model}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_only_the_address_calls_usage_summary_by_reflection() {
    let directory = TempDir::new().unwrap();
    let modash = modash(&directory).await;
    let request = json!({ "model": "m", "messages": [{ "role": "user", "content": "one" }] });
    let url = format!("{}/v1/chat/completions", modash.proxy);
    modash_integration::post_json(&url, &[], &request).await.unwrap();
    eventually(PATIENCE, || async {
        let summary = rpc_value(&modash.gateway, "UsageSummary", &json!({})).await?;
        if summary["requests"] == 1 { Ok(()) } else { Err(summary.to_string()) }
    })
    .await;
    let output = python("reflect.py", &["--analytics", &modash.analytics.to_string()]).await;
    let answer = &output[output.find('{').unwrap()..=output.rfind('}').unwrap()];
    let answer: Value = serde_json::from_str(answer).unwrap();
    assert_eq!((&answer["requests"], &answer["prompt_tokens"]), (&json!("1"), &json!("1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_gets_no_answer_from_plain_json_that_is_not_described() {
    let directory = TempDir::new().unwrap();
    let modash = modash(&directory).await;
    let url = format!("{}/v1/chat/completions", modash.proxy);
    for model in ["one", "two"] {
        let request = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
        modash_integration::post_json(&url, &[], &request).await.unwrap();
    }
    let configuration = repository().join("services/integration/tests/python/schemathesis.toml");
    let mut command = Command::new(modash_integration::python().with_file_name("schemathesis"));
    command
        .current_dir(directory.path())
        // The server under test is reached directly, whatever the environment says.
        .env("NO_PROXY", "*")
        .arg("--config-file")
        .arg(configuration)
        .args(["run", "--no-color", &format!("{}/openapi.json", modash.gateway)]);
    let output = Process::spawn("schemathesis", command).succeeds().await;
    println!("{output}");
}

/// Runs the browser's test on a page that asks by this transport.
async fn browse(transport: &str, more: &[(&str, String)]) {
    let directory = TempDir::new().unwrap();
    let mut settings = vec![("MODASH_GATEWAY_DASHBOARD_TRANSPORT", transport.to_owned())];
    settings.extend_from_slice(more);
    let modash = modash_with(&directory, &settings).await;
    let screenshots = repository().join("target/screenshots").join(transport);
    std::fs::create_dir_all(&screenshots).unwrap();
    let mut command = Command::new("node");
    command
        .current_dir(repository().join("web"))
        .env("E2E_TRACE_URL", TRACE_URL)
        .env("E2E_TRANSPORT", transport)
        .arg("e2e/dashboard.mjs")
        .args([&modash.gateway, &modash.proxy])
        .arg(&screenshots);
    let output = Process::spawn("browser test", command).succeeds_within(15 * PATIENCE).await;
    println!("{output}");
    for scheme in ["light", "dark"] {
        let found = std::fs::read_dir(&screenshots)
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_string_lossy().contains(scheme));
        assert!(found, "there is no screenshot in {scheme}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_sees_the_number_change_without_a_reload() {
    browse("rpc", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_sees_the_same_over_grpc_web() {
    browse("grpc-web", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_asks_analytics_itself_where_it_lists_the_dashboard() {
    let [gateway, analytics] = [free_address(), free_address()];
    let directory = TempDir::new().unwrap();
    let modash = modash_with(
        &directory,
        &[
            ("MODASH_GATEWAY_LISTEN", gateway.clone()),
            ("MODASH_ANALYTICS_LISTEN", analytics.clone()),
            ("MODASH_GATEWAY_DASHBOARD_TRANSPORT", "analytics".to_owned()),
            ("MODASH_GATEWAY_DASHBOARD_ANALYTICS_URL", format!("http://{analytics}")),
            ("MODASH_ANALYTICS_CORS_ORIGINS", format!("http://{gateway}")),
        ],
    )
    .await;
    let mut command = Command::new("node");
    command.current_dir(repository().join("web")).arg("e2e/direct.mjs").args([
        &modash.gateway,
        &modash.proxy,
        &format!("http://{analytics}"),
    ]);
    Process::spawn("browser test", command).succeeds().await;
}

/// An address that nobody listened on a moment ago: the page of one service must know
/// that of another before both start.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
