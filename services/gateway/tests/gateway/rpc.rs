//! Every outcome of `POST /rpc`, as raw bodies.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

use crate::support::{TestGateway, until};

fn v3(id: &str, tag: &str, payload: &Value) -> String {
    json!({"_tag": "Request", "id": id, "tag": tag, "payload": payload, "headers": []}).to_string()
}

fn v4(id: u64, tag: &str, payload: &Value) -> String {
    json!({"_tag": "Request", "id": id, "tag": tag, "payload": payload, "headers": []}).to_string()
}

const NDJSON: [(&str, &str); 1] = [("content-type", "application/ndjson")];

#[tokio::test]
async fn success_in_both_dialects() {
    let gateway = TestGateway::start().await;
    let answer = gateway.rpc(v3("3", "ModelBreakdown", &json!({}))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.text().starts_with(
        r#"[{"_tag":"Exit","requestId":"3","exit":{"_tag":"Success","value":{"rows":[{"model":"qwen3-8b","#
    ));
    assert_eq!(answer.json()[0]["exit"]["value"]["rows"][0]["requests"], json!(3));

    let answer = gateway.rpc(v4(3, "UsageSummary", &Value::Null)).await;
    assert_eq!(answer.json()[0]["requestId"], json!(3));
    let value = &answer.json()[0]["exit"]["value"];
    assert_eq!(value["totalTokens"], json!(1200));
    assert_eq!(value["cachedPromptTokens"], json!(0));
    assert_eq!(value["durationMs"], json!({"p50": 41.5, "p95": null, "p99": null}));
    assert_eq!(value.get("previous"), Some(&Value::Null));
}

