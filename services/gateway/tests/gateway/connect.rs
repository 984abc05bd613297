//! Plain JSON: the Connect protocol's unary calls.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use prost::Message as _;
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{Answer, TestGateway};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn call(gateway: &TestGateway, method: &str, body: &str) -> Answer {
    gateway.post(&format!("/modash.v1.AnalyticsService/{method}"), &[JSON], body.to_owned()).await
}

#[tokio::test]
async fn answers_are_proto3_json_with_every_field_that_has_no_presence() {
    let gateway = TestGateway::start().await;
    let answer = call(&gateway, "UsageSummary", "{}").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    let summary = answer.json();
    assert_eq!(summary["requests"], json!("3"));
    assert_eq!(summary["failedRequests"], json!("0"));
    assert_eq!(summary["durationMs"], json!({"p50": 41.5}));
    assert_eq!(summary.get("previous"), None);

    let page = call(&gateway, "RecentRequests", r#"{"page":2,"page_size":10}"#).await;
    assert_eq!(
        page.json(),
        json!({"rows": [], "total": "1", "page": 2, "pageSize": 10, "nextPageToken": ""})
    );
    let series = call(&gateway, "ThroughputTimeseries", "{}").await.json();
    assert_eq!(series["series"][0]["decodeP50"], json!(["NaN"]));
    assert_eq!(series["bucketStarts"], json!(["1970-01-01T00:00:00Z"]));
}

#[tokio::test]
async fn requests_are_proto3_json_in_both_namings() {
    let gateway = TestGateway::start().await;
    let body = r#"{"range":{"start":"2026-11-23T13:42:33.618Z"},"compare_previous":true,
                   "timeZone":"Europe/Vienna","filter":{"operations":["OPERATION_CHAT"]},"x":1}"#;
    assert_eq!(call(&gateway, "UsageSummary", body).await.status, 200);
    let seen = gateway.script.summary.lock().unwrap().clone().unwrap();
    assert!(seen.compare_previous);
    assert_eq!(seen.time_zone, "Europe/Vienna");
    assert_eq!(seen.range.unwrap().start.unwrap().nanos, 618_000_000);
    assert_eq!(seen.filter.unwrap().operations, [1]);
}

#[tokio::test]
async fn the_shorthand_behaves_the_same() {
    let gateway = TestGateway::start().await;
    let long = call(&gateway, "UsageSummary", "{}").await;
    let short = gateway.post("/rpc/UsageSummary", &[JSON], "{}").await;
    assert_eq!((short.status, short.body), (long.status, long.body));
}

#[tokio::test]
async fn a_refused_page_has_code_message_and_details() {
    let gateway = TestGateway::start().await;
    let answer = call(&gateway, "RecentRequests", r#"{"page":0,"pageSize":10}"#).await;
    assert_eq!(answer.status, 400);
    let error = answer.json();
    assert_eq!(error["code"], "invalid_argument");
    assert_eq!(error["message"], "page: must be at least 1");
    assert_eq!(error["details"][0]["type"], "google.rpc.BadRequest");
    let value = STANDARD_NO_PAD.decode(error["details"][0]["value"].as_str().unwrap()).unwrap();
    let details = tonic_types::pb::BadRequest::decode(&*value).unwrap();
    assert_eq!(details.field_violations[0].field, "page");
}

#[tokio::test]
async fn every_code_has_its_status() {
    let gateway = TestGateway::start().await;
    for (code, name, status) in [
        (Code::Cancelled, "canceled", 499),
        (Code::DeadlineExceeded, "deadline_exceeded", 504),
        (Code::NotFound, "not_found", 404),
        (Code::ResourceExhausted, "resource_exhausted", 429),
        (Code::Internal, "internal", 500),
        (Code::Unavailable, "unavailable", 503),
        (Code::Unauthenticated, "unauthenticated", 401),
    ] {
        gateway.script.fail(code, "database is locked");
        let answer = call(&gateway, "UsageSummary", "{}").await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.json(), json!({"code": name, "message": "database is locked"}));
    }
}

#[tokio::test]
async fn analytics_away_is_unavailable() {
    let mut gateway = TestGateway::start().await;
    gateway.kill_analytics();
    let answer = call(&gateway, "UsageSummary", "{}").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (503, &json!("unavailable")));
}

