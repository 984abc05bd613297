//! What a request is for: only calls consume tokens, and each response once.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use modash_metering::{BodyEnd, Limits, Meter, Operation, Outcome, Reading, UsageSource};

const COUNTED: &str = r#"{"id":"resp_1","object":"response","model":"m","background":true,"status":"completed","usage":{"input_tokens":40,"output_tokens":9,"total_tokens":49}}"#;
const QUEUED: &str = r#"{"id":"resp_1","object":"response","model":"m","background":true,"status":"queued","usage":null}"#;

struct Case {
    method: Method,
    path: &'static str,
    status: u16,
    kind: &'static str,
    body: String,
}

fn json(method: Method, path: &'static str, body: &str) -> Case {
    Case { method, path, status: 200, kind: "application/json", body: body.to_owned() }
}

impl Case {
    fn read(&self) -> Reading {
        let uri = self.path.parse().unwrap();
        let mut meter = Meter::new(&self.method, &uri, &HeaderMap::new(), Limits::default());
        if self.method == Method::POST {
            meter.request_data(br#"{"model":"m"}"#);
        }
        meter.request_end();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(self.kind));
        meter.response_head(StatusCode::from_u16(self.status).unwrap(), &headers);
        meter.response_data(self.body.as_bytes(), Duration::from_millis(100));
        meter.finish(BodyEnd::Complete, Duration::from_millis(200))
    }
}

