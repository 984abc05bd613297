//! What messages of WebSocket sessions, and events of streams, state about rate limits.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use modash_metering::{BodyEnd, Limits, Meter, RateLimit, RateLimitKind, RateLimits, When};

const REALTIME: &str = "/v1/realtime?model=gpt-realtime";
const RESPONSES: &str = "/backend-api/codex/responses";

/// A text frame of the server.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        length @ ..126 => frame.push(u8::try_from(length).unwrap()),
        length => {
            frame.push(126);
            frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// A session whose messages come at these seconds.
fn session(
    path: &str,
    head: &[(&'static str, &'static str)],
    messages: &[(u64, &str)],
) -> Option<RateLimits> {
    let read = |byte_by_byte: bool| {
        let uri = path.parse().unwrap();
        let mut meter = Meter::new(&Method::GET, &uri, &HeaderMap::new(), Limits::default());
        meter.request_end();
        let mut headers = HeaderMap::new();
        for (name, value) in head {
            headers.append(*name, HeaderValue::from_static(value));
        }
        meter.response_head(StatusCode::SWITCHING_PROTOCOLS, &headers);
        for (at, message) in messages {
            let frame = frame(message);
            let pieces = frame.chunks(if byte_by_byte { 1 } else { frame.len() });
            pieces.for_each(|piece| meter.response_data(piece, Duration::from_secs(*at)));
        }
        meter.finish(BodyEnd::Complete, Duration::from_secs(1_000)).rate_limits
    };
    let whole = read(false);
    assert_eq!(whole, read(true), "one piece and byte by byte differ");
    whole
}

fn counted(kind: RateLimitKind, limit: u64, remaining: u64, resets: When) -> RateLimit {
    let (window, used) = (String::new(), None);
    RateLimit {
        kind,
        window,
        limit: Some(limit),
        remaining: Some(remaining),
        used,
        resets: Some(resets),
    }
}

fn plan(window: &str, used: f64, resets: Option<When>) -> RateLimit {
    let (kind, limit, remaining) = (RateLimitKind::Plan, None, None);
    RateLimit { kind, window: window.to_owned(), limit, remaining, used: Some(used), resets }
}

fn after(milliseconds: u64) -> When {
    When::After(Duration::from_millis(milliseconds))
}

fn moment(seconds: u64) -> Option<When> {
    Some(When::At(Duration::from_secs(seconds)))
}

const UPDATED: &str = r#"{"type":"rate_limits.updated","event_id":"ev","rate_limits":[{"name":"requests","limit":1000,"remaining":999,"reset_seconds":60},{"name":"tokens","limit":50000,"remaining":49950,"reset_seconds":0.5}]}"#;
const CODEX: &str = r#"{"type":"codex.rate_limits","plan_type":"pro","rate_limits":{"allowed":true,"primary":{"used_percent":40.5,"window_minutes":300,"reset_at":1800009000},"secondary":{"used_percent":5,"window_minutes":10080,"reset_at":1800600000}},"credits":null}"#;
const POOL: &str = r#"{"type":"codex.rate_limits","metered_limit_name":"codex_other","rate_limits":{"primary":{"used_percent":101,"window_minutes":1440,"reset_after_seconds":30},"secondary":null}}"#;

#[test]
fn realtime_states_requests_and_tokens() {
    use RateLimitKind::{Requests, Tokens};
    let limits = vec![
        counted(Requests, 1_000, 999, after(60_000)),
        counted(Tokens, 50_000, 49_950, after(500)),
    ];
    let at = Some(Duration::from_secs(7));
    let expected = RateLimits { limits, retry_after: None, at };
    assert_eq!(session(REALTIME, &[], &[(7, UPDATED)]), Some(expected));
}

#[test]
fn the_last_message_counts_and_times_are_from_it() {
    use RateLimitKind::{Requests, Tokens};
    let later = r#"{"type":"rate_limits.updated","rate_limits":[{"name":"tokens","limit":50000,"remaining":10,"reset_seconds":30.25}]}"#;
    let found = session(REALTIME, &[], &[(7, UPDATED), (17, later), (900, "{}")]).unwrap();
    assert_eq!(found.at, Some(Duration::from_secs(17)));
    let limits =
        [counted(Requests, 1_000, 999, after(50_000)), counted(Tokens, 50_000, 10, after(30_250))];
    assert_eq!(found.limits, limits);
    // One that has reset in between has done so.
    let found = session(REALTIME, &[], &[(7, UPDATED), (107, later)]).unwrap();
    assert_eq!(found.limits[0].resets, Some(after(0)));
}

#[test]
fn codex_states_the_windows_of_a_plan_under_the_names_of_its_headers() {
    let found = session(RESPONSES, &[], &[(1, CODEX), (2, POOL)]).unwrap();
    let limits = [
        plan("5h", 0.405, moment(1_800_009_000)),
        plan("7d", 0.05, moment(1_800_600_000)),
        plan("1d_other", 1.01, Some(after(30_000))),
    ];
    assert_eq!(found.limits, limits);
    let headers = [
        ("x-codex-primary-used-percent", "12.5"),
        ("x-codex-primary-window-minutes", "300"),
        ("x-codex-other-primary-used-percent", "3"),
        ("x-codex-other-primary-window-minutes", "1440"),
        ("x-codex-other-primary-reset-after-seconds", "60"),
    ];
    // What the head alone states stays, without times that count from the head.
    let found = session(RESPONSES, &headers, &[(1, CODEX)]).unwrap();
    assert_eq!(found.limits[0], limits[0]);
    assert_eq!(found.limits[2], plan("1d_other", 0.03, None));
    let found = session(RESPONSES, &headers, &[(1, CODEX), (2, POOL)]).unwrap();
    assert_eq!(found.limits, limits);
    let found = session(RESPONSES, &headers, &[(1, "{}")]).unwrap();
    assert_eq!((found.limits.len(), found.at), (2, None));
}

#[test]
fn a_stream_states_them_too() {
    let uri = RESPONSES.parse().unwrap();
    let mut meter = Meter::new(&Method::POST, &uri, &HeaderMap::new(), Limits::default());
    meter.request_data(br#"{"model":"m","stream":true}"#);
    meter.request_end();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
    meter.response_head(StatusCode::OK, &headers);
    let body = format!("event: codex.rate_limits\ndata: {CODEX}\n\n");
    meter.response_data(body.as_bytes(), Duration::from_secs(3));
    let found = meter.finish(BodyEnd::Complete, Duration::from_secs(4)).rate_limits.unwrap();
    assert_eq!((found.limits.len(), found.at), (2, Some(Duration::from_secs(3))));
}

#[test]
fn what_cannot_be_read_is_absent() {
    for message in [
        r#"{"type":"rate_limits.updated"}"#,
        r#"{"type":"rate_limits.updated","rate_limits":[]}"#,
        r#"{"type":"rate_limits.updated","rate_limits":[{"name":"minutes","limit":5,"remaining":1}]}"#,
        r#"{"type":"rate_limits.updated","rate_limits":[{"name":"tokens","limit":0,"remaining":0}]}"#,
        r#"{"type":"rate_limits.updated","rate_limits":[{"name":"tokens","limit":"many","remaining":-4}]}"#,
        r#"{"type":"rate_limits.updated","rate_limits":[{"name":"tokens","limit":9e30,"reset_seconds":1}]}"#,
        r#"{"type":"codex.rate_limits","rate_limits":{"primary":{"window_minutes":300}}}"#,
        r#"{"type":"codex.rate_limits","rate_limits":{"primary":{"used_percent":-1,"window_minutes":300}}}"#,
        r#"{"type":"codex.rate_limits","metered_limit_name":"a b","rate_limits":{"primary":{"used_percent":1}}}"#,
        r#"{"type":"other","rate_limits":[{"name":"tokens","limit":5,"remaining":1}]}"#,
        r#"{"type":"rate_limits.updated","x":{"rate_limits":[{"name":"tokens","limit":5,"remaining":1}]}}"#,
    ] {
        assert_eq!(session(REALTIME, &[], &[(1, message)]), None, "{message}");
    }
    let partly = r#"{"type":"rate_limits.updated","rate_limits":[{"name":"tokens","limit":5,"remaining":1,"reset_seconds":1e12}]}"#;
    let found = session(REALTIME, &[], &[(1, partly)]).unwrap();
    assert_eq!((found.limits[0].remaining, found.limits[0].resets), (Some(1), None));
}
