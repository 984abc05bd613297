//! Traces and metrics by OTLP, taken by a receiver that speaks gRPC or HTTP: parents,
//! links, times, attributes, status, metrics of the proxy. The whole way of a request
//! to SQL is in `whole_way.rs`, what a collector in a bad state costs in `collectors.rs`.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod collectors;
mod heads;
mod whole_way;

use std::{path::Path, process::Command, time::Duration};

use modash_integration::{PATIENCE, Process, ProxyAlone, post_json};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig};
use modash_test_support::{OtlpProtocol, OtlpReceiver, OtlpSpan, eventually};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT_SPAN: &str = "00f067aa0ba902b7";

async fn simulator() -> String {
    let simulator = Simulator::bind(SimulatorConfig::default()).await.unwrap();
    let url = simulator.url();
    tokio::spawn(simulator.run(Shutdown::new(Duration::from_secs(1))));
    url
}

/// Settings that export to an address, quickly.
fn exporting(endpoint: &str, protocol: OtlpProtocol) -> Vec<(&'static str, String)> {
    let protocol = if protocol == OtlpProtocol::Grpc { "grpc" } else { "http/protobuf" };
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.to_owned()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "500".to_owned()),
    ]
}

async fn chat(proxy: &ProxyAlone, headers: &[(&str, &str)]) -> u16 {
    let request = json!({
        "model": "m", "max_tokens": 4, "stream": true,
        "stream_options": { "include_usage": true },
        "messages": [{ "role": "user", "content": "words of somebody" }]
    });
    let url = format!("{}/v1/chat/completions", proxy.url());
    post_json(&url, headers, &request).await.unwrap().status.as_u16()
}

async fn spans(receiver: &OtlpReceiver, count: usize) -> Vec<OtlpSpan> {
    eventually(PATIENCE, || async {
        let spans = receiver.spans();
        if spans.len() == count { Ok(spans) } else { Err(format!("{} spans", spans.len())) }
    })
    .await
}

/// The span of the request and that of the call.
fn both(spans: &[OtlpSpan]) -> [&OtlpSpan; 2] {
    [SpanKind::Server, SpanKind::Client].map(|kind| {
        let found = spans.iter().rev().find(|found| found.span.kind == kind as i32);
        found.unwrap_or_else(|| panic!("{kind:?} is missing in {spans:?}"))
    })
}

/// One sampled, streamed request.
async fn a_streamed_request(receiver: OtlpReceiver, protocol: OtlpProtocol) {
    let mut settings = exporting(&receiver.url, protocol);
    if !receiver.certificate.is_empty() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &receiver.certificate).unwrap();
        let path = file.into_temp_path().keep().unwrap().display().to_string();
        settings.push(("OTEL_EXPORTER_OTLP_CERTIFICATE", path));
    }
    settings.push(("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k%201".to_owned()));
    let proxy = ProxyAlone::start(&simulator().await, &settings).await;
    let traceparent = format!("00-{TRACE}-{CLIENT_SPAN}-01");
    assert_eq!(chat(&proxy, &[("traceparent", &traceparent), ("session-id", "s-1")]).await, 200);
    let spans = spans(&receiver, 2).await;
    let [request, call] = both(&spans);
    let [_, request_id, _] = request.ids();
    assert_eq!(request.ids(), [TRACE, &request_id, CLIENT_SPAN]);
    let [trace, _, parent] = call.ids();
    assert_eq!((&*trace, &parent), (TRACE, &request_id));
    assert_eq!((&*request.span.name, &*call.span.name), ("POST", "chat m"));
    let (from, to) = (request.span.start_time_unix_nano, request.span.end_time_unix_nano);
    assert!(from <= call.span.start_time_unix_nano && call.span.end_time_unix_nano <= to);
    let tokens: Vec<_> = call.span.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(tokens, ["modash.first_token", "modash.last_token"]);
    assert!(call.span.events.iter().all(|event| (from..=to).contains(&event.time_unix_nano)));
    let attributes = call.attributes();
    for (name, expected) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "m"),
        ("gen_ai.request.stream", "true"),
        ("gen_ai.usage.output_tokens", "4"),
        ("gen_ai.conversation.id", "s-1"),
        ("server.address", "127.0.0.1"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(attributes.get(name).map(String::as_str), Some(expected), "{name}");
    }
    let status = |span: &OtlpSpan| span.span.status.as_ref().map_or(0, |status| status.code);
    assert_eq!((status(request), status(call)), (0, 0));
    assert!(!format!("{spans:?}").contains("somebody"), "no prompt leaves the proxy");
    assert_eq!((&*call.service, &*call.scope), ("modash-proxy", "modash_proxy"));
    if protocol == OtlpProtocol::Http {
        let header = ("api-key".to_owned(), "k 1".to_owned());
        assert!(receiver.headers().contains(&header), "{:?}", receiver.headers());
    }
    metrics_of_one_request(&receiver).await;
}

