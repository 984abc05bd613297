//! A real Prometheus scrapes all services, and what `docs/observability` is made of
//! works with what it finds: queries of the dashboard, expressions of the alerts.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use modash_integration::{PATIENCE, Process, Services, get, post_json, rpc_value};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig};
use modash_test_support::{TestDatabase, eventually};
use serde_json::{Value, json};

fn docs(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).join(name)
}

/// Names of samples in `docs/metrics.md`, which is made from the services' tables.
fn documented() -> BTreeSet<String> {
    let page = fs::read_to_string(docs("metrics.md")).unwrap();
    let mut names = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        if cells[2] == "histogram" {
            names.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
        } else {
            names.insert(name.to_owned());
        }
    }
    assert!(names.len() > 50, "{names:?}");
    names
}

/// Words of an expression that name metrics of ours.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("modash_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// Expressions of the dashboard, as Grafana sends them.
fn dashboard() -> Vec<String> {
    let text = fs::read_to_string(docs("observability/grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expression = |target: &Value| {
        let expression = target["expr"].as_str().unwrap();
        expression
            .replace("$__rate_interval", "1m")
            .replace("$upstream", ".*")
            .replace("$model", ".*")
    };
    targets.map(expression).collect()
}

#[test]
fn dashboard_and_alerts_use_only_metrics_that_exist() {
    let known = documented();
    let alerts = fs::read_to_string(docs("observability/alerts.yml")).unwrap();
    let expressions = dashboard();
    assert!(expressions.len() > 30, "{expressions:?}");
    for expression in expressions.iter().chain([&alerts]) {
        for name in metrics_of(expression) {
            assert!(known.contains(&name), "{name} is not in docs/metrics.md: {expression}");
        }
    }
}

#[test]
fn promtool_accepts_the_alerts_and_the_example_configuration() {
    for (kind, file) in [("rules", "alerts.yml"), ("config", "prometheus.yml")] {
        let path = docs("observability").join(file);
        let output = Command::new("promtool").arg("check").arg(kind).arg(path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// No Collector can be started here: this holds the shape that it would refuse, and lets
/// promtool read the part that is Prometheus' own.
#[test]
fn the_example_of_a_collector_uses_what_it_declares() {
    let to_json = "import json,sys,yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let output = Command::new(modash_integration::python())
        .args(["-c", to_json])
        .arg(docs("observability/collector.yaml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut used = BTreeSet::new();
    for (signal, pipeline) in config["service"]["pipelines"].as_object().unwrap() {
        for kind in ["receivers", "processors", "exporters"] {
            for name in pipeline[kind].as_array().unwrap() {
                let name = name.as_str().unwrap();
                assert!(!config[kind][name].is_null(), "{signal} uses {name}: no {kind} of it");
                used.insert((kind, name));
            }
        }
        // The Collector's own advice: refuse before anything is gathered.
        assert_eq!(pipeline["processors"][0], "memory_limiter", "{signal}");
    }
    for kind in ["receivers", "processors", "exporters"] {
        for name in config[kind].as_object().unwrap().keys() {
            assert!(used.contains(&(kind, name.as_str())), "{name} of {kind} is used nowhere");
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), config["receivers"]["prometheus"]["config"].to_string()).unwrap();
    let output = Command::new("promtool").args(["check", "config"]).arg(file.path()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A Prometheus of its own that scrapes these addresses each second.
struct Prometheus {
    url: String,
    _process: Process,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    async fn start(targets: &[SocketAddr]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [docs("observability/alerts.yml").display().to_string()],
            "scrape_configs": [{
                "job_name": "modash",
                "static_configs": [{
                    "targets": targets.iter().map(ToString::to_string).collect::<Vec<_>>()
                }]
            }]
        });
        // JSON is YAML.
        let path = directory.path().join("prometheus.yml");
        fs::write(&path, config.to_string()).unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--enable-feature=exemplar-storage"]);
        let process = Process::spawn("prometheus", command);
        let address: SocketAddr = eventually(PATIENCE, || async {
            let output = process.output();
            let line = output.lines().find(|line| line.contains(r#"msg="Listening on""#));
            let address = line.and_then(|line| line.split("address=").nth(1)?.parse().ok());
            address.ok_or(output)
        })
        .await;
        Self { url: format!("http://{address}"), _process: process, _directory: directory }
    }

    async fn api(&self, path: &str) -> Result<Value, String> {
        let reply = get(&format!("{}/api/v1/{path}", self.url)).await?;
        let answer: Value = serde_json::from_slice(&reply.body).map_err(|e| e.to_string())?;
        if answer["status"] == "success" {
            Ok(answer["data"].clone())
        } else {
            Err(format!("{path}: {answer}"))
        }
    }

    /// The value of an expression that gives one.
    async fn value(&self, expression: &str) -> Result<f64, String> {
        let data = self.api(&format!("query?query={}", escaped(expression))).await?;
        let value = data["result"][0]["value"][1].as_str().and_then(|text| text.parse().ok());
        value.ok_or_else(|| format!("{expression}: {data}"))
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn chat(proxy: &str, stream: bool, model: &str) -> u16 {
    let mut request = json!({
        "model": model, "max_tokens": 4, "stream": stream,
        "messages": [{ "role": "user", "content": "one two" }]
    });
    if stream {
        request["stream_options"] = json!({ "include_usage": true });
    }
    let url = format!("{proxy}/v1/chat/completions");
    post_json(&url, &[], &request).await.unwrap().status.as_u16()
}

/// Whoever does not ask for OpenMetrics gets a page that Prometheus' own linter accepts.
async fn check_text_format(target: SocketAddr) {
    let page = get(&format!("http://{target}/metrics")).await.unwrap();
    assert_eq!(page.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let mut linter = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    linter.stdin.take().unwrap().write_all(&page.body).unwrap();
    let output = linter.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&page.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_finds_every_metric_and_the_right_values() {
    let database = TestDatabase::create().await;
    let simulator =
        Simulator::bind(SimulatorConfig { rate_limits: true, ..Default::default() }).await.unwrap();
    let upstream = simulator.url();
    tokio::spawn(simulator.run(Shutdown::new(Duration::from_secs(1))));
    let services = Services::start(&database.url(), &upstream).await;
    let mut targets = Vec::new();
    for (process, purpose) in [
        (&services.proxy, "proxy admin"),
        (&services.gateway, "gateway admin"),
        (&services.analytics, "analytics admin"),
    ] {
        targets.push(process.address(purpose).await);
    }
    for _ in 0..3 {
        assert_eq!(chat(&services.proxy_url, true, "m").await, 200);
        assert_eq!(chat(&services.proxy_url, false, "m").await, 200);
    }
    let refused = [("x-simulate-status", "429")];
    let url = format!("{}/v1/chat/completions", services.proxy_url);
    let body = json!({ "model": "refused", "messages": [{ "role": "user", "content": "one" }] });
    assert_eq!(post_json(&url, &refused, &body).await.unwrap().status, 429);
    // Counted under a reason: an event that no database takes is hard to make here, and
    // there is no TLS, so these families stay empty.
    let never_shown = [
        "modash_analytics_ingest_rejected_events_total",
        "modash_analytics_tls_handshakes_refused_total",
        "modash_gateway_tls_handshakes_refused_total",
        "modash_proxy_tls_handshakes_refused_total",
    ];
    eventually(PATIENCE, || async {
        let summary = rpc_value(&services.gateway_url, "UsageSummary", &json!({})).await?;
        if summary["requests"] == 7 { Ok(()) } else { Err(summary.to_string()) }
    })
    .await;
    let budget = json!({ "name": "all", "tokens": 1, "calendar": "CALENDAR_PERIOD_MONTH" });
    rpc_value(&services.gateway_url, "SaveBudget", &budget).await.unwrap();
    eventually(PATIENCE, || async {
        let page = get(&format!("http://{}/metrics", targets[2])).await?;
        let page = String::from_utf8_lossy(&page.body).into_owned();
        if page.contains("modash_budget_notices") { Ok(()) } else { Err(page) }
    })
    .await;

    for target in &targets {
        check_text_format(*target).await;
    }

    let prometheus = Prometheus::start(&targets).await;
    eventually(PATIENCE, || async {
        let data = prometheus.api("targets").await?;
        let active = data["activeTargets"].as_array().ok_or("no targets")?;
        let up = active.iter().filter(|t| t["health"] == "up" && t["lastError"] == "").count();
        if up == 3 { Ok(()) } else { Err(data.to_string()) }
    })
    .await;

    let names = prometheus.api("label/__name__/values").await.unwrap();
    let ours = |name: &&str| name.starts_with("modash_") || name.starts_with("process_");
    let found: BTreeSet<String> = names
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .filter(ours)
        .map(str::to_owned)
        .collect();
    let documented = documented();
    let undocumented: Vec<_> = found.difference(&documented).collect();
    assert!(undocumented.is_empty(), "not in docs/metrics.md: {undocumented:?}");
    let missing: Vec<_> = documented
        .difference(&found)
        .filter(|name| !never_shown.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "documented and never scraped: {missing:?}");

    let all = r#"{upstream="default",dialect="openai-chat",model="m",outcome="ok"}"#;
    for (expression, expected) in [
        (format!("modash_proxy_request_duration_seconds_count{all}"), 6.0),
        (format!("modash_proxy_time_to_first_token_seconds_count{all}"), 3.0),
        (format!("modash_proxy_overhead_seconds_count{all}"), 6.0),
        (r#"modash_proxy_request_tokens_sum{model="m",type="output"}"#.to_owned(), 24.0),
        ("modash_proxy_requests_finished_total".to_owned(), 7.0),
        ("sum(modash_analytics_ingest_committed_events_total)".to_owned(), 7.0),
        ("count(modash_build_info)".to_owned(), 3.0),
    ] {
        assert_eq!(prometheus.value(&expression).await, Ok(expected), "{expression}");
    }
    // Under load the time is longer, never shorter; what modash adds is less.
    let sum = |name: &str| format!("modash_proxy_{name}_seconds_sum{all}");
    let whole = prometheus.value(&sum("request_duration")).await.unwrap();
    let added = prometheus.value(&sum("overhead")).await.unwrap();
    assert!(whole > added && added > 0.0, "{whole} s in all, {added} s of modash");

    for expression in dashboard() {
        let query = format!("query?query={}", escaped(&expression));
        prometheus.api(&query).await.unwrap();
    }
    eventually(PATIENCE, || async {
        let data = prometheus.api("rules").await?;
        let rules = data["groups"][0]["rules"].as_array().ok_or("no rules")?.clone();
        let evaluated = rules.iter().filter(|rule| rule["health"] == "ok").count();
        if rules.len() >= 12 && evaluated == rules.len() { Ok(()) } else { Err(data.to_string()) }
    })
    .await;
}
