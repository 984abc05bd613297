//! One trace from a question to the gateway down to SQL, and from the delivery of
//! events to their commit, as a receiver of OTLP gets them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::HashSet;

use modash_integration::{PATIENCE, Process, post_json, rpc_value};
use modash_proto::v1::{
    EventBatch, Hello, StreamUsageRequest, ingest_service_client::IngestServiceClient,
    stream_usage_request::Message as Up, stream_usage_response::Message as Down,
};
use modash_test_support::{OtlpProtocol, OtlpReceiver, OtlpSpan, TestDatabase, event, eventually};
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// Analytics and a gateway that export what they do.
struct Traced {
    analytics_url: String,
    gateway_url: String,
    collector: OtlpReceiver,
    _gateway: Process,
    _analytics: Process,
    _database: TestDatabase,
}

impl Traced {
    async fn start() -> Self {
        let database = TestDatabase::create().await;
        let collector = OtlpReceiver::start(OtlpProtocol::Grpc).await;
        let exported = |more: &[(&'static str, String)]| {
            let mut settings = vec![
                ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.clone()),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned()),
                ("OTEL_METRICS_EXPORTER", "none".to_owned()),
                ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
            ];
            settings.extend_from_slice(more);
            settings
        };
        let any = || "127.0.0.1:0".to_owned();
        let analytics = Process::start(
            "modash-analytics",
            &exported(&[
                ("DATABASE_URL", database.url()),
                ("MODASH_ANALYTICS_LISTEN", any()),
                ("MODASH_ANALYTICS_ADMIN_LISTEN", any()),
            ]),
            &[],
        );
        let analytics_url = format!("http://{}", analytics.address("analytics").await);
        let gateway = Process::start(
            "modash-gateway",
            &exported(&[
                ("MODASH_GATEWAY_ANALYTICS_URL", analytics_url.clone()),
                ("MODASH_GATEWAY_LISTEN", any()),
                ("MODASH_GATEWAY_ADMIN_LISTEN", any()),
            ]),
            &[],
        );
        let gateway_url = format!("http://{}", gateway.address("gateway").await);
        eventually(PATIENCE, || async {
            rpc_value(&gateway_url, "UsageSummary", &json!({})).await
        })
        .await;
        Self {
            analytics_url,
            gateway_url,
            collector,
            _gateway: gateway,
            _analytics: analytics,
            _database: database,
        }
    }

    /// Asks as a client does that takes part in a trace.
    async fn ask(&self, tag: &str, payload: Value) -> Value {
        let frame = json!({
            "_tag": "Request", "id": "1", "tag": tag, "payload": payload, "headers": []
        });
        let traceparent = format!("00-{TRACE}-{CLIENT}-01");
        let url = format!("{}/rpc", self.gateway_url);
        let reply = post_json(&url, &[("traceparent", &traceparent)], &frame).await.unwrap();
        serde_json::from_slice(&reply.body).unwrap()
    }

    /// The spans of the client's trace, once they hold what is expected.
    async fn spans(&self, complete: impl Fn(&[OtlpSpan]) -> bool) -> Vec<OtlpSpan> {
        eventually(PATIENCE, || async {
            let mut spans = self.collector.spans();
            spans.retain(|span| span.ids()[0] == TRACE);
            if complete(&spans) { Ok(spans) } else { Err(format!("{spans:#?}")) }
        })
        .await
    }
}

fn named<'a>(spans: &'a [OtlpSpan], service: &str, name: &str) -> Option<&'a OtlpSpan> {
    spans.iter().find(|span| span.service == service && span.span.name == name)
}

/// The children of a span.
fn below<'a>(spans: &'a [OtlpSpan], parent: &OtlpSpan) -> Vec<&'a OtlpSpan> {
    let [_, id, _] = parent.ids();
    spans.iter().filter(|span| span.ids()[2] == id).collect()
}

