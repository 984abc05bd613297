//! Asking for usage changes nothing but the usage that modash reads.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use modash_metering::inject::{
    Injection, Model, Refusals, ResponseFilter, may_refuse, tells_timings,
};

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
    let all = body.as_bytes().chunks(size).all(|piece| injection.push(piece));
    let mut sent = body.as_bytes().to_vec();
    if all && let Some(addition) = injection.end() {
        sent.splice(addition.at..addition.at, addition.text.iter().copied());
    }
    sent
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
fn an_upstream_that_refuses_for_a_model_is_not_asked_for_it_again() {
    assert!(may_refuse(StatusCode::UNPROCESSABLE_ENTITY) && may_refuse(StatusCode::BAD_REQUEST));
    assert!(!may_refuse(StatusCode::OK) && !may_refuse(StatusCode::TOO_MANY_REQUESTS));
    let refusals = Refusals::default();
    let uri = "/v1/completions".parse().unwrap();
    let headers = HeaderMap::new();
    let ask = |upstream: &str| {
        Injection::new(&Method::POST, &uri, &headers, "h", upstream, &refusals, 99)
    };
    let mut injection = ask("one").unwrap();
    injection.push(br#"{"model":"a","stream":true}"#);
    let model = injection.model();
    assert_eq!(model, Model::named(Some(b"a")));
    assert!(refusals.remember("one", model), "new");
    assert!(!refusals.remember("one", model), "known");
    assert!(refusals.contains("one", model) && !refusals.contains("two", model));
    assert!(!refusals.contains("one", Model::named(Some(b"b"))));
    assert!(ask("one").is_some(), "which model it is stands in the body");
    refusals.remember_all("one");
    assert!(ask("one").is_none() && ask("two").is_some());
}

#[test]
fn llama_cpp_is_known_by_its_name() {
    let server = |name: &'static str| {
        HeaderMap::from_iter([(http::header::SERVER, HeaderValue::from_static(name))])
    };
    assert!(tells_timings(&server("llama.cpp")) && !tells_timings(&server("uvicorn")));
    assert!(!tells_timings(&HeaderMap::new()));
}

#[test]
fn a_body_beyond_the_limit_is_not_changed() {
    let uri = "/v1/chat/completions".parse().unwrap();
    let (headers, refusals) = (HeaderMap::new(), Refusals::default());
    let mut injection =
        Injection::new(&Method::POST, &uri, &headers, "h", "u", &refusals, 10).unwrap();
    assert!(injection.push(b"{\"stream\""));
    assert!(!injection.push(b":true}"));
}

/// What a client gets of a body that comes in pieces of this size, and whether the upstream may be
/// asked again.
fn filter(body: &[u8], size: usize, coding: Option<&'static str>) -> (String, bool) {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/event-stream; charset=utf-8"));
    if let Some(coding) = coding {
        headers.insert("content-encoding", HeaderValue::from_static(coding));
    }
    let mut filter = ResponseFilter::new(StatusCode::OK, &headers).unwrap();
    let mut output = Vec::new();
    for piece in body.chunks(size) {
        filter.push(piece, &mut output);
    }
    filter.end(&mut output);
    assert!(!filter.is_broken());
    (String::from_utf8(output).unwrap(), !filter.is_last())
}