#[tokio::test]
async fn bad_bodies_are_invalid_arguments_that_name_the_field() {
    let gateway = TestGateway::start().await;
    for (body, part) in [
        ("", "message modash.v1.RecentRequestsRequest"),
        ("{x", "message modash.v1.RecentRequestsRequest"),
        (r#"{"page":1,"pageSize":"x"}"#, "field modash.v1.RecentRequestsRequest.pageSize"),
        (r#"{"page":1.5}"#, "field modash.v1.RecentRequestsRequest.page"),
    ] {
        let answer = call(&gateway, "RecentRequests", body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["code"], "invalid_argument");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{body}: {message}");
    }
}

#[tokio::test]
async fn the_content_type_decides() {
    let gateway = TestGateway::start().await;
    for (content_type, status) in [
        ("application/json", 200),
        ("Application/JSON; charset=UTF-8", 200),
        ("application/json; charset=\"utf-8\"", 200),
        ("application/json; charset=latin1", 415),
        ("application/proto", 415),
        ("application/grpc", 415),
        ("text/plain", 415),
    ] {
        let path = "/modash.v1.AnalyticsService/UsageSummary";
        let answer = gateway.post(path, &[("content-type", content_type)], "{}").await;
        assert_eq!(answer.status.as_u16(), status, "{content_type}");
        if status == 415 {
            assert_eq!(answer.header("accept-post"), "application/json");
            assert!(answer.text().contains("application/json"), "{}", answer.text());
        }
    }
    let answer = gateway.get("/modash.v1.AnalyticsService/UsageSummary", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"));
}

#[tokio::test]
async fn what_does_not_exist_is_unimplemented() {
    let gateway = TestGateway::start().await;
    for path in [
        "/modash.v1.AnalyticsService/Nope",
        "/modash.v1.IngestService/StreamUsage",
        "/modash.v2.AnalyticsService/UsageSummary",
        "/rpc/Nope",
    ] {
        let answer = gateway.post(path, &[JSON], "{}").await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.json()["code"], "unimplemented", "{path}");
    }
    let answer = call(&gateway, "Subscribe", "{}").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (501, &json!("unimplemented")));
    assert!(answer.json()["message"].as_str().unwrap().contains("/events"));
}

#[tokio::test]
async fn the_description_of_plain_json_is_served() {
    let gateway = TestGateway::start().await;
    let answer = gateway.get("/openapi.json", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    let description = answer.json();
    assert_eq!(description["openapi"], "3.1.0");
    assert!(description["paths"]["/rpc/UsageSummary"]["post"].is_object());
}

#[tokio::test]
async fn protocol_version_and_deadline() {
    let gateway = TestGateway::start().await;
    let with = async |name: &str, value: &str| {
        gateway.post("/rpc/UsageSummary", &[JSON, (name, value)], "{}").await
    };
    assert_eq!(with("connect-protocol-version", "1").await.status, 200);
    assert_eq!(with("connect-protocol-version", "2").await.json()["code"], "invalid_argument");
    assert_eq!(with("connect-timeout-ms", "10000").await.status, 200);
    assert_eq!(with("connect-timeout-ms", "12345678901").await.json()["code"], "invalid_argument");
    *gateway.script.hang.lock().unwrap() = true;
    let answer = with("connect-timeout-ms", "50").await;
    assert_eq!(answer.status, 504);
    assert_eq!(answer.json()["code"], "deadline_exceeded");
}

#[tokio::test]
async fn bodies_may_be_packed_with_gzip_only() {
    let gateway = TestGateway::start().await;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(br#"{"timeZone":"UTC"}"#).unwrap();
    let packed = packer.finish().unwrap();
    let with = async |coding: &str, body: Vec<u8>| {
        gateway.post("/rpc/UsageSummary", &[JSON, ("content-encoding", coding)], body).await
    };
    assert_eq!(with("gzip", packed.clone()).await.status, 200);
    assert_eq!(with("identity", b"{}".to_vec()).await.status, 200);
    let answer = with("br", packed).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (501, &json!("unimplemented")));
    assert_eq!(with("gzip", b"{}".to_vec()).await.json()["code"], "invalid_argument");
    let answer = with("identity", vec![b' '; 1024 * 1024 + 1]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["code"].clone()),
        (429, json!("resource_exhausted"))
    );
}

#[tokio::test]
async fn all_surfaces_give_the_same_numbers() {
    let gateway = TestGateway::start().await;
    let plain = call(&gateway, "UsageTimeseries", "{}").await.json();
    let body = r#"{"_tag":"Request","id":1,"tag":"UsageTimeseries"}"#;
    let rpc = gateway.rpc(body).await.json()[0]["exit"]["value"].clone();
    let numbers = |value: &Value| -> Vec<String> {
        let list = value["series"][0]["totalTokens"].as_array().unwrap();
        list.iter().map(|number| number.to_string().trim_matches('"').to_owned()).collect()
    };
    assert_eq!(numbers(&plain), numbers(&rpc));
}