const SUMMARY: &str = "modash.v1.AnalyticsService/UsageSummary";

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_one_trace_from_the_gateway_to_sql() {
    let traced = Traced::start().await;
    traced.ask("UsageSummary", json!({})).await;
    let spans = traced.spans(|spans| named(spans, "modash-gateway", "POST /rpc").is_some()).await;
    let request = named(&spans, "modash-gateway", "POST /rpc").unwrap();
    assert_eq!(request.ids()[2], CLIENT, "the client's span is the parent");
    assert_eq!(request.attributes()["http.response.status_code"], "200");

    let spans = traced
        .spans(|spans| {
            named(spans, "modash-gateway", SUMMARY).is_some()
                && named(spans, "modash-analytics", SUMMARY).is_some()
        })
        .await;
    let [question] = below(&spans, request)[..] else { panic!("one question: {spans:#?}") };
    assert_eq!((question.span.name.as_str(), question.span.kind), (SUMMARY, 3), "a client");
    let [call] = below(&spans, question)[..] else { panic!("one call: {spans:#?}") };
    assert_eq!((call.service.as_str(), call.span.kind), ("modash-analytics", 2), "a server");
    assert_eq!(call.attributes()["rpc.method"], SUMMARY);
    assert_eq!(call.attributes()["rpc.response.status_code"], "OK");
    let statements = below(&spans, call);
    let names: HashSet<_> = statements.iter().map(|span| span.span.name.as_str()).collect();
    assert!(names.contains("begin_reading") && names.contains("matching_series"), "{names:?}");
    for statement in statements {
        let attributes = statement.attributes();
        assert_eq!(attributes["db.system.name"], "postgresql");
        assert_eq!(attributes["db.query.summary"], statement.span.name);
        assert_eq!(statement.span.kind, 3, "a client");
        let (from, to) = (call.span.start_time_unix_nano, call.span.end_time_unix_nano);
        assert!(from <= statement.span.start_time_unix_nano, "{statement:#?}");
        assert!(statement.span.end_time_unix_nano <= to, "{statement:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_question_says_so_in_its_spans() {
    let traced = Traced::start().await;
    let answer = traced.ask("UsageSummary", json!({ "filter": { "traceIds": ["x"] } })).await;
    assert!(answer.to_string().contains("filter.traceIds"), "{answer}");
    let spans = traced.spans(|spans| named(spans, "modash-analytics", SUMMARY).is_some()).await;
    let call = named(&spans, "modash-analytics", SUMMARY).unwrap();
    assert_eq!(call.attributes()["rpc.response.status_code"], "INVALID_ARGUMENT");
    assert_eq!(call.span.status.as_ref().map_or(0, |status| status.code), 0, "not our error");
    let spans = traced.spans(|spans| named(spans, "modash-gateway", SUMMARY).is_some()).await;
    let question = named(&spans, "modash-gateway", SUMMARY).unwrap();
    assert_eq!(question.span.status.as_ref().map_or(0, |status| status.code), 2, "an error");
    assert_eq!(question.attributes()["error.type"], "INVALID_ARGUMENT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_belongs_to_the_deliveries_whose_events_it_has() {
    let traced = Traced::start().await;
    let mut client = IngestServiceClient::connect(traced.analytics_url.clone()).await.unwrap();
    let deliveries = [CLIENT, "00f067aa0ba902b8"];
    let batch = |first_sequence, span: &str| {
        Up::Batch(EventBatch {
            first_sequence,
            events: vec![event()],
            traceparent: format!("00-{TRACE}-{span}-01"),
            ..Default::default()
        })
    };
    let hello = Hello { replica_id: "replica-1".into(), next_sequence: 1, ..Default::default() };
    let messages = [Up::Hello(hello), batch(1, deliveries[0]), batch(2, deliveries[1])];
    let (up, requests) = tokio::sync::mpsc::channel(4);
    for message in messages {
        up.send(StreamUsageRequest { message: Some(message) }).await.unwrap();
    }
    let stream = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut answers = client.stream_usage(stream).await.unwrap().into_inner();
    loop {
        match answers.message().await.unwrap().unwrap().message.unwrap() {
            Down::Ack(ack) if ack.sequence == 2 => break,
            Down::Reject(reject) => panic!("{reject:?}"),
            _ => {}
        }
    }
    // One commit or two, as they came.
    let of = |spans: &[OtlpSpan]| {
        let commits = spans.iter().filter(|span| span.span.name == "commit events");
        commits
            .flat_map(|commit| {
                let links = commit.links().into_iter().map(|[_, span]| span);
                links.chain([commit.ids()[2].clone()]).collect::<Vec<_>>()
            })
            .collect::<HashSet<String>>()
    };
    let spans = traced.spans(|spans| of(spans).len() == 2).await;
    assert_eq!(of(&spans), deliveries.map(str::to_owned).into());
    for commit in spans.iter().filter(|span| span.span.name == "commit events") {
        assert_eq!(commit.span.kind, 5, "a consumer");
        let names: HashSet<_> =
            below(&spans, commit).iter().map(|span| span.span.name.clone()).collect();
        for statement in ["begin", "copy_requests", "copy_rollup_changes", "commit"] {
            assert!(names.contains(statement), "{statement} in {names:?}");
        }
    }
}
