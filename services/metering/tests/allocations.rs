//! What the meter holds: nothing per event, and little whatever comes.

// A counting allocator cannot be written without `unsafe`; helpers may panic.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use modash_metering::{BodyEnd, Limits, Meter};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: i64) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
    if bytes > 0 {
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    }
}

// Only counts; the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(i64::try_from(layout.size()).unwrap_or(0));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-i64::try_from(layout.size()).unwrap_or(0));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations during some work, and bytes held at most beyond those before it.
fn measured(work: impl FnOnce()) -> (u64, i64) {
    let (calls, held) = (CALLS.get(), HELD.get());
    PEAK.set(held);
    work();
    (CALLS.get() - calls, PEAK.get() - held)
}

fn meter(path: &str, kind: &'static str) -> Meter {
    let headers = HeaderMap::new();
    let mut meter = Meter::new(&Method::POST, &path.parse().unwrap(), &headers, Limits::default());
    meter.request_data(br#"{"model":"m","stream":true}"#);
    meter.request_end();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static(kind));
    meter.response_head(StatusCode::OK, &headers);
    meter
}

/// A frame of the AWS event stream.
fn frame(event: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [(":message-type", "event"), (":event-type", event)] {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let crc = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_be_bytes()
    };
    let length = u32::try_from(16 + headers.len() + payload.len()).unwrap();
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&crc(&frame));
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload.as_bytes());
    frame.extend_from_slice(&crc(&frame));
    frame
}

#[test]
fn events_allocate_nothing_in_the_steady_state() {
    type Event = fn(u64) -> Vec<u8>;
    let cases: [(&str, &str, Event); 6] = [
        ("/v1/chat/completions", "text/event-stream", |n| {
            format!("data: {{\"id\":\"c\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"w{n}\"}}}}],\"usage\":null}}\n\n").into_bytes()
        }),
        ("/v1/chat/completions", "text/event-stream", |n| {
            format!("data: {{\"id\":\"c\",\"choices\":[{{\"index\":{},\"delta\":{{\"content\":\"a\\nb\"}}}}],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{n}}}}}\n\n", n % 3).into_bytes()
        }),
        ("/v1/messages", "text/event-stream", |n| {
            format!("event: content_block_delta\r\ndata: {{\"type\":\"content_block_delta\",\"index\":{n},\"delta\":{{\"type\":\"text_delta\",\"text\":\"x\"}}}}\r\n\r\n").into_bytes()
        }),
        ("/api/chat", "application/x-ndjson", |n| {
            format!("{{\"model\":\"m\",\"created_at\":\"{n}\",\"message\":{{\"content\":\"x\"}},\"done\":false}}\n").into_bytes()
        }),
        ("/v1beta/models/g:streamGenerateContent", "application/json", |n| {
            let start = if n == 0 { "[" } else { "," };
            format!("{start}{{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"x\"}}]}}}}],\"usageMetadata\":{{\"promptTokenCount\":{n}}}}}").into_bytes()
        }),
        ("/model/m/converse-stream", "application/vnd.amazon.eventstream", |n| {
            frame(
                "contentBlockDelta",
                &format!("{{\"contentBlockIndex\":{n},\"delta\":{{\"text\":\"x\"}}}}"),
            )
        }),
    ];
    for (path, kind, event) in cases {
        let mut meter = meter(path, kind);
        let events: Vec<Vec<u8>> = (0..2000).map(event).collect();
        let at = |n: usize| Duration::from_millis(n as u64);
        for (n, event) in events[..1000].iter().enumerate() {
            meter.response_data(event, at(n));
        }
        let (allocations, _) = measured(|| {
            for (n, event) in events[1000..].iter().enumerate() {
                meter.response_data(event, at(1000 + n));
            }
        });
        assert_eq!(meter.content_events(), 2000, "{path}");
        assert_eq!(allocations, 0, "{path}");
    }
}

/// A small exchange, of the kind that most are.
fn small_exchange(uri: &Uri, headers: &HeaderMap) {
    let mut meter = Meter::new(&Method::POST, uri, headers, Limits::default());
    meter.request_data(
        br#"{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"Hello"}],"stream":false}"#,
    );
    meter.request_end();
    meter.response_head(StatusCode::OK, headers);
    let answer = br#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4.1-mini-2025-04-14","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":0}},"service_tier":"default"}"#;
    meter.response_data(answer, Duration::from_millis(2));
    let reading = meter.finish(BodyEnd::Complete, Duration::from_millis(3));
    assert_eq!((reading.tokens.prompt, reading.tokens.completion), (Some(9), Some(2)));
}