fn filtered(body: &str, size: usize) -> String {
    filter(body.as_bytes(), size, None).0
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

/// Every way in which servers are known, or may be thought, to write their streams: what the server
/// sends unasked, and asked.
fn framings() -> Vec<(String, String, String)> {
    let content = |text: &str, more: &str| {
        format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]{more}}}"#)
    };
    let usage = r#","usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}"#;
    let extra = format!(r#"{{"id":"c","choices":[]{usage}}}"#);
    let spread = "{\ndata: \"choices\": [\ndata: ],\ndata: \"usage\": {\ndata: }\ndata: }";
    let (one, two) = (content("Hi", ""), content("}\\\" data: {", ""));
    // Name, unasked and asked documents of the stream.
    let streams = [
        ("one more chunk", vec![&*one, &two], vec![one.clone(), two.clone(), extra.clone()]),
        (
            "null before it",
            vec![&*one, &two],
            vec![content("Hi", r#","usage":null"#), two.clone(), extra.clone()],
        ),
        (
            "merged into the last chunk",
            vec![&*one, &two],
            vec![one.clone(), two.clone().replace("]}", &format!("]{usage}}}"))],
        ),
        (
            "on every chunk",
            vec![&*one, &one],
            vec![content("Hi", usage), content("Hi", usage), extra.clone()],
        ),
        ("spread over lines", vec![&*one], vec![one.clone(), spread.to_owned()]),
        (
            "no choices at all",
            vec![&*one],
            vec![one.clone(), format!(r#"{{"object":"x"{usage}}}"#)],
        ),
        (
            "with timings",
            vec![&*one],
            vec![one.clone(), format!(r#"{{"choices":[]{usage},"timings":{{"prompt_n":1}}}}"#)],
        ),
    ];
    let mut framings = Vec::new();
    for (name, unasked, asked) in &streams {
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        for (kind, before, after) in [
            ("events", "data: ", "\n\n"),
            ("no blank", "data:", "\n\n"),
            ("single newlines", "data: ", "\n"),
            ("two blank lines", "data: ", "\n\n\n"),
            ("named events", "event: chunk\ndata: ", "\n\n"),
        ] {
            let stream = |documents: &[&str]| {
                let events = documents.iter().map(|json| format!("{before}{json}{after}"));
                format!(": hello\n\n{}data: [DONE]\n\n", events.collect::<String>())
            };
            framings.push((format!("{name}, {kind}"), stream(unasked), stream(&asked)));
        }
        if *name != "spread over lines" {
            let event = |documents: &[&str], glue: &str| {
                format!("data: {}\n\ndata: [DONE]\n\n", documents.join(glue))
            };
            for (kind, glue) in [("one line", ""), ("lines of one event", "\ndata: ")] {
                let name = format!("{name}, {kind}");
                framings.push((name, event(unasked, glue), event(&asked, glue)));
            }
        }
        // The answer ends without a line end, and without [DONE].
        let open = |documents: &[&str]| {
            let events = documents.iter().map(|json| format!("data: {json}"));
            events.collect::<Vec<_>>().join("\n\n")
        };
        let rest = if unasked.len() == asked.len() { "" } else { "\n\n" };
        framings.push((format!("{name}, open"), open(unasked) + rest, open(&asked)));
    }
    framings
}

#[test]
fn in_every_framing_the_client_gets_the_bytes_of_an_unasked_stream() {
    for (name, unasked, asked) in framings() {
        for end in ["\n", "\r\n", "\r"] {
            let (unasked, asked) = (unasked.replace('\n', end), asked.replace('\n', end));
            for size in 1..=asked.len() {
                assert_eq!(filtered(&asked, size), unasked, "{name}, {end:?}, pieces of {size}");
                assert_eq!(filtered(&unasked, size), unasked, "{name}, {end:?}, unasked");
            }
        }
    }
}

#[test]
fn a_compressed_answer_is_filtered_too() {
    use std::io::Write as _;
    for (name, unasked, asked) in framings() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(asked.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        for size in [1, 7, gzip.len()] {
            assert_eq!(filter(&gzip, size, Some("gzip")).0, unasked, "{name}");
        }
    }
}

#[test]
fn an_upstream_is_asked_again_only_where_the_removal_is_exact() {
    for (name, _, asked) in framings() {
        let doubtful = ["merged", "on every", "timings"];
        let exact = !doubtful.iter().any(|part| name.contains(part));
        assert_eq!(filter(asked.as_bytes(), 9, None).1, exact, "{name}");
    }
    let numbered = "id: 1\ndata: {\"choices\":[],\"usage\":{}}\n\nid: 2\ndata: [DONE]\n\n";
    assert!(!filter(numbered.as_bytes(), 9, None).1, "the ids that follow differ");
    let reports = "data: {\"choices\":[{}],\"timings\":{}}\n\n";
    assert_eq!(filter(reports.as_bytes(), 9, None), (reports.to_owned(), false));
}

#[test]
fn an_event_passes_as_soon_as_it_is_whole_and_everything_else_at_once() {
    let headers = HeaderMap::new();
    let mut filter = ResponseFilter::new(StatusCode::OK, &headers).unwrap();
    let mut pass = |piece: &str| {
        let mut output = Vec::new();
        filter.push(piece.as_bytes(), &mut output);
        String::from_utf8(output).unwrap()
    };
    for piece in [": pi", "ng\r", "\n\r\n", "data: [DO", "NE]\n", "<html>", "\n"] {
        assert_eq!(pass(piece), piece);
    }
    assert_eq!(pass("data: {\"choices\":[{}"), "");
    assert_eq!(pass("]}"), "");
    assert_eq!(pass("\n"), "data: {\"choices\":[{}]}\n", "not only with the blank line");
}

#[test]
fn of_chunks_that_say_more_only_usage_is_removed() {
    for (json, left) in [
        (
            r#"{"choices":[],"usage":{"prompt_tokens":1},"prompt_filter_results":[]}"#,
            r#"{"choices":[],"prompt_filter_results":[]}"#,
        ),
        (
            r#"{"choices":[],"usage":{"prompt_tokens":1},"error":{"code":1}}"#,
            r#"{"choices":[],"error":{"code":1}}"#,
        ),
    ] {
        let stream = |json: &str| format!("data: {json}\n\ndata: [DONE]\n\n");
        for size in [1, 1000] {
            assert_eq!(filter(stream(json).as_bytes(), size, None), (stream(left), false));
        }
    }
    for json in [r#"{"choices":[],"usage":[]}"#, r#"{"choices":[],"usage":7}"#, "{\"usage\""] {
        let stream = format!("data: {json}\n\ndata: [DONE]\n\n");
        assert_eq!(filtered(&stream, 3), stream);
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
fn failures_documents_and_unknown_codings_pass() {
    let passes = |status, pairs: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        ResponseFilter::new(status, &headers).is_none()
    };
    let (stream, length) = (("content-type", "text/event-stream"), ("content-length", "9"));
    let json = ("content-type", "application/json");
    assert!(!passes(StatusCode::OK, &[stream]));
    assert!(!passes(StatusCode::OK, &[stream, length]));
    assert!(!passes(StatusCode::OK, &[json]), "streams are labelled so too");
    assert!(!passes(StatusCode::OK, &[stream, ("content-encoding", "br")]));
    assert!(passes(StatusCode::OK, &[stream, ("content-encoding", "rot13")]));
    assert!(passes(StatusCode::OK, &[json, length]));
    assert!(passes(StatusCode::BAD_GATEWAY, &[stream]));
}
