//! The llama.cpp server, modash in front of it, and what both report.

use std::{net::TcpListener, path::Path, process::Command};

use modash_integration::{AllInOne, PATIENCE, Process, Signal, get, python, rpc_value};
use modash_test_support::eventually;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running llama.cpp server. Killed when dropped.
pub(crate) struct LlamaServer {
    /// `http://` and its address.
    pub(crate) url: String,
    process: Process,
    _model: TempDir,
}

impl LlamaServer {
    /// Starts it with more arguments and waits until the model is loaded.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let mut server = Self::launch(arguments);
        let line = eventually(PATIENCE, || async {
            let output = server.process.output();
            // A missing package: waiting changes nothing.
            assert!(!output.contains("llama_server: "), "{output}");
            let (_, url) = output.split_once("LISTEN ").ok_or_else(|| output.clone())?;
            url.split_once('\n').map(|(url, _)| url.to_owned()).ok_or(output.clone())
        })
        .await;
        server.url = line;
        server
    }

    /// Starts it on this port and does not wait. Loading takes a second or more: the
    /// memory of half a million tokens is prepared.
    pub(crate) fn loading(port: u16) -> Self {
        let mut server = Self::launch(&["--context", "500000", "--port", &port.to_string()]);
        server.url = format!("http://127.0.0.1:{port}");
        server
    }

    fn launch(arguments: &[&str]) -> Self {
        let model = TempDir::new().unwrap();
        let mut command = Command::new(python());
        command.arg(script("llama_server.py")).arg("--directory").arg(model.path());
        command.args(arguments);
        let process = Process::spawn("llama_server.py", command);
        Self { url: String::new(), process, _model: model }
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&self) {
        self.process.signal(Signal::KILL);
    }

    /// Prompt tokens, cached ones included, and generated tokens since its start.
    pub(crate) async fn totals(&self) -> (u64, u64) {
        let reply = get(&format!("{}/metrics", self.url)).await.unwrap();
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        let counter = |name: &str| -> u64 {
            let name = format!("llamacpp:{name} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&name));
            value.unwrap_or_else(|| panic!("{name} is missing in {text}")).parse().unwrap()
        };
        let prompt = counter("prompt_tokens_total") + counter("prompt_tokens_cached_total");
        (prompt, counter("tokens_predicted_total"))
    }

    /// How many of its slots work.
    pub(crate) async fn busy_slots(&self) -> usize {
        let reply = get(&format!("{}/slots", self.url)).await.unwrap();
        let slots: Vec<Value> = serde_json::from_slice(&reply.body).unwrap();
        slots.iter().filter(|slot| slot["is_processing"] == true).count()
    }
}

/// A port that is free now, below those that the system gives to others meanwhile.
pub(crate) fn free_port() -> u16 {
    let start = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    (start..).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// The path of a script of `tests/python`.
pub(crate) fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name)
}

/// modash with its own database, in front of the server.
pub(crate) struct Modash {
    /// The process.
    pub(crate) all: AllInOne,
    _data: TempDir,
}

impl Modash {
    /// Starts it; `stream_usage` is `observe` or `inject`.
    pub(crate) async fn start(upstream: &str, stream_usage: &str) -> Self {
        let data = TempDir::new().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(data.path(), open).unwrap();
        let settings = [
            ("UPSTREAM_URL", upstream.to_owned()),
            ("MODASH_PROXY_STREAM_USAGE", stream_usage.to_owned()),
        ];
        Self { all: AllInOne::start(data.path(), &settings, &[]).await, _data: data }
    }

    /// The URL of a path at the proxy.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.all.proxy)
    }

    /// The last hundred rows, newest last, once there are `count` in all.
    pub(crate) async fn rows(&self, count: usize) -> Vec<Value> {
        eventually(PATIENCE, || async {
            let page = json!({ "page": 1, "pageSize": 100 });
            let mut answer = rpc_value(&self.all.gateway, "RecentRequests", &page).await?;
            if answer["total"] != count {
                return Err(format!("{} rows instead of {count}", answer["total"]));
            }
            let mut rows: Vec<Value> = serde_json::from_value(answer["rows"].take()).unwrap();
            rows.reverse();
            Ok(rows)
        })
        .await
    }

    /// The sums over all requests, once there are `count`.
    pub(crate) async fn summary(&self, count: usize) -> Value {
        eventually(PATIENCE, || async {
            let summary = rpc_value(&self.all.gateway, "UsageSummary", &json!({})).await?;
            if summary["requests"] == count { Ok(summary) } else { Err(summary.to_string()) }
        })
        .await
    }
}
