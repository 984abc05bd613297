//! Clients of HTTP and of WebSockets that were not made for modash, through the
//! real proxy process.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{io::Write as _, path::Path, process::Command};

use modash_integration::{Process, ProxyAlone};
use modash_test_support::{Answer, FakeUpstream, raw::Coding};
use tempfile::NamedTempFile;

/// Runs curl; what it wrote.
async fn curl(arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    // The proxy under test is reached directly, whatever the environment says.
    command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]);
    command.args(arguments);
    Process::spawn("curl", command).succeeds().await
}

/// Version, status and how many connections were opened.
const SEEN: &str = "\n%{http_version} %{http_code} %{num_connects}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_speaks_every_version_of_http() {
    let upstream = FakeUpstream::start().await;
    let events = ["data: 1\n\n", "data: 2\n\n", "data: [DONE]\n\n"];
    let stream = events.iter().fold(Answer::event_stream(), |answer, event| answer.chunk(*event));
    upstream.answer_always(stream);
    for scheme in ["http", "h2c"] {
        let proxy = ProxyAlone::start(&format!("{scheme}://{}", upstream.address()), &[]).await;
        let url = format!("{}/v1/chat/completions", proxy.url());
        for (option, version) in [
            ("--http2-prior-knowledge", "2"),
            ("--http1.1", "1.1"),
            ("--http1.0", "1"),
            // It asks to go on in HTTP/2, and takes no for an answer.
            ("--http2", "1.1"),
        ] {
            let output = curl(&[option, "--data", "{}", "--write-out", SEEN, &url]).await;
            let expected = format!("{}\n{version} 200 1\n", events.concat());
            assert_eq!(output, expected, "{option} to {scheme}");
        }
        // Twice on one connection. (curl before 8.0 cannot do it with HTTP/2 by prior
        // knowledge: curl/curl#10643.)
        let output = curl(&["--http1.1", "--write-out", SEEN, &url, &url]).await;
        assert!(output.contains(" 200 1\n") && output.ends_with(" 200 0\n"), "{output}");
        for option in ["--http2-prior-knowledge", "--http1.1", "--http1.0"] {
            let output = curl(&[option, "--head", &url]).await;
            assert!(output.contains(" 200") && output.contains("text/event-stream"), "{output}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_uploads_large_files_and_takes_compressed_answers() {
    let upstream = FakeUpstream::start().await;
    let text = "all work and no play ".repeat(10_000);
    for (coding, name) in [(Coding::Gzip, "gzip"), (Coding::Br, "br"), (Coding::Zstd, "zstd")] {
        let body = coding.encode(&[text.as_bytes()]);
        for _ in 0..2 {
            upstream.answer(Answer::json(body.clone()).header("content-encoding", name));
        }
    }
    let mut file = NamedTempFile::new().unwrap();
    let upload: Vec<u8> = (0..3_000_000_u32).map(|place| (place % 251) as u8).collect();
    file.write_all(&upload).unwrap();
    let data = format!("@{}", file.path().display());
    let proxy = ProxyAlone::start(&upstream.url(), &[]).await;
    let url = format!("{}/v1/files", proxy.url());
    for _ in 0..3 {
        // Over HTTP/1.1 it waits for 100 before it sends so much.
        for option in ["--http1.1", "--http2-prior-knowledge"] {
            let output = curl(&[option, "-i", "--compressed", "--data-binary", &data, &url]).await;
            let right = output.trim_end().ends_with(text.trim_end());
            assert!(right, "{option}: {output:.300}");
            let received = upstream.next_request().await;
            assert!(received.body().await.unwrap() == upload, "{option}");
            assert_eq!(received.headers.contains_key("expect"), option == "--http1.1");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_carry_messages_of_all_kinds_and_their_closing() {
    let python = modash_integration::python();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/websocket_echo.py");
    let mut command = Command::new(&python);
    command.arg(&script).arg("serve");
    let server = Process::spawn("websocket server", command);
    server.says("listening on ").await;
    let output = server.output();
    let port = output.lines().find_map(|line| line.strip_prefix("listening on ")).unwrap();
    let proxy = ProxyAlone::start(&format!("http://127.0.0.1:{port}"), &[]).await;
    let mut command = Command::new(&python);
    command.arg(&script).arg("talk");
    command.arg(format!("ws://{}/v1/realtime?model=m", proxy.address));
    let output = Process::spawn("websocket client", command).succeeds().await;
    println!("{output}");
    // What the client said when it left, as the server heard it.
    server.says("closed by the client with 3001 good bye").await;
}
