//! How fast the meter reads: content-heavy streams, long documents, large
//! requests. Each figure is bytes of one direction by the time to meter them.

// Helpers of benchmarks may panic.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use modash_metering::{BodyEnd, Limits, Meter, Reading};

fn meter(path: &str) -> Meter {
    Meter::new(&Method::POST, &path.parse().unwrap(), &HeaderMap::new(), Limits::default())
}

fn answer(meter: &mut Meter, content_type: &'static str) {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    meter.response_head(StatusCode::OK, &headers);
}

/// One event of exactly 256 bytes with its blank line, each with other text.
fn openai_event(number: usize) -> Vec<u8> {
    let words = [" the", " quick", " brown", " fox", " jumps", " over", " a", " lazy"];
    let word = words[number % words.len()];
    let mut event = format!(
        "data: {{\"id\":\"chatcmpl-Dv02aaBBccDDeeFF\",\"object\":\"chat.completion.chunk\",\"created\":1764000000,\
         \"model\":\"gpt-4.1-mini\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}},\
         \"finish_reason\":null}}],\"usage\":null,\"obfuscation\":\""
    );
    while event.len() < 256 - 4 {
        event.push('x');
    }
    event.push_str("\"}\n\n");
    assert_eq!(event.len(), 256);
    event.into_bytes()
}

/// The same size, but no two events are alike: each reports usage.
fn usage_event(number: usize) -> Vec<u8> {
    format!(
        "data: {{\"id\":\"chatcmpl-9f2b7c\",\"object\":\"chat.completion.chunk\",\"created\":1764000000,\
         \"model\":\"Qwen/Qwen3-8B\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" quick\"}}}}],\
         \"usage\":{{\"prompt_tokens\":331,\"completion_tokens\":{:05},\"total_tokens\":{:05}}}}}\n\n",
        10_000 + number,
        10_331 + number
    )
    .into_bytes()
}

fn anthropic_event(number: usize) -> Vec<u8> {
    let text = "lorem ipsum dolor sit amet ".repeat(5);
    let mut event = format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
         \"delta\":{{\"type\":\"text_delta\",\"text\":\"{}",
        &text[number % 8..]
    );
    while event.len() < 256 - 5 {
        event.push('x');
    }
    event.push_str("\"}}\n\n");
    event.into_bytes()
}

fn stream(path: &str, pieces: &[Vec<u8>]) -> Reading {
    let mut meter = meter(path);
    meter.request_data(br#"{"model":"m","stream":true}"#);
    meter.request_end();
    answer(&mut meter, "text/event-stream");
    let mut at = Duration::from_millis(100);
    for piece in pieces {
        meter.response_data(piece, at);
        at += Duration::from_micros(500);
    }
    meter.finish(BodyEnd::Complete, at)
}

fn streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("sse");
    const EVENTS: usize = 10_000;
    group.throughput(Throughput::Elements(EVENTS as u64));
    type Event = fn(usize) -> Vec<u8>;
    let cases: [(&str, &str, Event); 3] = [
        ("openai_256_bytes", "/v1/chat/completions", openai_event),
        ("usage_in_each", "/v1/chat/completions", usage_event),
        ("anthropic_256_bytes", "/v1/messages", anthropic_event),
    ];
    for (name, path, event) in cases {
        let single: Vec<Vec<u8>> = (0..EVENTS).map(event).collect();
        let together: Vec<Vec<u8>> = single.chunks(64).map(<[_]>::concat).collect();
        group.bench_with_input(BenchmarkId::new(name, "each_alone"), &single, |b, pieces| {
            b.iter(|| black_box(stream(path, pieces)));
        });
        group.bench_with_input(BenchmarkId::new(name, "16_kib_reads"), &together, |b, pieces| {
            b.iter(|| black_box(stream(path, pieces)));
        });
    }
    group.finish();
}

fn documents(c: &mut Criterion) {
    let mut group = c.benchmark_group("json");
    let text = "All work and no play makes Jack a dull boy. ".repeat(25_000);
    let long_string = format!(
        r#"{{"id":"c","model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}}}"#
    );
    let vector: Vec<String> = (0..1536).map(|n| format!("{:.8}", f64::from(n) / 7919.0)).collect();
    let vector = vector.join(",");
    let vectors: Vec<String> = (0..64)
        .map(|n| format!(r#"{{"object":"embedding","index":{n},"embedding":[{vector}]}}"#))
        .collect();
    let embeddings = format!(
        r#"{{"object":"list","data":[{}],"model":"m","usage":{{"prompt_tokens":8,"total_tokens":8}}}}"#,
        vectors.join(",")
    );
    let tools: Vec<String> = (0..4000)
        .map(|n| {
            format!(r#"{{"role":"user","content":"line {n}\n\tof \"code\"","name":"u","n":{n}}}"#)
        })
        .collect();
    let structured = format!(r#"{{"choices":[],"log":[{}],"usage":null}}"#, tools.join(","));
    let cases = [
        ("long_string_1_mb", "/v1/chat/completions", long_string),
        ("embeddings_1_mb", "/v1/embeddings", embeddings),
        ("many_members", "/v1/chat/completions", structured),
    ];
    for (name, path, body) in &cases {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(*name, |b| {
            b.iter(|| {
                let mut meter = meter(path);
                meter.request_end();
                answer(&mut meter, "application/json");
                for piece in body.as_bytes().chunks(16 << 10) {
                    meter.response_data(piece, Duration::from_millis(1));
                }
                black_box(meter.finish(BodyEnd::Complete, Duration::from_millis(2)))
            });
        });
    }
    group.finish();
}

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("request");
    let turn = r#"{"role":"user","content":"Please read this file and tell me what it does: fn main() { println!(\"hi\"); }\nThanks."},"#;
    let mut body = String::from(r#"{"messages":["#);
    while body.len() < 3_500_000 {
        body.push_str(turn);
    }
    body.push_str(r#"{"role":"user","content":"end"}],"model":"gpt-4.1","stream":true}"#);
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("conversation_3.5_mb", |b| {
        b.iter(|| {
            let mut meter = meter("/v1/chat/completions");
            for piece in body.as_bytes().chunks(16 << 10) {
                meter.request_data(piece);
            }
            meter.request_end();
            assert!(meter.stream());
            black_box(meter)
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("small_exchange", |b| {
        b.iter(|| {
            let mut meter = meter("/v1/chat/completions");
            meter.request_data(br#"{"model":"gpt-4.1","messages":[{"role":"user","content":"hi"}]}"#);
            meter.request_end();
            answer(&mut meter, "application/json");
            meter.response_data(
                br#"{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
                Duration::from_millis(1),
            );
            black_box(meter.finish(BodyEnd::Complete, Duration::from_millis(2)))
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = streams, documents, requests
}
criterion_main!(benches);
