//! Asking for usage changes nothing but the usage that modash reads.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use modash_metering::inject::{Held, Injection, Refusals, ResponseFilter, Sent, may_refuse};

fn injection(headers: &[(&'static str, &'static str)], host: &str) -> Option<Injection> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_static(value));
    }
    let uri = "/v1/chat/completions".parse().unwrap();
    Injection::new(&Method::POST, &uri, &map, host, "default", &Refusals::default(), 1 << 20)
}

/// The body sent for a body that comes in pieces of this size.
fn sent(body: &str, size: usize) -> Vec<u8> {
    let mut injection = injection(&[("content-type", "application/json")], "127.0.0.1").unwrap();
    let mut pieces = body.as_bytes().chunks(size);
    while let Some(piece) = pieces.next() {
        if let Held::Release(mut held) = injection.push(Bytes::copy_from_slice(piece)) {
            held.extend(pieces.map(Bytes::copy_from_slice));
            return held.concat();
        }
    }
    match injection.end() {
        Sent::Unchanged(body) => body.concat(),
        Sent::Changed { body: changed, original } => {
            assert_eq!(original.concat(), body.as_bytes());
            changed.concat()
        }
    }
}

#[test]
fn the_option_is_added_only_where_the_client_left_it_open() {
    let cases = [
        (
            r#"{"model":"m","stream":true}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            "{\"stream\" : true\n} \n",
            "{\"stream\" : true\n,\"stream_options\":{\"include_usage\":true}} \n",
        ),
        (
            r#"{"stream_options":{},"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_obfuscation":false,"x":{"y":"}"}},"stream":true}"#,
            r#"{"stream_options":{"include_obfuscation":false,"x":{"y":"}"},"include_usage":true},"stream":true}"#,
        ),
        (
            r#"{"messages":[{"content":"\"stream\":false}"}],"stream":true}"#,
            r#"{"messages":[{"content":"\"stream\":false}"}],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
    ];
    for (body, want) in cases {
        for size in [1, 2, 7, 1000] {
            assert_eq!(String::from_utf8(sent(body, size)).unwrap(), want);
            serde_json::from_str::<serde_json::Value>(want).unwrap();
        }
    }
}

#[test]
fn an_explicit_choice_and_everything_unclear_stay_as_they_are() {
    for body in [
        r#"{"model":"m"}"#,
        r#"{"stream":false}"#,
        r#"{"stream":"true"}"#,
        r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
        r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        r#"{"stream":true,"stream_options":{"include_usage":null}}"#,
        r#"{"stream":true,"stream_options":null}"#,
        r#"{"stream":true,"stream_options":"x"}"#,
        r#"{"stream":true,"stream":false}"#,
        r#"{"stream":true,"data_sources":[{"type":"azure_search"}]}"#,
        r#"{"stream":true"#,
        r#"{"stream":true}}"#,
        r#"[{"stream":true}]"#,
        "not json",
        "",
    ] {
        for size in [1, 5, 1000] {
            assert_eq!(sent(body, size), body.as_bytes(), "{body}");
        }
    }
}

#[test]
fn signed_encoded_and_other_requests_are_never_changed() {
    assert!(injection(&[("authorization", "Bearer k")], "api.openai.com").is_some());
    for headers in [
        [("authorization", "AWS4-HMAC-SHA256 Credential=x")],
        [("x-amz-content-sha256", "00")],
        [("signature-input", "sig1=()")],
        [("content-digest", "sha-256=:x:")],
        [("x-hub-signature-256", "sha256=00")],
        [("content-encoding", "zstd")],
        [("content-type", "text/plain")],
    ] {
        assert!(injection(&headers, "api.openai.com").is_none(), "{headers:?}");
    }
    assert!(injection(&[], "api.mistral.ai").is_none());
    assert!(injection(&[], "openrouter.ai:443").is_none());
    for path in ["/v1/messages", "/v1/responses", "/api/chat", "/v1/embeddings"] {
        let uri = path.parse().unwrap();
        let (headers, refusals) = (HeaderMap::new(), Refusals::default());
        assert!(
            Injection::new(&Method::POST, &uri, &headers, "h", "u", &refusals, 1 << 20).is_none()
        );
    }
}

#[test]
fn an_upstream_that_refuses_is_not_asked_again() {
    let refusals = Refusals::default();
    assert!(may_refuse(StatusCode::UNPROCESSABLE_ENTITY) && may_refuse(StatusCode::BAD_REQUEST));
    assert!(!may_refuse(StatusCode::OK) && !may_refuse(StatusCode::TOO_MANY_REQUESTS));
    let ask = |upstream: &str| {
        let uri = "/v1/completions".parse().unwrap();
        Injection::new(&Method::POST, &uri, &HeaderMap::new(), "h", upstream, &refusals, 9)
    };
    assert!(ask("one").is_some());
    refusals.remember("one");
    assert!(ask("one").is_none());
    assert!(ask("two").is_some());
}

#[test]
fn a_body_beyond_the_limit_is_released_whole() {
    let uri = "/v1/chat/completions".parse().unwrap();
    let (headers, refusals) = (HeaderMap::new(), Refusals::default());
    let mut injection =
        Injection::new(&Method::POST, &uri, &headers, "h", "u", &refusals, 10).unwrap();
    assert_eq!(injection.push(Bytes::from_static(b"{\"stream\"")), Held::Kept);
    let Held::Release(pieces) = injection.push(Bytes::from_static(b":true}")) else { panic!() };
    assert_eq!(pieces.concat(), b"{\"stream\":true}");
}

fn filtered(body: &str, size: usize) -> String {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/event-stream; charset=utf-8"));
    let mut filter = ResponseFilter::new(StatusCode::OK, &headers).unwrap();
    let mut output = Vec::new();
    for piece in body.as_bytes().chunks(size) {
        filter.push(piece, &mut output);
    }
    filter.end(&mut output);
    String::from_utf8(output).unwrap()
}

const CHUNK: &str =
    r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"\"usage\":null"}}]"#;

