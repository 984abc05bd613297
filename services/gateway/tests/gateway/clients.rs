//! Unmodified clients of other people against the gateway: Effect RPC 3 and 4,
//! Connect, grpc-web, in node and in Chromium. They live in `tests/clients` and need node.

use std::{fs, path::Path};

use modash_access::{Role, Token};
use modash_test_support::TokensFile;
use tempfile::TempDir;
use tonic::Code;

use crate::support::TestGateway;

/// Runs the clients' script; `mode` says what analytics behind does.
async fn run(gateway: &TestGateway, mode: &str) {
    let url = format!("http://{}", gateway.address);
    script(&["run.mjs", &url, mode], None).await;
}

async fn script(arguments: &[&str], token: Option<&Token>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    assert!(
        folder.join("node_modules").is_dir(),
        "the clients are not installed; run: npm install --ignore-scripts --prefix {}",
        folder.display()
    );
    let output = tokio::process::Command::new("node")
        .args(arguments)
        .envs(token.map(|token| ("MODASH_TOKEN", token.expose())))
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

#[tokio::test]
async fn unmodified_clients_show_their_token_and_are_refused_without() {
    let file = TokensFile::new();
    let token = file.add("reader", Role::Read);
    let access = file.access();
    let gateway = TestGateway::with(|config| config.access = access).await;
    let url = format!("http://{}", gateway.address);
    script(&["run.mjs", &url, "working"], Some(&token)).await;
    run(&gateway, "refused").await;
}

#[tokio::test]
async fn unmodified_clients_work_in_chromium_with_and_without_tokens() {
    let page = TempDir::new().unwrap();
    let folder = page.path().to_path_buf();
    fs::write(folder.join("contract.binpb"), modash_proto::FILE_DESCRIPTOR_SET).unwrap();
    script(&["chromium.mjs", "bundle", folder.to_str().unwrap()], None).await;
    let open = TestGateway::with(|config| config.dashboard_dir = Some(folder.clone())).await;
    let url = format!("http://{}", open.address);
    script(&["chromium.mjs", &url, "working"], None).await;

    let file = TokensFile::new();
    let token = file.add("reader", Role::Read);
    let access = file.access();
    let asks = TestGateway::with(|config| {
        config.access = access;
        config.dashboard_dir = Some(folder);
    })
    .await;
    let url = format!("http://{}", asks.address);
    script(&["chromium.mjs", &url, "working"], Some(&token)).await;
    script(&["chromium.mjs", &url, "refused"], None).await;
}
