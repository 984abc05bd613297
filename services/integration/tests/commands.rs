//! Commands that people use beside a modash that runs: `status`, `open`, and what shells
//! and `man` need.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    path::Path,
    process::{Output, Stdio},
};

use modash_access::Role;
use modash_integration::{AllInOne, PATIENCE, post_json, program};
use modash_test_support::{Answer, FakeUpstream, Gate, TokensFile, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};

const CONTENT: &str =
    "data: {\"model\":\"m-slow\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const END: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9}}\n\ndata: [DONE]\n\n";

/// A directory that the database's account can enter too.
fn data_directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).unwrap();
    directory
}

/// `modash` with nothing in its environment but this.
fn command(data: &Path, settings: &[(&str, String)], arguments: &[&str]) -> Command {
    let mut command = Command::new(program("modash"));
    command.current_dir(std::env::temp_dir()).env_clear().args(arguments);
    for kept in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command.env("MODASH_DATA_DIRECTORY", data).stdin(Stdio::null()).kill_on_drop(true);
    command.envs(settings.iter().map(|(name, value)| (*name, value)));
    command
}

async fn modash(data: &Path, settings: &[(&str, String)], arguments: &[&str]) -> Output {
    command(data, settings, arguments).output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A modash in front of a stream that goes on until the gate opens.
async fn with_a_running_request(data: &Path, settings: &[(&str, String)]) -> (AllInOne, Gate) {
    let upstream = FakeUpstream::start().await;
    let gate = Gate::new();
    upstream.answer(Answer::event_stream().chunk(CONTENT).wait(&gate).chunk(END));
    let mut all = vec![("UPSTREAM_URL", upstream.url())];
    all.extend_from_slice(settings);
    let running = AllInOne::start(data, &all, &[]).await;
    let url = format!("{}/v1/chat/completions", running.proxy);
    tokio::spawn(async move {
        let body = json!({ "model": "m-slow", "stream": true });
        let _ = post_json(&url, &[], &body).await;
        drop(upstream);
    });
    (running, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_what_runs_and_what_was_there_today() {
    let data = data_directory();
    let (running, gate) = with_a_running_request(data.path(), &[]).await;
    let from = format!("http://{}", running.analytics);
    let ask = async || -> Value {
        let output = modash(data.path(), &[], &["status", "--json", "--from", &from]).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let status = eventually(PATIENCE, || async {
        let status = ask().await;
        let streams = status["running"][0]["phase"] == "streaming";
        if streams { Ok(status) } else { Err(status.to_string()) }
    })
    .await;
    let request = &status["running"][0];
    assert_eq!((&request["model"], &request["contentEvents"]), (&"m-slow".into(), &1.into()));
    assert_eq!(status["today"]["requests"], 0, "it has not ended");

    let table = modash(data.path(), &[], &["status", "--from", &from]).await;
    let table = text(&table.stdout);
    for part in ["MODEL", "m-slow", "streaming", "1 running", "0 requests"] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
    assert!(!table.contains('\u{1b}'), "no terminal, no escapes: {table:?}");

    gate.open();
    eventually(PATIENCE, || async {
        let status = ask().await;
        let ended = status["running"] == json!([])
            && status["today"]["requests"] == 1
            && status["today"]["totalTokens"] == 9
            && status["delivery"] == "complete";
        if ended { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

/// util-linux' `script` gives a command a terminal.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn status_follows_on_a_terminal_until_q_and_leaves_it_as_it_was() {
    let data = data_directory();
    let (running, gate) = with_a_running_request(data.path(), &[]).await;
    let shell = format!(
        "stty rows 12 cols 40; {} status --from http://{}; echo \"ended $?\"; stty -a",
        program("modash").display(),
        running.analytics
    );
    let mut command = Command::new("script");
    command.args(["-qefc", &shell, "/dev/null"]).env("MODASH_DATA_DIRECTORY", data.path());
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut script = command.spawn().unwrap();
    let (mut keys, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let mut seen = String::new();
    let mut see = async |part: &str| {
        let looking = async {
            while !seen.contains(part) {
                let mut bytes = [0; 4096];
                let length = screen.read(&mut bytes).await.unwrap();
                assert!(length > 0, "it ended: {seen}");
                seen.push_str(&text(&bytes[..length]));
            }
        };
        let found = tokio::time::timeout(PATIENCE, looking).await;
        assert!(found.is_ok(), "no {part:?} in {seen:?}");
        std::mem::take(&mut seen)
    };
    let first = see("streaming").await;
    assert!(first.contains("\u{1b}[?1049h"), "{first:?}");
    assert!(!first.contains("UPSTREAM"), "40 columns have no room for it: {first:?}");
    gate.open();
    see("nothing runs").await;
    see("1 request").await;
    keys.write_all(b"q").await.unwrap();
    let last = see(" echo ").await;
    assert!(last.contains("\u{1b}[?1049l") && last.contains("ended 0"), "{last:?}");
    assert!(last.contains(" icanon"), "the terminal is as it was: {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_is_missing() {
    let data = data_directory();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let from = format!("http://{closed}");
    let output = modash(data.path(), &[], &["status", "--from", &from]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(&from) && said.contains("start modash"), "{said}");

    let tokens = TokensFile::new();
    let token = tokens.add("reader", Role::Read);
    let settings = [("MODASH_TOKENS_FILE", tokens.path().display().to_string())];
    let upstream = FakeUpstream::start().await;
    let all = [&settings[..], &[("UPSTREAM_URL", upstream.url())]].concat();
    let running = AllInOne::start(data.path(), &all, &[]).await;
    let from = format!("http://{}", running.analytics);
    let status = ["status", "--json", "--from", &from];
    let output = modash(data.path(), &[], &status).await;
    let said = text(&output.stderr);
    assert!(said.contains("MODASH_STATUS_TOKEN_FILE"), "{said}");
    let file = data.path().join("my.token");
    std::fs::write(&file, token.expose()).unwrap();
    let with_token = [("MODASH_STATUS_TOKEN_FILE", file.display().to_string())];
    let output = modash(data.path(), &with_token, &status).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Where the first start of a container leaves one.
    std::fs::rename(&file, data.path().join("dashboard.token")).unwrap();
    let output = modash(data.path(), &[], &status).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn open_prints_the_address_and_starts_the_browser() {
    let data = data_directory();
    let tools = TempDir::new().unwrap();
    let opened = tools.path().join("opened");
    let name = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let opener = tools.path().join(name);
    std::fs::write(&opener, format!("#!/bin/sh\necho \"$1\" > {}\n", opened.display())).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&opener, executable).unwrap();
    let upstream = FakeUpstream::start().await;
    let running = AllInOne::start(data.path(), &[("UPSTREAM_URL", upstream.url())], &[]).await;
    let listen = running.gateway.trim_start_matches("http://").to_owned();
    let path = format!("{}:/usr/bin:/bin", tools.path().display());
    let settings = [("MODASH_GATEWAY_LISTEN", listen), ("PATH", path)];

    let printed = modash(data.path(), &settings, &["open", "--print"]).await;
    assert_eq!(text(&printed.stdout), format!("{}\n", running.gateway));
    assert!(!opened.exists());
    let printed = modash(data.path(), &settings, &["open"]).await;
    assert_eq!(text(&printed.stdout), format!("{}\n", running.gateway));
    assert_eq!(std::fs::read_to_string(&opened).unwrap(), format!("{}\n", running.gateway));

    // Without a browser the address is enough.
    let nothing = [settings[0].clone(), ("PATH", "/nowhere".to_owned())];
    let output = modash(data.path(), &nothing, &["open"]).await;
    assert!(output.status.success() && text(&output.stderr).contains("open the address yourself"));

    // Tokens never go into an address; what is said is where one is.
    let tokens = TokensFile::new();
    let token = tokens.add("reader", Role::Read);
    std::fs::write(data.path().join("dashboard.token"), token.expose()).unwrap();
    let mut with_tokens = settings.to_vec();
    with_tokens.push(("MODASH_TOKENS_FILE", tokens.path().display().to_string()));
    let output = modash(data.path(), &with_tokens, &["open", "--print"]).await;
    let said = text(&output.stdout);
    assert!(
        said.contains("sign in with the token in") && said.contains("dashboard.token"),
        "{said}"
    );
    assert!(!said.contains(token.expose()), "{said}");

    let closed = [("MODASH_GATEWAY_LISTEN", "127.0.0.1:1".to_owned())];
    let output = modash(data.path(), &closed, &["open"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("start modash"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_are_scripts_and_the_manual_page_can_be_shown() {
    let data = data_directory();
    for shell in ["bash", "zsh", "fish"] {
        let output = modash(data.path(), &[], &["completions", shell]).await;
        let script = text(&output.stdout);
        assert!(output.status.success() && script.contains("doctor"), "{shell}: {script}");
        let file = data.path().join(shell);
        std::fs::write(&file, script).unwrap();
        if let Ok(checked) = Command::new(shell).arg("-n").arg(&file).output().await {
            assert!(checked.status.success(), "{shell}: {}", text(&checked.stderr));
        }
    }
    let output = modash(data.path(), &[], &["man"]).await;
    let file = data.path().join("modash.1");
    std::fs::write(&file, &output.stdout).unwrap();
    if let Ok(shown) = Command::new("man").args(["--warnings", "-l"]).arg(&file).output().await {
        let page = text(&shown.stdout);
        assert!(page.contains("modash doctor") && page.contains("--try"), "{page}");
        assert_eq!(text(&shown.stderr), "", "groff has nothing to say against it");
    }
}
