//! One request from the client to SQL, and the question that finds it: as services of
//! their own, and all in one process.

use std::collections::BTreeSet;

use modash_integration::{AllInOne, PATIENCE, Process, Services, post_json, rpc_value};
use modash_test_support::{OtlpProtocol, OtlpReceiver, OtlpSpan, Relay, TestDatabase, eventually};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};

use super::{CLIENT_SPAN, TRACE, exporting, simulator};

/// Names that the services export under.
struct Names {
    proxy: &'static str,
    gateway: &'static str,
    analytics: &'static str,
}

/// Sends a traced, streamed request.
async fn chat(proxy_url: &str) {
    let request = json!({
        "model": "m", "max_tokens": 4, "stream": true,
        "messages": [{ "role": "user", "content": "words of somebody" }]
    });
    let traceparent = format!("00-{TRACE}-{CLIENT_SPAN}-01");
    let url = format!("{proxy_url}/v1/chat/completions");
    let reply = post_json(&url, &[("traceparent", &traceparent)], &request).await.unwrap();
    assert_eq!(reply.status.as_u16(), 200);
}

/// The one span of this service and name; an error until it came.
fn one<'s>(spans: &'s [OtlpSpan], service: &str, name: &str) -> Result<&'s OtlpSpan, String> {
    let found: Vec<_> =
        spans.iter().filter(|span| span.service == service && span.span.name == name).collect();
    match found[..] {
        [span] => Ok(span),
        [] => Err(format!("no {name} of {service}")),
        _ => panic!("{name} of {service} more than once: {found:#?}"),
    }
}

/// From the client's span to the statements that stored its row.
fn check_request(spans: &[OtlpSpan], names: &Names) -> Result<(), String> {
    let request = one(spans, names.proxy, "POST")?;
    let call = one(spans, names.proxy, "chat m")?;
    let delivery = one(spans, names.proxy, "deliver events")?;
    let commit = one(spans, names.analytics, "commit events")?;
    let [_, request_id, _] = request.ids();
    assert_eq!(request.ids(), [TRACE, &request_id, CLIENT_SPAN]);
    assert_eq!((&*call.ids()[0], &call.ids()[2]), (TRACE, &request_id));
    // A delivery has requests of many traces: it is linked to them.
    assert_eq!(delivery.links(), [[TRACE.to_owned(), request_id]]);
    assert_eq!(delivery.span.kind, SpanKind::Producer as i32);
    assert_eq!(delivery.attributes()["messaging.batch.message_count"], "1");
    let [trace, delivery_id, _] = delivery.ids();
    assert_eq!((&commit.ids()[0], &commit.ids()[2]), (&trace, &delivery_id));
    let within = |inner: &OtlpSpan, outer: &OtlpSpan| {
        outer.span.start_time_unix_nano <= inner.span.start_time_unix_nano
            && inner.span.end_time_unix_nano <= outer.span.end_time_unix_nano
    };
    assert!(within(call, request), "{spans:#?}");
    assert!(request.span.end_time_unix_nano <= delivery.span.start_time_unix_nano);
    assert!(delivery.span.start_time_unix_nano <= commit.span.start_time_unix_nano);
    let [_, commit_id, _] = commit.ids();
    let statements: Vec<_> = spans.iter().filter(|span| span.ids()[2] == commit_id).collect();
    let found: BTreeSet<&str> = statements.iter().map(|span| &*span.span.name).collect();
    for name in ["begin", "copy_requests", "copy_rollup_changes", "commit"] {
        if !found.contains(name) {
            return Err(format!("{name} is not in {found:?}"));
        }
    }
    assert!(statements.iter().all(|statement| within(statement, commit)), "{spans:#?}");
    assert!(!format!("{spans:?}").contains("somebody"), "no prompt leaves the proxy");
    Ok(())
}