#[tokio::test]
async fn the_id_comes_back_digit_for_digit() {
    let gateway = TestGateway::start().await;
    let long = "123456789012345678901234567890123456789012345678901234567890";
    for id in [format!("\"{long}\""), long.to_owned(), "\"007\"".to_owned(), "0".to_owned()] {
        let body = format!(r#"{{"_tag":"Request","id":{id},"tag":"UsageSummary"}}"#);
        let answer = gateway.rpc(body).await;
        let start = format!(r#"[{{"_tag":"Exit","requestId":{id},"exit":{{"_tag":"Success","#);
        assert!(answer.text().starts_with(&start), "{}", answer.text());
    }
}

#[tokio::test]
async fn payload_absent_null_and_empty_are_the_same() {
    let gateway = TestGateway::start().await;
    for payload in ["", r#","payload":null"#, r#","payload":{}"#, r#","payload":{"from":1}"#] {
        let body = format!(r#"{{"_tag":"Request","id":"1","tag":"UsageSummary"{payload}}}"#);
        assert_eq!(gateway.rpc(body).await.json()[0]["exit"]["_tag"], "Success", "{payload}");
    }
}

#[tokio::test]
async fn a_typed_failure() {
    let gateway = TestGateway::start().await;
    for code in [
        Code::Internal,
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::ResourceExhausted,
        Code::DataLoss,
        Code::Aborted,
        Code::Unknown,
    ] {
        gateway.script.fail(code, "database is locked");
        let answer = gateway.rpc(v3("1", "UsageSummary", &json!({}))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.text(),
            r#"[{"_tag":"Exit","requestId":"1","exit":{"_tag":"Failure","cause":{"_tag":"Fail","error":{"_tag":"DatabaseError","message":"database is locked"}}}}]"#
        );
        let answer = gateway.rpc(v4(1, "UsageSummary", &json!({}))).await;
        assert_eq!(
            answer.text(),
            r#"[{"_tag":"Exit","requestId":1,"exit":{"_tag":"Failure","cause":[{"_tag":"Fail","error":{"_tag":"DatabaseError","message":"database is locked"}}]}}]"#
        );
    }
}

#[tokio::test]
async fn analytics_away_is_a_typed_failure_without_host_names() {
    let mut gateway = TestGateway::start().await;
    let address = gateway.kill_analytics();
    let answer = gateway.rpc(v3("1", "UsageSummary", &json!({}))).await.json();
    let error = &answer[0]["exit"]["cause"]["error"];
    assert_eq!(error["_tag"], "DatabaseError");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("try again") && !message.contains("127.0.0.1"), "{message}");

    gateway.fake = Some(crate::fake::Fake::start(gateway.script.clone(), address).await);
    let answer = gateway.rpc(v3("2", "UsageSummary", &json!({}))).await.json();
    assert_eq!(answer[0]["exit"]["_tag"], "Success", "{answer}");
}

#[tokio::test]
async fn a_refused_page_is_a_defect_and_analytics_is_not_asked() {
    let gateway = TestGateway::start().await;
    for (payload, field) in [
        (json!({"page": 0, "pageSize": 10}), "page:"),
        (json!({"pageSize": 10}), "page:"),
        (json!({"page": 1}), "pageSize:"),
        (json!({"page": 1, "pageSize": 101}), "pageSize:"),
        (json!({"page": 1.5, "pageSize": 10}), "page:"),
        (json!({"page": "1", "pageSize": 10}), "page:"),
        (json!({"page": 1, "pageSize": null}), "pageSize:"),
        (json!([]), "payload:"),
    ] {
        let answer = gateway.rpc(v3("9", "RecentRequests", &payload)).await.json();
        let cause = &answer[0]["exit"]["cause"];
        assert_eq!((&answer[0]["requestId"], &cause["_tag"]), (&json!("9"), &json!("Die")));
        assert!(cause["defect"].as_str().unwrap().contains(field), "{payload}: {cause}");
        let answer = gateway.rpc(v4(9, "RecentRequests", &payload)).await.json();
        let cause = &answer[0]["exit"]["cause"];
        assert!(cause[0]["defect"].as_str().unwrap().contains(field), "{payload}: {cause}");
    }
    let calls = gateway.script.calls.lock().unwrap();
    assert!(!calls.iter().any(|(method, _)| *method == "RecentRequests"));
}

#[tokio::test]
async fn a_good_page_is_a_success_also_beyond_the_end() {
    let gateway = TestGateway::start().await;
    let page = json!({"page": 1.0, "pageSize": 100});
    let answer = gateway.rpc(v4(0, "RecentRequests", &page)).await.json();
    let row = &answer[0]["exit"]["value"]["rows"][0];
    assert_eq!((&row["outcome"], &row["status"]), (&json!("OUTCOME_OK"), &json!(200)));
    assert_eq!(row.get("model"), Some(&Value::Null));
    let page = json!({"page": 1000, "pageSize": 1});
    let answer = gateway.rpc(v4(0, "RecentRequests", &page)).await.json();
    assert_eq!(answer[0]["exit"]["value"]["rows"], json!([]));
}

#[tokio::test]
async fn an_unknown_procedure_is_a_defect_or_a_die() {
    let gateway = TestGateway::start().await;
    for tag in ["Nope", "Subscribe"] {
        let answer = gateway.rpc(v3("1", tag, &json!({}))).await;
        let expected = format!(r#"[{{"_tag":"Defect","defect":"Unknown request tag: {tag}"}}]"#);
        assert_eq!(answer.text(), expected);
        let answer = gateway.rpc(v4(1, tag, &json!({}))).await;
        let expected = format!(
            r#"[{{"_tag":"Exit","requestId":1,"exit":{{"_tag":"Failure","cause":[{{"_tag":"Die","defect":"Unknown request tag: {tag}"}}]}}}}]"#
        );
        assert_eq!(answer.text(), expected);
    }
    gateway.script.fail(Code::Unimplemented, "");
    let answer = gateway.rpc(v3("1", "UsageSummary", &json!({}))).await;
    assert_eq!(answer.json()[0]["_tag"], "Defect");
}

#[tokio::test]
async fn an_interrupted_call() {
    let gateway = TestGateway::start().await;
    gateway.script.fail(Code::Cancelled, "stopping");
    let answer = gateway.rpc(v3("7", "UsageSummary", &json!({}))).await;
    assert_eq!(
        answer.text(),
        r#"[{"_tag":"Exit","requestId":"7","exit":{"_tag":"Failure","cause":{"_tag":"Interrupt","fiberId":{"_tag":"None"}}}}]"#
    );
    let answer = gateway.rpc(v4(7, "UsageSummary", &json!({}))).await;
    assert_eq!(
        answer.text(),
        r#"[{"_tag":"Exit","requestId":7,"exit":{"_tag":"Failure","cause":[{"_tag":"Interrupt","fiberId":null}]}}]"#
    );
}

#[tokio::test]
async fn what_analytics_refuses_is_a_die() {
    let gateway = TestGateway::start().await;
    gateway.script.fail(Code::InvalidArgument, "time_zone: no such zone");
    let answer = gateway.rpc(v3("1", "UsageSummary", &json!({"timeZone": "X"}))).await.json();
    assert_eq!(answer[0]["exit"]["cause"]["_tag"], "Die");
    assert_eq!(answer[0]["exit"]["cause"]["defect"], "time_zone: no such zone");
}

#[tokio::test]
async fn bodies_that_are_no_frames_give_one_defect() {
    let gateway = TestGateway::start().await;
    for (body, expected) in [
        ("", r#"{"name":"SyntaxError","message":"Unexpected end of JSON input"}"#),
        (" \n", r#"{"name":"SyntaxError","message":"Unexpected end of JSON input"}"#),
        ("null", r#""Unknown request tag: undefined""#),
        ("1", r#""Unknown request tag: undefined""#),
        ("\"x\"", r#""Unknown request tag: undefined""#),
        ("{}", r#""Unknown request tag: undefined""#),
        (r#"{"_tag":"Zap"}"#, r#""Unknown request tag: Zap""#),
        (r#"{"_tag":"Request","tag":"UsageSummary"}"#, r#""Invalid request id: undefined""#),
        (r#"{"_tag":"Request","id":"x"}"#, r#""Invalid request id: \"x\"""#),
        (r#"{"_tag":"Request","id":null}"#, r#""Invalid request id: null""#),
        (r#"{"_tag":"Request","id":{}}"#, r#""Invalid request id: {}""#),
    ] {
        let answer = gateway.rpc(body).await;
        assert_eq!(answer.status, 200);
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(answer.json(), json!([{"_tag": "Defect", "defect": expected}]), "{body}");
    }
    for body in ["{\"_tag\":\"Req", "{} {}", "[{\"_tag\":\"Ping\"}", "\u{1}"] {
        let answer = gateway.rpc(body).await.json();
        assert_eq!(answer.as_array().unwrap().len(), 1);
        assert_eq!(answer[0]["defect"]["name"], "SyntaxError", "{body}");
    }
    let answer = gateway.rpc(vec![b'"', 0xff, b'"']).await.json();
    assert_eq!(answer[0]["_tag"], "Defect");
    let deep = format!(
        r#"{{"_tag":"Request","id":"1","tag":"UsageSummary","payload":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(gateway.rpc(deep).await.json()[0]["exit"]["cause"]["_tag"], "Die");
}

#[tokio::test]
async fn frames_that_are_no_requests() {
    let gateway = TestGateway::start().await;
    for (body, expected) in [
        (r#"{"_tag":"Ping"}"#, r#"[{"_tag":"Pong"}]"#),
        (r#"{"_tag":"Eof"}"#, "[]"),
        (r#"{"_tag":"Interrupt","requestId":"1"}"#, "[]"),
        (r#"{"_tag":"Ack","requestId":1}"#, "[]"),
        ("[]", "[]"),
    ] {
        assert_eq!(gateway.rpc(body).await.text(), expected, "{body}");
    }
}

#[tokio::test]
async fn an_array_is_answered_in_order_and_a_bad_element_does_not_spoil_the_others() {
    let gateway = TestGateway::start().await;
    let (good, nope) = (v4(0, "UsageSummary", &json!({})), v3("5", "Nope", &json!({})));
    let body = format!("[{good},{nope},7,{good},{}]", v3("1", "ModelBreakdown", &json!({})));
    let answer = gateway.rpc(body).await.json();
    let ids: Vec<_> = answer.as_array().unwrap().iter().map(|frame| &frame["requestId"]).collect();
    let null = Value::Null;
    assert_eq!(ids, [&json!(0), &null, &null, &json!(0), &json!("1")]);
}

#[tokio::test]
async fn notifications_and_receipts() {
    let gateway = TestGateway::start().await;
    let body = r#"{"_tag":"Request","id":1,"tag":"UsageSummary","isNotification":true}"#;
    assert_eq!(gateway.rpc(body).await.text(), "[]");
    assert_eq!(
        gateway.script.calls.lock().unwrap().iter().filter(|call| call.0 == "UsageSummary").count(),
        1
    );
    let body = r#"{"_tag":"Request","id":1,"tag":"UsageSummary","discard":true}"#;
    assert_eq!(
        gateway.rpc(body).await.text(),
        r#"[{"_tag":"Exit","requestId":1,"exit":{"_tag":"Success","value":null}}]"#
    );
    let body =
        r#"{"_tag":"Request","id":1,"tag":"AddMark","payload":{"text":"v2"},"discard":true}"#;
    assert_eq!(
        gateway.rpc(body).await.text(),
        r#"[{"_tag":"Exit","requestId":1,"exit":{"_tag":"Success","value":null}}]"#
    );
    let calls = gateway.script.calls.lock().unwrap();
    let count = |method| calls.iter().filter(|call| call.0 == method).count();
    assert_eq!((count("UsageSummary"), count("AddMark")), (1, 1), "what writes runs");
}

#[tokio::test]
async fn lines_are_answered_by_lines_with_their_own_media_type() {
    let gateway = TestGateway::start().await;
    let lines = format!(
        "{}\r\n\n{}",
        v3("1", "ModelBreakdown", &json!({})),
        v3("2", "ModelBreakdown", &json!({}))
    );
    for media_type in ["application/ndjson", "application/x-ndjson"] {
        let answer = gateway.post("/rpc", &[("content-type", media_type)], lines.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, media_type));
        assert!(answer.text().ends_with("}\n"));
        let mut ids: Vec<_> = answer
            .text()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["requestId"].clone())
            .collect();
        ids.sort_by_key(Value::to_string);
        assert_eq!(ids, [json!("1"), json!("2")]);
    }
    assert_eq!(gateway.post("/rpc", &NDJSON, "").await.text(), "");
    let answer = gateway.post("/rpc", &NDJSON, "{\"_tag\":\"Ping\"}\n").await;
    assert_eq!(answer.text(), "{\"_tag\":\"Pong\"}\n");
}

#[tokio::test]
async fn a_bad_line_gives_a_defect_after_the_good_ones_and_drops_the_rest() {
    let gateway = TestGateway::start().await;
    for bad in ["{\"_tag\":", "{\"_tag\":\"Zap\"}"] {
        let good = v3("1", "ModelBreakdown", &json!({}));
        let answer = gateway.post("/rpc", &NDJSON, format!("{good}\n{bad}\n{good}\n")).await;
        let frames: Vec<Value> =
            answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0]["exit"]["_tag"], "Success");
        assert_eq!(frames[1]["_tag"], "Defect");
    }
}

#[tokio::test]
async fn the_http_layer_answers_by_frames_too() {
    let gateway = TestGateway::start().await;
    let ping = r#"{"_tag":"Ping"}"#;
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let request = gateway.request(method, "/rpc").body(Default::default()).unwrap();
        let answer = gateway.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"));
        assert_eq!(answer.json()[0]["_tag"], "Defect");
    }
    let answer = gateway.post("/rpc", &[("content-type", "text/html")], ping).await;
    assert_eq!((answer.status.as_u16(), &answer.json()[0]["_tag"]), (415, &json!("Defect")));
    let answer = gateway.rpc(vec![b' '; 1024 * 1024 + 1]).await;
    assert_eq!((answer.status.as_u16(), &answer.json()[0]["_tag"]), (413, &json!("Defect")));
    for media_type in ["application/json; charset=utf-8", "text/plain"] {
        let answer = gateway.post("/rpc/", &[("content-type", media_type)], ping).await;
        assert_eq!(answer.text(), r#"[{"_tag":"Pong"}]"#);
    }
    assert_eq!(gateway.post("/rpc", &[], ping).await.text(), r#"[{"_tag":"Pong"}]"#);
}

#[tokio::test]
async fn at_most_sixteen_calls_of_one_body_run_at_the_same_time() {
    let gateway = TestGateway::start().await;
    *gateway.script.hang.lock().unwrap() = true;
    until("the gateway subscribes", || gateway.script.running() == 1).await;
    let calls: Vec<_> = (0..40).map(|id| v4(id, "UsageSummary", &json!({}))).collect();
    let body = format!("[{}]", calls.join(","));
    let mut connection = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let head = format!(
        "POST /rpc HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    until("all places are taken", || gateway.script.running() == 17).await;
    drop(connection);
    until("the calls end with the connection", || gateway.script.running() == 1).await;
    assert_eq!(gateway.script.most_running.load(Ordering::SeqCst), 17);
}

#[tokio::test]
async fn a_client_that_is_refused_while_it_writes_can_write_on_and_ask_again() {
    let gateway = TestGateway::start().await;
    let mut connection = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let head = "POST /rpc HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/html\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let ping = "4000\r\n".to_owned() + &" ".repeat(0x4000) + "\r\n";
    for _ in 0..2 {
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}]") {
            assert_ne!(connection.read_buf(&mut answer).await.unwrap(), 0);
        }
        assert!(answer.starts_with(b"HTTP/1.1 415 "));
        connection.write_all(ping.as_bytes()).await.unwrap();
        connection.write_all(b"0\r\n\r\n").await.unwrap();
    }
}

#[tokio::test]
async fn the_trace_of_the_caller_goes_on_to_analytics() {
    let gateway = TestGateway::start().await;
    let seen = || {
        let calls = gateway.script.calls.lock().unwrap();
        let (_, metadata) = calls.iter().rfind(|call| call.0 == "UsageSummary").unwrap();
        let text = |name: &str| {
            metadata.get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
        };
        (text("traceparent"), text("authorization"), text("grpc-timeout"))
    };
    let (trace, span) = ("d15b064045bd730a5e69f0e18074eeeb", "df6b3f277524fa2e");
    let body = json!({
        "_tag": "Request", "id": "0", "tag": "UsageSummary", "traceId": trace, "spanId": span,
        "sampled": true, "headers": [["authorization", "Bearer frame"]],
    })
    .to_string();
    gateway.rpc(body.clone()).await;
    assert_eq!(seen().0, format!("00-{trace}-{span}-01"));
    assert_eq!(seen().1, "Bearer frame");
    assert!(!seen().2.is_empty(), "a deadline is sent");

    let http = format!("00-{trace}-4f369a350ddc408f-01");
    let headers = [("traceparent", http.as_str()), ("authorization", "Bearer http")];
    gateway.post("/rpc", &headers, body).await;
    assert_eq!((seen().0, seen().1.as_str()), (http, "Bearer http"));
}

#[tokio::test]
async fn a_large_answer_is_packed_if_the_client_asks() {
    let gateway = TestGateway::start().await;
    let body = format!("[{}]", vec![v4(1, "UsageSummary", &json!({})); 5].join(","));
    let headers = [("accept-encoding", "br, gzip;q=0.5")];
    let answer = gateway.post("/rpc", &headers, body.clone()).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*answer.body), &mut text)
        .unwrap();
    assert_eq!(text, gateway.rpc(body).await.text());
}

#[tokio::test]
async fn unknown_numbers_are_null_in_lists_too() {
    let gateway = TestGateway::start().await;
    let answer = gateway.rpc(v4(1, "ThroughputTimeseries", &json!({}))).await.json();
    let value = &answer[0]["exit"]["value"];
    assert_eq!(value["series"][0]["decodeP50"], json!([null]));
    assert_eq!(value["bucketStarts"], json!([0]));
}

#[tokio::test]
async fn a_body_has_at_most_128_calls() {
    let gateway = TestGateway::start().await;
    let calls = |count: usize| -> Vec<String> {
        (0..count).map(|id| v3(&id.to_string(), "UsageSummary", &json!({}))).collect()
    };
    let answer = gateway.rpc(format!("[{}]", calls(128).join(","))).await;
    assert_eq!(answer.json().as_array().unwrap().len(), 128);
    let asked = || gateway.script.calls.lock().unwrap().len();
    let before = asked();
    let answer = gateway.rpc(format!("[{}]", calls(129).join(","))).await;
    assert_eq!(answer.json().as_array().unwrap().len(), 1);
    assert!(answer.text().contains("at most 128 calls"), "{}", answer.text());
    let lines = [("content-type", "application/ndjson")];
    let answer = gateway.post("/rpc", &lines, calls(129).join("\n")).await;
    assert!(answer.text().contains("at most 128 calls"), "{}", answer.text());
    assert_eq!(asked(), before, "none of them runs");
}

#[tokio::test]
async fn a_refusal_is_a_frame_in_the_framing_of_the_request() {
    let gateway = TestGateway::start().await;
    for media_type in ["application/ndjson", "application/x-ndjson"] {
        let headers = [("content-type", media_type), ("origin", "https://evil.example")];
        let refused = gateway.post("/rpc", &headers, "").await;
        assert_eq!((refused.status.as_u16(), refused.header("content-type")), (403, media_type));
        let text = refused.text();
        assert!(text.starts_with(r#"{"_tag":"Defect""#) && text.ends_with("}\n"), "{text}");
        let headers = [("content-type", media_type), ("content-encoding", "br")];
        let unreadable = gateway.post("/rpc", &headers, "").await;
        assert!(unreadable.text().starts_with(r#"{"_tag":"Defect""#), "{unreadable:?}");
    }
}