#[test]
fn a_small_exchange_allocates_for_what_it_keeps_only() {
    // The tables of a dialect are made once in a process.
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let uri = "/v1/chat/completions".parse().unwrap();
    small_exchange(&uri, &headers);
    let (allocations, _) = measured(|| small_exchange(&uri, &headers));
    // Five names; for each direction values, texts and open containers; the counts of the
    // answer and of its choice; what reads the request.
    assert!(allocations <= 5 + 2 * 3 + 2 + 1, "{allocations} allocations");
}

#[test]
fn headers_that_state_no_rate_limit_cost_no_allocation() {
    let uri = "/v1/chat/completions".parse().unwrap();
    let mut few = HeaderMap::new();
    few.insert("content-type", HeaderValue::from_static("application/json"));
    let mut many = few.clone();
    for name in [
        "x-request-id",
        "x-codex-plan-type",
        "anthropic-organization-id",
        "age",
        "x-ratelimit-used",
    ] {
        many.insert(name, HeaderValue::from_static("1"));
    }
    small_exchange(&uri, &few);
    let (with_few, _) = measured(|| small_exchange(&uri, &few));
    let (with_many, _) = measured(|| small_exchange(&uri, &many));
    assert_eq!(with_few, with_many);
}

#[test]
fn a_meter_of_an_open_stream_is_small() {
    // The tables of a dialect are made once in a process.
    drop(meter("/v1/chat/completions", "text/event-stream"));
    let (_, held) = measured(|| {
        let mut meter = meter("/v1/chat/completions", "text/event-stream");
        for n in 0..100 {
            let event = format!(
                "data: {{\"id\":\"c\",\"model\":\"m\",\"choices\":[{{\"delta\":{{\"content\":\"w{n}\"}}}}]}}\n\n"
            );
            meter.response_data(event.as_bytes(), Duration::from_millis(n));
        }
    });
    let held = held + i64::try_from(size_of::<Meter>()).unwrap();
    assert!(held < 8 << 10, "{held} bytes");
}

/// Bytes held at most while `start`, 100 MB of `filler` and `end` pass.
fn peak(path: &str, kind: &'static str, start: &str, filler: &str, end: &str) -> i64 {
    let filler = filler.repeat((1 << 20) / filler.len());
    let (_, peak) = measured(|| {
        let mut meter = meter(path, kind);
        meter.response_data(start.as_bytes(), Duration::ZERO);
        for _ in 0..100 {
            for piece in filler.as_bytes().chunks(16 << 10) {
                meter.response_data(piece, Duration::ZERO);
            }
        }
        meter.response_data(end.as_bytes(), Duration::ZERO);
        let _ = meter.finish(BodyEnd::Complete, Duration::ZERO);
    });
    peak
}

#[test]
fn whatever_comes_little_is_held() {
    let chat = "/v1/chat/completions";
    let (json, events) = ("application/json", "text/event-stream");
    for (path, kind, start, filler, end) in [
        (chat, json, r#"{"choices":[{"message":{"content":""#, "text ", r#""}}]}"#),
        (chat, json, r#"{"model":""#, "model", r#""}"#),
        (chat, json, r#"{""#, "key", r#"":1}"#),
        (chat, json, r#"{"usage":{"prompt_tokens":"#, "1", "}}"),
        (chat, json, r#"{"choices":["#, r#"{"finish_reason":"stop"},"#, "{}]}"),
        (chat, json, "", "[", ""),
        (chat, json, "", " ", ""),
        (chat, events, "data: {\"x\":\"", "text ", "\"}\n\n"),
        (chat, events, "data: ", "{", "\n\n"),
        (chat, events, "", "data: {}\n", "\n"),
        (chat, events, "event: ", "name", "\n\n"),
        (chat, events, "", "field", "\n\n"),
        (chat, events, ":", "comment", "\n\n"),
        ("/api/chat", "application/x-ndjson", "{\"message\":{\"content\":\"", "text ", "\"}}\n"),
        ("/v1beta/models/g:streamGenerateContent", json, "[{\"x\":\"", "text ", "\"}]"),
        ("/model/m/converse-stream", "application/vnd.amazon.eventstream", "", "frame", ""),
    ] {
        let held = peak(path, kind, start, filler, end);
        assert!(held < 256 << 10, "{path} {start}: {held} bytes");
    }
}
