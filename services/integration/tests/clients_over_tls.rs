//! Unmodified clients of other people over TLS, with and without tokens: Effect 3 and 4,
//! Connect and grpc-web in node and in Chromium, grpcio by reflection. They reach the
//! gateway, and those that need none reach analytics. Certificates are checked: each
//! client is told of the one authority, and refuses without.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use modash_access::{Role, Token};
use modash_integration::{Process, ServicesOverTls};
use modash_test_support::{Answer, FakeUpstream, TokensFile};
use tempfile::TempDir;

/// The services, and the token of a reader if they ask for one.
struct System {
    services: ServicesOverTls,
    token: Option<Token>,
    _tokens: Option<TokensFile>,
    _upstream: FakeUpstream,
}

impl System {
    async fn start(asks_for_tokens: bool, dashboard: Option<&Path>) -> Self {
        let upstream = FakeUpstream::start().await;
        upstream.answer_always(Answer::json("{}"));
        let tokens = asks_for_tokens.then(TokensFile::new);
        let token = tokens.as_ref().map(|tokens| tokens.add("reader", Role::Read));
        let services = ServicesOverTls::start(&upstream.url(), tokens.as_ref(), dashboard).await;
        Self { services, token, _tokens: tokens, _upstream: upstream }
    }

    /// What the callers of this system get: with their token, and then without if they
    /// need one.
    fn callers(&self) -> Vec<(&'static str, Option<&Token>)> {
        match &self.token {
            Some(token) => vec![("working", Some(token)), ("refused", None)],
            None => vec![("working", None)],
        }
    }
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/tests/clients")
}

fn node(arguments: &[&str], token: Option<&Token>, authority: Option<&Path>) -> Process {
    let mut command = Command::new("node");
    command.current_dir(clients()).args(arguments);
    command.env_remove("MODASH_TOKEN").env_remove("AUTHORITY").env_remove("NODE_EXTRA_CA_CERTS");
    command.envs(token.map(|token| ("MODASH_TOKEN", token.expose())));
    if let Some(authority) = authority {
        command.env("NODE_EXTRA_CA_CERTS", authority).env("AUTHORITY", authority);
    }
    Process::spawn(arguments[0], command)
}

#[tokio::test(flavor = "multi_thread")]
async fn unmodified_clients_in_node_work_over_tls_with_and_without_tokens() {
    for asks_for_tokens in [false, true] {
        let system = System::start(asks_for_tokens, None).await;
        let ServicesOverTls { gateway, analytics, authority, .. } = &system.services;
        for (mode, token) in system.callers() {
            let arguments = ["run.mjs", gateway, mode, analytics];
            let output = node(&arguments, token, Some(authority)).succeeds().await;
            for client in ["Effect 3", "Effect 4", "Connect, JSON, HTTP/2", "gRPC, HTTP/2"] {
                assert!(output.contains(&format!("ok      {client}")), "{output}");
            }
        }
        // Who does not know the authority gets nothing.
        let mut stranger = node(&["run.mjs", gateway, "working"], system.token.as_ref(), None);
        assert!(!stranger.ended().await.success(), "{}", stranger.output());
        assert!(!stranger.output().contains("ok  "), "{}", stranger.output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unmodified_clients_in_chromium_work_over_tls_with_and_without_tokens() {
    let page = TempDir::new().unwrap();
    fs::write(page.path().join("contract.binpb"), modash_proto::FILE_DESCRIPTOR_SET).unwrap();
    // What makes it a dashboard to the gateway.
    fs::write(page.path().join("index.html"), "").unwrap();
    let folder = page.path().display().to_string();
    node(&["chromium.mjs", "bundle", &folder], None, None).succeeds().await;
    for asks_for_tokens in [false, true] {
        let system = System::start(asks_for_tokens, Some(page.path())).await;
        let ServicesOverTls { gateway, analytics, authority, .. } = &system.services;
        for (mode, token) in system.callers() {
            let arguments = ["chromium.mjs", gateway, mode, analytics];
            node(&arguments, token, Some(authority)).succeeds().await;
        }
        let mut stranger = node(&["chromium.mjs", gateway], system.token.as_ref(), None);
        assert!(!stranger.ended().await.success(), "{}", stranger.output());
        let output = stranger.output();
        assert!(output.contains("ERR_CERT_AUTHORITY_INVALID"), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcio_learns_the_contract_by_reflection_over_tls_with_and_without_tokens() {
    for asks_for_tokens in [false, true] {
        let system = System::start(asks_for_tokens, None).await;
        let ServicesOverTls { analytics, authority, .. } = &system.services;
        let address = analytics.strip_prefix("https://").unwrap();
        let reflect = |token: Option<&Token>| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/reflect.py");
            let mut command = Command::new(modash_integration::python());
            command.arg(script).args(["--analytics", address]).arg("--authority").arg(authority);
            command.env_remove("MODASH_TOKEN");
            command.envs(token.map(|token| ("MODASH_TOKEN", token.expose())));
            Process::spawn("reflect.py", command)
        };
        for (mode, token) in system.callers() {
            let mut process = reflect(token);
            if mode == "working" {
                let output = process.succeeds().await;
                assert!(output.contains("\"requests\": \"0\""), "{output}");
            } else {
                assert!(!process.ended().await.success(), "{}", process.output());
                process.says("a token is needed").await;
            }
        }
    }
}
