//! `modash doctor` in front of the real server.

use modash_integration::program;
use serde_json::Value;
use tokio::process::Command;

use crate::server::{LlamaServer, free_port};

async fn doctor(upstream: &str, arguments: &[&str]) -> (bool, Value) {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new(program("modash"));
    command.current_dir(data.path()).env_clear().args(["doctor", "--json"]).args(arguments);
    for kept in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command.env("MODASH_DATA_DIRECTORY", data.path()).env("UPSTREAM_URL", upstream);
    command.env("PORT", "0");
    for listener in ["PROXY_ADMIN", "GATEWAY", "GATEWAY_ADMIN", "ANALYTICS", "ANALYTICS_ADMIN"] {
        command.env(format!("MODASH_{listener}_LISTEN"), "127.0.0.1:0");
    }
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.success(), report)
}

fn finding(report: &Value, check: &str) -> String {
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("no {check} in {report:#}")).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_knows_it_and_generates_only_if_told_to() {
    let server = LlamaServer::start(&[]).await;
    let (well, report) = doctor(&server.url, &[]).await;
    assert!(well, "{report:#}");
    let reached = finding(&report, "upstream.reached");
    assert!(reached.contains("llama.cpp b") && reached.contains("OpenAI Chat"), "{reached}");
    assert!(finding(&report, "upstream.models").contains("tiny-random"), "{report:#}");
    assert!(finding(&report, "upstream.usage").contains("unasked"), "{report:#}");
    assert_eq!(server.totals().await, (0, 0), "nothing was generated");

    let (well, report) = doctor(&server.url, &["--try", "tiny-random"]).await;
    assert!(well, "{report:#}");
    assert!(finding(&report, "upstream.tried").contains("reported usage unasked"), "{report:#}");
    let (_, generated) = server.totals().await;
    assert!((1..=8).contains(&generated), "{generated} tokens");

    let (well, report) = doctor(&format!("{}/v1", server.url), &[]).await;
    assert!(!well, "{report:#}");
    let action = format!("set UPSTREAM_URL to {}\"", server.url);
    assert!(finding(&report, "upstream.v1_twice").contains(&action), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_sees_that_it_does_not_run_yet() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let (well, report) = doctor(&url, &[]).await;
    assert!(!well, "{report:#}");
    finding(&report, "upstream.unreachable");
}