#[test]
fn the_clients_bytes_are_those_of_an_unasked_stream() {
    for end in ["\n", "\r\n", "\r"] {
        let unasked = format!(
            ": hello\n\n{CHUNK},\"obfuscation\":\"x\"}}\n\n{CHUNK}}}\n\n: ping\ndata: [DONE]\n\n"
        );
        let asked = format!(
            ": hello\n\n{CHUNK},\"usage\":null,\"obfuscation\":\"x\"}}\n\n{CHUNK},\"usage\":null}}\n\n: ping\n\
             data: {{\"id\":\"\",\"choices\":[],\"usage\":{{\"prompt_tokens\":1}}}}\n\ndata: [DONE]\n\n"
        );
        let (unasked, asked) = (unasked.replace('\n', end), asked.replace('\n', end));
        for size in [1, 2, 3, 64, 10_000] {
            assert_eq!(filtered(&asked, size), unasked, "pieces of {size}, {end:?}");
        }
    }
}

#[test]
fn members_are_cut_with_one_comma() {
    for (asked, unasked) in [
        (r#"{"usage":null}"#, "{}"),
        (r#"{"usage":null,"a":1}"#, r#"{"a":1}"#),
        (r#"{"usage": null, "a": 1}"#, r#"{"a": 1}"#),
        (r#"{"a": 1, "usage": null}"#, r#"{"a": 1}"#),
        (
            r#"{"a": [1, {"usage": null}], "usage": null, "b": 2}"#,
            r#"{"a": [1, {"usage": null}], "b": 2}"#,
        ),
    ] {
        let stream = |json: &str| format!("data: {json}\n\n");
        assert_eq!(filtered(&stream(asked), 5), stream(unasked));
    }
}

#[test]
fn chunks_that_say_more_than_usage_stay() {
    for json in [
        r#"{"choices":[],"usage":{"prompt_tokens":1},"timings":{"prompt_n":1}}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":1},"prompt_filter_results":[]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":1},"error":{"code":1}}"#,
        r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}"#,
        r#"{"usage":{"prompt_tokens":1}}"#,
        r#"{"choices":[],"usage":[]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":1}"#,
        r#"{"choices":[],"usage":null,"usage":{"prompt_tokens":1}}"#,
    ] {
        let stream = format!("data: {json}\n\ndata: [DONE]\n\n");
        for size in [1, 1000] {
            assert_eq!(filtered(&stream, size), stream);
        }
    }
}

#[test]
fn long_and_unfinished_events_pass() {
    let long = format!(
        "data: {{\"a\":\"{}\",\"usage\":null}}\n\ndata: {{\"usage\":null}}\n\ndata: x",
        "y".repeat(300 << 10)
    );
    let want = format!(
        "data: {{\"a\":\"{}\",\"usage\":null}}\n\ndata: {{}}\n\ndata: x",
        "y".repeat(300 << 10)
    );
    for size in [1000, 4096] {
        assert!(filtered(&long, size) == want);
    }
}

#[test]
fn encoded_answers_and_documents_pass() {
    let headers = |pairs: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        headers
    };
    let stream = ("content-type", "text/event-stream");
    let ok = StatusCode::OK;
    assert!(ResponseFilter::new(ok, &headers(&[stream])).is_some());
    assert!(ResponseFilter::new(ok, &headers(&[stream, ("content-encoding", "gzip")])).is_none());
    assert!(ResponseFilter::new(ok, &headers(&[("content-type", "application/json")])).is_none());
    assert!(ResponseFilter::new(StatusCode::BAD_GATEWAY, &headers(&[stream])).is_none());
}

#[test]
fn an_upstream_that_reports_usage_anyway_is_noticed() {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
    let mut filter = ResponseFilter::new(StatusCode::OK, &headers).unwrap();
    let event = b"data: {\"choices\":[{\"text\":\"a\"}],\"usage\":{\"prompt_tokens\":0}}\n\n";
    let mut output = Vec::new();
    filter.push(event, &mut output);
    assert_eq!(output, event);
    assert!(filter.is_unneeded());
}
