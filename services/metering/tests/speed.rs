//! Rates: of tokens that were seen, while they were; unknown where too little
//! was seen to tell.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use modash_metering::{BodyEnd, Calibration, Reading, SpeedSource, UsageSource};
use std::sync::Arc;
use std::time::Duration;
use support::stream;

const CHAT: &str = "/v1/chat/completions";

fn text(text: &str) -> String {
    format!("{{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}")
}

fn thought(text: &str) -> String {
    format!("{{\"choices\":[{{\"index\":0,\"delta\":{{\"reasoning_content\":\"{text}\"}}}}]}}")
}

fn end(prompt: u64, completion: u64, reasoning: u64) -> String {
    format!(
        "{{\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning}}}}}}}"
    )
}

/// Events with the time of each in milliseconds.
fn read(events: &[(String, u64)]) -> Reading {
    let mut meter = stream(CHAT, "").meter();
    let mut last = 0;
    for (event, at) in events {
        meter.response_data(format!("data: {event}\n\n").as_bytes(), Duration::from_millis(*at));
        last = *at;
    }
    meter.finish(BodyEnd::Complete, Duration::from_millis(last))
}

fn texts(count: u64, from: u64, every: u64) -> Vec<(String, u64)> {
    (0..count).map(|n| (text("some "), from + n * every)).collect()
}

/// Such texts, then the end with these counts, and the rates.
fn rates(count: u64, from: u64, every: u64, completion: u64, reasoning: u64) -> [Option<f64>; 2] {
    let mut events = texts(count, from, every);
    events.push((end(500, completion, reasoning), from + count * every));
    let reading = read(&events);
    [reading.prefill_tokens_per_second, reading.decode_tokens_per_second]
}

#[test]
fn a_rate_needs_tokens_events_and_time() {
    assert_eq!(rates(21, 500, 50, 21, 0), [Some(1000.0), Some(20.0)]);
    assert_eq!(rates(7, 500, 50, 7, 0)[1], None, "7 tokens");
    assert_eq!(rates(2, 500, 500, 20, 0)[1], None, "2 events");
    assert_eq!(rates(21, 500, 12, 21, 0)[1], None, "240 ms");
    assert_eq!(rates(26, 500, 10, 26, 0)[1], Some(100.0), "250 ms");
}

#[test]
fn what_was_held_back_has_no_rate() {
    // The server was silent for two seconds, and then sent everything at once.
    assert_eq!(rates(4, 2000, 100, 4096, 0)[1], None);
    // Events of many tokens that come as they are made.
    assert!(rates(40, 500, 100, 800, 0)[1].is_some());
}

#[test]
fn reasoning_that_was_not_seen_is_left_out() {
    let [prefill, decode] = rates(21, 1000, 50, 921, 900);
    assert_eq!(decode, Some(20.0));
    assert_eq!(prefill, None, "the wait was one for reasoning");
    assert_eq!(rates(5, 1000, 100, 905, 900)[1], None, "too few were seen");
}

#[test]
fn reasoning_that_was_seen_counts() {
    let mut events: Vec<(String, u64)> = (0..20).map(|n| (thought("hmm "), 500 + n * 50)).collect();
    events.extend(texts(21, 1500, 50));
    events.push((end(500, 41, 20), 2600));
    let reading = read(&events);
    assert_eq!(reading.decode_tokens_per_second, Some(20.0));
    assert_eq!(reading.prefill_tokens_per_second, Some(1000.0));
    // A summary of it is no reasoning.
    let mut events = vec![(thought("I thought about it."), 500)];
    events.extend(texts(21, 1500, 50));
    events.push((end(500, 2021, 2000), 2600));
    let reading = read(&events);
    assert_eq!(reading.decode_tokens_per_second, Some(20.0));
    assert_eq!(reading.prefill_tokens_per_second, None);
}

#[test]
fn what_the_upstream_measured_wins_unless_it_is_absurd() {
    let timed = |timings: &str| {
        let mut events = texts(21, 500, 50);
        let last = format!(
            "{{\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":500,\"completion_tokens\":21}},\"timings\":{timings}}}"
        );
        events.push((last, 1600));
        let reading = read(&events);
        let rates = [reading.prefill_tokens_per_second, reading.decode_tokens_per_second];
        (rates, reading.speed_source.unwrap())
    };
    let own = ([Some(1000.0), Some(20.0)], SpeedSource::Measured);
    let told = timed(r#"{"prompt_per_second":900.5,"predicted_per_second":21.5}"#);
    assert_eq!(told, ([Some(900.5), Some(21.5)], SpeedSource::Upstream));
    for absurd in [
        r#"{"prompt_per_second":null,"predicted_per_second":null}"#,
        r#"{"prompt_per_second":1e6,"predicted_per_second":1e6}"#,
        r#"{"prompt_per_second":-1,"predicted_per_second":0}"#,
        r#"{"prompt_per_second":1e999,"predicted_per_second":"inf"}"#,
        "{}",
        "null",
    ] {
        assert_eq!(timed(absurd), own, "{absurd}");
    }
}

#[test]
fn one_token_has_no_rate() {
    let last = "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1},\"timings\":{\"prompt_per_second\":90,\"predicted_per_second\":45000}}";
    let reading = read(&[(last.to_owned(), 500)]);
    assert_eq!(reading.prefill_tokens_per_second, Some(90.0));
    assert_eq!(reading.decode_tokens_per_second, None);
}

fn with(calibration: &Arc<Calibration>, events: &[String], last: &str) -> Reading {
    let mut meter = stream(CHAT, "").meter().with_calibration(Arc::clone(calibration));
    let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    meter.response_data(body.as_bytes(), Duration::from_millis(1));
    meter.response_data(format!("data: {last}\n\n").as_bytes(), Duration::from_millis(2));
    meter.finish(BodyEnd::Complete, Duration::from_millis(3))
}

const STOP: &str = "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}";

#[test]
fn one_token_an_event_is_estimated_as_such() {
    for length in [1, 3, 5, 6] {
        let events = vec![text(&"x".repeat(length)); 40];
        let reading = with(&Arc::default(), &events, STOP);
        assert_eq!(reading.source, UsageSource::Estimated);
        assert_eq!(reading.tokens.completion, Some(40), "{length} bytes");
    }
    let events = vec![text(&"x".repeat(44)); 40];
    assert_eq!(with(&Arc::default(), &events, STOP).tokens.completion, Some(400));
}

#[test]
fn streams_of_several_choices_teach_nothing() {
    let calibration = Arc::default();
    let both = "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"abcd\"}},{\"index\":1,\"delta\":{\"content\":\"abcd\"}}]}";
    for _ in 0..5 {
        let events = vec![both.to_owned(); 40];
        let reading = with(&calibration, &events, &end(5, 80, 0));
        assert_eq!(reading.source, UsageSource::Upstream);
    }
    assert_eq!(calibration.models(), 0);
    let events = vec![text("abcd"); 40];
    assert_eq!(with(&calibration, &events, STOP).tokens.completion, Some(40));
}