async fn metrics_of_one_request(receiver: &OtlpReceiver) {
    const NAMES: [&str; 4] = [
        "gen_ai.client.operation.duration",
        "gen_ai.client.token.usage",
        "gen_ai.server.time_to_first_token",
        "gen_ai.server.time_per_output_token",
    ];
    let [duration, tokens, first, each] = eventually(PATIENCE, || async {
        let found: Vec<_> = NAMES.iter().filter_map(|name| receiver.histogram(name)).collect();
        <[_; 4]>::try_from(found).map_err(|found| format!("{found:?}"))
    })
    .await;
    assert!(duration.1 > 0.0);
    assert_eq!((duration.2.first(), duration.2.last()), (Some(&0.01), Some(&81.92)));
    // Input and output.
    assert_eq!([duration.0, tokens.0, first.0, each.0], [1, 2, 1, 1]);
    assert_eq!((tokens.2.first(), tokens.2.last()), (Some(&1.0), Some(&67_108_864.0)));
    // As the conventions 1.42.0 list them for this metric.
    let bounds = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];
    assert_eq!(each.2, bounds);
    assert!(first.1 <= duration.1 && each.1 * 3.0 <= duration.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_request_is_two_spans_and_four_metrics_over_grpc() {
    a_streamed_request(OtlpReceiver::start(OtlpProtocol::Grpc).await, OtlpProtocol::Grpc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_request_is_two_spans_and_four_metrics_over_http() {
    a_streamed_request(OtlpReceiver::start(OtlpProtocol::Http).await, OtlpProtocol::Http).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_spoken_to_by_tls_with_the_authorities_of_a_file() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::Http] {
        a_streamed_request(OtlpReceiver::start_tls(protocol).await, protocol).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_a_status_and_unsampled_requests_no_span() {
    let receiver = OtlpReceiver::start(OtlpProtocol::Http).await;
    // Nothing listens there.
    let settings = exporting(&receiver.url, OtlpProtocol::Http);
    let proxy = ProxyAlone::start("http://127.0.0.1:1", &settings).await;
    let unsampled = format!("00-{TRACE}-{CLIENT_SPAN}-00");
    assert_eq!(chat(&proxy, &[("traceparent", &unsampled)]).await, 502);
    assert_eq!(chat(&proxy, &[]).await, 502);
    let spans = spans(&receiver, 2).await;
    for span in both(&spans) {
        assert_ne!(span.ids()[0], TRACE);
        assert_eq!(span.span.status.as_ref().unwrap().code, StatusCode::Error as i32);
        assert_eq!(span.attributes()["error.type"], "upstream_unreachable");
    }
    assert_eq!(both(&spans)[0].ids()[2], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_and_an_upstream_that_times_out_are_told_apart() {
    let receiver = OtlpReceiver::start(OtlpProtocol::Grpc).await;
    let silent = heads::Upstream::silent().await;
    let mut settings = exporting(&receiver.url, OtlpProtocol::Grpc);
    settings.push(("MODASH_PROXY_UPSTREAM_HEAD_TIMEOUT_SECONDS", "1".to_owned()));
    let proxy = ProxyAlone::start(&silent.url(), &settings).await;
    let leaving = chat(&proxy, &[("x-session-id", "leaves")]);
    assert!(tokio::time::timeout(Duration::from_millis(300), leaving).await.is_err());
    assert_eq!(chat(&proxy, &[("x-session-id", "stays")]).await, 504);
    let spans = spans(&receiver, 4).await;
    for (session, outcome, code) in [
        ("leaves", "client_closed", StatusCode::Unset),
        ("stays", "upstream_timeout", StatusCode::Error),
    ] {
        let named = |span: &&OtlpSpan| {
            span.attributes().get("gen_ai.conversation.id").is_some_and(|id| id == session)
        };
        let call = spans.iter().find(named).unwrap_or_else(|| panic!("{session}: {spans:?}"));
        assert_eq!(call.attributes()["modash.outcome"], outcome);
        let status = call.span.status.as_ref().map_or(0, |status| status.code);
        assert_eq!(status, code as i32, "{session}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_gets_the_clients_context_or_that_of_the_call() {
    let receiver = OtlpReceiver::start(OtlpProtocol::Http).await;
    for (mode, header, value) in [
        ("pass", "traceparent", format!("00-{TRACE}-{CLIENT_SPAN}-01")),
        ("child", "traceparent", format!("00-{TRACE}-{CLIENT_SPAN}-01")),
        ("child", "b3", format!("{TRACE}-{CLIENT_SPAN}-1")),
    ] {
        let upstream = heads::Upstream::start().await;
        let mut settings = exporting(&receiver.url, OtlpProtocol::Http);
        settings.push(("MODASH_PROXY_TRACE_CONTEXT", mode.to_owned()));
        settings.push(("OTEL_PROPAGATORS", "tracecontext,b3".to_owned()));
        let proxy = ProxyAlone::start(&upstream.url(), &settings).await;
        let before = receiver.spans().len();
        chat(&proxy, &[(header, &value), ("tracestate", "vendor=1")]).await;
        let head = upstream.head().await;
        assert!(head.contains("tracestate: vendor=1"), "{head}");
        let spans = spans(&receiver, before + 2).await;
        if mode == "pass" {
            assert!(head.contains(&format!("{header}: {value}")), "{head}");
            continue;
        }
        assert!(!head.contains(CLIENT_SPAN), "{head}");
        let [trace, call, _] = both(&spans)[1].ids();
        assert_eq!(trace, TRACE);
        assert!(head.contains(&format!("traceparent: 00-{TRACE}-{call}-01")), "{head}");
        assert!(head.contains(&format!("b3: {TRACE}-{call}-1")), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_of_a_python_client_is_the_parent_of_the_requests() {
    let receiver = OtlpReceiver::start(OtlpProtocol::Http).await;
    let settings = exporting(&receiver.url, OtlpProtocol::Http);
    let proxy = ProxyAlone::start(&simulator().await, &settings).await;
    let mut command = Command::new(modash_integration::python());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/traced_client.py");
    command.arg(script).args(["--proxy", &proxy.url()]);
    let output = Process::spawn("traced_client.py", command).succeeds().await;
    let client = output.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()).unwrap();
    let spans = spans(&receiver, 2).await;
    let [trace, _, parent] = both(&spans)[0].ids();
    assert_eq!(json!({ "trace": trace, "span": parent }), client);
}