#[test]
fn reading_cancelling_and_deleting_consume_nothing() {
    let stored = COUNTED.replace("true", "false");
    for case in [
        json(Method::GET, "/v1/responses/resp_1", &stored),
        json(Method::GET, "/v1/responses/resp_1", &stored.replace(r#""background":false,"#, "")),
        json(Method::POST, "/v1/responses/resp_1/cancel", &stored),
        json(Method::DELETE, "/v1/responses/resp_1", r#"{"id":"resp_1","deleted":true}"#),
        json(Method::GET, "/v1/responses/resp_1/input_items?limit=3", r#"{"data":[]}"#),
        json(Method::GET, "/v1/chat/completions", r#"{"data":[],"usage":{"prompt_tokens":1}}"#),
        json(Method::GET, "/v1/chat/completions/c1", r#"{"usage":{"prompt_tokens":1}}"#),
        json(Method::GET, "/v1/models", r#"{"data":[{"id":"m"}]}"#),
        json(Method::GET, "/v1beta/models?pageSize=5", r#"{"models":[]}"#),
        json(Method::GET, "/openai/v1/files/f/content", "{}\n{}\n"),
        json(Method::POST, "/v1/messages/batches/b/cancel", "{}"),
        json(Method::POST, "/v1beta/batches/b:cancel", "{}"),
        json(
            Method::POST,
            "/v1/chat/completions/c1",
            r#"{"id":"c1","choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":1}}"#,
        ),
        json(
            Method::GET,
            "/v1/batches/b",
            r#"{"id":"b","usage":{"input_tokens":7,"output_tokens":8}}"#,
        ),
        json(Method::GET, "/api/tags", r#"{"models":[]}"#),
    ] {
        let reading = case.read();
        let name = format!("{} {}", case.method, case.path);
        assert_eq!(reading.operation, Operation::Retrieval, "{name}");
        assert_eq!(reading.source, UsageSource::NotDue, "{name}");
        assert_eq!(reading.tokens, modash_metering::Tokens::default(), "{name}");
        assert!(!reading.book_once, "{name}");
    }
}

#[test]
fn probes_preflights_and_redirects_are_no_calls() {
    let empty = |method, path, status| Case { status, ..json(method, path, "") };
    for case in [
        empty(Method::OPTIONS, "/v1/chat/completions", 204),
        empty(Method::HEAD, "/v1/messages", 405),
        empty(Method::HEAD, "/v1/models", 200),
        empty(Method::POST, "/v1/chat/completions", 308),
        empty(Method::POST, "/v1/messages", 302),
        empty(Method::GET, "/", 200),
        empty(Method::GET, "/health", 200),
        empty(Method::PUT, "/v1/upload", 200),
        json(
            Method::POST,
            "/v1/batches",
            r#"{"id":"b","usage":{"input_tokens":0,"output_tokens":0}}"#,
        ),
        json(Method::POST, "/v1beta/cachedContents", r#"{"usageMetadata":{"totalTokenCount":9}}"#),
        json(Method::POST, "/v1/files", r#"{"id":"f","object":"file"}"#),
        json(Method::POST, "/v1/realtime/client_secrets", r#"{"value":"ek"}"#),
        json(Method::POST, "/tokenize", r#"{"count":3,"tokens":[1,2,3]}"#),
        json(Method::POST, "/llm/detokenize", r#"{"prompt":"a"}"#),
        json(Method::POST, "/api/v1/models/load", r#"{"status":"loaded"}"#),
        json(Method::POST, "/api/show", r#"{"details":{}}"#),
        Case {
            kind: "application/x-ndjson",
            ..json(
                Method::POST,
                "/api/pull",
                "{\"status\":\"pulling\"}\n{\"status\":\"success\"}\n",
            )
        },
    ] {
        let reading = case.read();
        let name = format!("{} {} {}", case.method, case.path, case.status);
        assert_eq!(reading.operation, Operation::Other, "{name}");
        assert_eq!(reading.source, UsageSource::NotDue, "{name}");
        assert_eq!(reading.tokens, modash_metering::Tokens::default(), "{name}");
    }
    assert_eq!(empty(Method::HEAD, "/v1/messages", 405).read().error_type.unwrap(), "http_405");
}

#[test]
fn a_session_begins_with_a_get_and_is_a_call() {
    let mut asked = HeaderMap::new();
    asked.insert("upgrade", HeaderValue::from_static("WebSocket"));
    for (path, operation) in
        [("/v1/realtime?model=m", Operation::Realtime), ("/v1/responses", Operation::Chat)]
    {
        let uri = path.parse().unwrap();
        let meter = Meter::new(&Method::GET, &uri, &asked, Limits::default());
        assert_eq!(meter.operation(), operation, "by its header");
        let mut meter = Meter::new(&Method::GET, &uri, &HeaderMap::new(), Limits::default());
        meter.response_head(StatusCode::SWITCHING_PROTOCOLS, &HeaderMap::new());
        assert_eq!(meter.operation(), operation, "by the status");
    }
}

#[test]
fn counts_of_a_background_response_are_to_be_booked_once() {
    let path = "/v1/responses";
    let one = "/v1/responses/resp_1";
    let asked = json(Method::POST, path, QUEUED).read();
    assert_eq!((asked.operation, asked.source), (Operation::Chat, UsageSource::NotDue));
    assert!(!asked.book_once);
    let polled = json(Method::GET, one, QUEUED).read();
    assert_eq!((polled.operation, polled.source), (Operation::Retrieval, UsageSource::NotDue));
    assert_eq!(polled.model.as_deref(), Some("m"));
    let ended = format!("data: {{\"type\":\"response.completed\",\"response\":{COUNTED}}}\n\n");
    for case in [
        json(Method::GET, one, COUNTED),
        json(Method::POST, "/v1/responses/resp_1/cancel", COUNTED),
        json(Method::POST, path, COUNTED),
        Case {
            kind: "text/event-stream",
            ..json(Method::GET, "/v1/responses/resp_1?stream=true&starting_after=7", &ended)
        },
        Case { kind: "text/event-stream", ..json(Method::POST, path, &ended) },
    ] {
        let reading = case.read();
        let name = format!("{} {}", case.method, case.path);
        assert!(reading.book_once, "{name}");
        assert_eq!(reading.tokens.total, Some(49), "{name}");
        assert_eq!(reading.source, UsageSource::Upstream, "{name}");
        assert_eq!(reading.response_id.as_deref(), Some("resp_1"), "{name}");
        assert_eq!(reading.outcome, Outcome::Complete, "{name}");
    }
    // Without an id nothing can be booked once; what was asked for is counted.
    let nameless = COUNTED.replace(r#""id":"resp_1","#, "");
    let reading = json(Method::POST, path, &nameless).read();
    assert_eq!((reading.book_once, reading.tokens.total), (false, Some(49)));
    assert_eq!(json(Method::GET, one, &nameless).read().tokens.total, None);
}

#[test]
fn an_answer_that_comes_later_is_counted_where_it_is_shown() {
    let answer = r#"{"id":"c1","model":"m","choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":6}}"#;
    let inside = format!(r#"{{"id":"a1","status":"COMPLETED","response":{answer}}}"#);
    for promise in [
        json(Method::POST, "/v1/chat/completions", r#"{"request_id":"r"}"#),
        json(Method::POST, "/async/chat/completions", r#"{"id":"a1","status":"CREATED"}"#),
    ] {
        let reading = promise.read();
        assert_eq!((reading.operation, reading.source), (Operation::Chat, UsageSource::NotDue));
        assert_eq!((reading.outcome, reading.book_once), (Outcome::Complete, false));
    }
    for (shown, id) in [
        (json(Method::GET, "/v1/chat/deferred-completion/r", answer), "c1"),
        (json(Method::GET, "/async/chat/completions/a1", &inside), "a1"),
    ] {
        let reading = shown.read();
        assert_eq!((reading.operation, reading.tokens.total), (Operation::Retrieval, Some(11)));
        assert_eq!((reading.book_once, reading.response_id.as_deref()), (true, Some(id)));
    }
}

#[test]
fn counting_tokens_consumes_none() {
    for (path, body) in [
        ("/v1/messages/count_tokens", r#"{"input_tokens":31}"#),
        ("/v1/responses/input_tokens", r#"{"object":"response.input_tokens","input_tokens":31}"#),
        ("/v1beta/models/g:countTokens", r#"{"totalTokens":31}"#),
        ("/model/m/count-tokens", r#"{"inputTokens":31}"#),
    ] {
        let reading = json(Method::POST, path, body).read();
        assert_eq!(reading.operation, Operation::CountTokens, "{path}");
        assert_eq!(reading.source, UsageSource::NotDue, "{path}");
        assert_eq!(reading.tokens, modash_metering::Tokens::default(), "{path}");
    }
}
