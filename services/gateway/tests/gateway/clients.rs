//! Unmodified clients of other people against the gateway: Effect RPC 3 and 4,
//! Connect, grpc-web. They live in `tests/clients` and need node.

use std::path::Path;

use tonic::Code;

use crate::support::TestGateway;

/// Runs the clients' script; `mode` says what analytics behind does.
async fn run(gateway: &TestGateway, mode: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    assert!(
        folder.join("node_modules").is_dir(),
        "the clients are not installed; run: npm install --ignore-scripts --prefix {}",
        folder.display()
    );
    let output = tokio::process::Command::new("node")
        .arg("run.mjs")
        .arg(format!("http://{}", gateway.address))
        .arg(mode)
        .current_dir(&folder)
        .output()
        .await
        .expect("node is installed");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn unmodified_clients_call_all_procedures() {
    let gateway = TestGateway::start().await;
    run(&gateway, "working").await;
}

#[tokio::test]
async fn unmodified_clients_see_database_errors_as_typed_failures() {
    let gateway = TestGateway::start().await;
    gateway.script.fail(Code::Internal, "database is locked");
    run(&gateway, "failing").await;
}

#[tokio::test]
async fn unmodified_clients_do_not_hang_while_analytics_is_away() {
    let mut gateway = TestGateway::start().await;
    gateway.kill_analytics();
    run(&gateway, "away").await;
}