/// The question that finds the row by its trace, down to SQL.
async fn check_question(gateway_url: &str, receiver: &OtlpReceiver, names: &Names) {
    let question = json!({ "filter": { "traceIds": [TRACE] }, "page": 1, "pageSize": 10 });
    let found = rpc_value(gateway_url, "RecentRequests", &question).await.unwrap();
    assert_eq!(found["rows"][0]["traceId"], TRACE, "{found}");
    eventually(PATIENCE, || async {
        let spans = receiver.spans();
        let begun = |name: &str, service: &str, kind: SpanKind| {
            let is = |span: &&OtlpSpan| {
                span.span.name == name && span.service == service && span.span.kind == kind as i32
            };
            spans.iter().filter(is).map(OtlpSpan::ids).collect::<Vec<_>>()
        };
        let name = "modash.v1.AnalyticsService/RecentRequests";
        let requests = begun("POST /rpc", names.gateway, SpanKind::Server);
        let questions = begun(name, names.gateway, SpanKind::Client);
        let calls = begun(name, names.analytics, SpanKind::Server);
        let [[trace, call, parent]] = &calls[..] else { return Err(format!("{calls:?}")) };
        let asked = questions.iter().find(|[_, id, _]| id == parent).ok_or("no question")?;
        requests.iter().find(|[_, id, _]| *id == asked[2]).ok_or("no request")?;
        assert_eq!(asked[0], *trace);
        let is_below = |span: &OtlpSpan| span.ids()[2] == *call;
        spans.iter().any(is_below).then_some(()).ok_or("no statement".to_owned())
    })
    .await;
}

/// How long each service worked, by the metrics of the conventions.
async fn check_durations(receiver: &OtlpReceiver) {
    const NAMES: [&str; 5] = [
        "db.client.operation.duration",
        "gen_ai.client.operation.duration",
        "http.server.request.duration",
        "rpc.client.call.duration",
        "rpc.server.call.duration",
    ];
    eventually(PATIENCE, || async {
        for name in NAMES {
            let (count, seconds, bounds) = receiver.histogram(name).ok_or(name)?;
            assert!(count > 0 && seconds > 0.0, "{name}: {count} {seconds}");
            assert_eq!(
                bounds.last(),
                Some(if name.starts_with("gen_ai") { &81.92 } else { &10.0 })
            );
        }
        Ok::<(), String>(())
    })
    .await;
}

/// A line that was written within a span names it.
async fn check_log(analytics: &Process, receiver: &OtlpReceiver) {
    analytics.says("query failed").await;
    let output = analytics.output();
    let line = output.lines().find(|line| line.contains("query failed")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    eventually(PATIENCE, || async {
        let spans = receiver.spans();
        let named = |span: &&OtlpSpan| {
            let [trace, id, _] = span.ids();
            line["trace_id"] == trace && line["span_id"] == id
        };
        let span = spans.iter().find(named).ok_or(format!("no span of {line}"))?;
        assert_eq!(span.span.name, "modash.v1.AnalyticsService/UsageSummary");
        Ok::<(), String>(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_their_own_make_one_trace_from_the_client_to_sql() {
    let receiver = OtlpReceiver::start(OtlpProtocol::Grpc).await;
    let database = TestDatabase::create().await;
    let exported = exporting(&receiver.url, OtlpProtocol::Grpc);
    let line = Relay::start(database.socket()).await;
    let url = database.url_through(line.address());
    let services = Services::start_with(&url, &simulator().await, &exported).await;
    chat(&services.proxy_url).await;
    let names =
        Names { proxy: "modash-proxy", gateway: "modash-gateway", analytics: "modash-analytics" };
    eventually(PATIENCE, || async { check_request(&receiver.spans(), &names) }).await;
    check_question(&services.gateway_url, &receiver, &names).await;
    check_durations(&receiver).await;
    line.cut();
    rpc_value(&services.gateway_url, "UsageSummary", &json!({})).await.unwrap_err();
    check_log(&services.analytics, &receiver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_makes_the_same_trace_under_one_name() {
    let receiver = OtlpReceiver::start(OtlpProtocol::Http).await;
    let directory = tempfile::tempdir().unwrap();
    let mut settings = exporting(&receiver.url, OtlpProtocol::Http);
    settings.push(("UPSTREAM_URL", simulator().await));
    let modash = AllInOne::start(directory.path(), &settings, &[]).await;
    chat(&modash.proxy).await;
    let names = Names { proxy: "modash", gateway: "modash", analytics: "modash" };
    eventually(PATIENCE, || async { check_request(&receiver.spans(), &names) }).await;
    check_question(&modash.gateway, &receiver, &names).await;
    check_durations(&receiver).await;
}
