//! How good estimates are: the figures of docs/metering.md.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use modash_metering::{BodyEnd, Calibration, Limits, Meter, Reading, UsageSource};
use support::Random;

/// How a server cuts its output into events.
#[derive(Debug, Clone, Copy)]
enum Server {
    /// A token an event, as local servers do.
    TokenByToken,
    /// One to nine tokens an event, as cloud APIs do under load.
    Coalesced,
    /// The same, and a token has 1 to 4 bytes more (code, other languages).
    LongTokens,
}

/// A stream of so many tokens; the real number is reported only if `usage`.
fn answer(
    server: Server,
    tokens: u64,
    usage: bool,
    random: &mut Random,
    calibration: &Arc<Calibration>,
) -> Reading {
    let uri = "/v1/chat/completions".parse().unwrap();
    let meter = Meter::new(&Method::POST, &uri, &HeaderMap::new(), Limits::default());
    let mut meter = meter.with_calibration(Arc::clone(calibration));
    meter.request_data(br#"{"model":"m","stream":true}"#);
    meter.request_end();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
    meter.response_head(StatusCode::OK, &headers);
    let mut left = tokens;
    while left > 0 {
        let several =
            if matches!(server, Server::TokenByToken) { 1 } else { 1 + random.next() % 9 };
        let several = several.min(left);
        left -= several;
        let extra = if matches!(server, Server::LongTokens) { 1 + random.below(4) } else { 0 };
        // A token of English has 4.4 bytes on average, with its space.
        let bytes: usize = (0..several).map(|_| 1 + random.below(8) + extra).sum();
        let event = format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
            "x".repeat(bytes)
        );
        meter.response_data(event.as_bytes(), Duration::from_millis(1));
    }
    let usage = if usage {
        format!(",\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":{tokens}}}")
    } else {
        String::new()
    };
    let last = format!(
        "data: {{\"choices\":[{{\"finish_reason\":\"stop\"}}]{usage}}}\n\ndata: [DONE]\n\n"
    );
    meter.response_data(last.as_bytes(), Duration::from_millis(2));
    meter.finish(BodyEnd::Complete, Duration::from_millis(3))
}

/// Mean and worst relative error in percent over 200 answers of 20 to 1,500
/// tokens, after so many answers with usage.
fn errors(server: Server, learned: usize) -> (f64, f64) {
    let calibration = Arc::new(Calibration::new());
    let mut random = Random(7);
    for _ in 0..learned {
        let tokens = 20 + random.next() % 1480;
        let reading = answer(server, tokens, true, &mut random, &calibration);
        assert_eq!(reading.source, UsageSource::Upstream);
        assert_eq!(reading.tokens.completion, Some(tokens));
    }
    let (mut sum, mut worst) = (0.0, 0.0_f64);
    for _ in 0..200 {
        let tokens = 20 + random.next() % 1480;
        let reading = answer(server, tokens, false, &mut random, &calibration);
        assert_eq!(reading.source, UsageSource::Estimated);
        assert_eq!((reading.tokens.prompt, reading.tokens.total), (None, None));
        let error = (reading.tokens.completion.unwrap() as f64 / tokens as f64 - 1.0).abs() * 100.0;
        sum += error;
        worst = worst.max(error);
    }
    (sum / 200.0, worst)
}

#[test]
fn estimates_are_as_good_as_the_documentation_says() {
    for (server, learned, mean_limit, worst_limit) in [
        (Server::TokenByToken, 0, 6.0, 30.0),
        (Server::TokenByToken, 10, 0.5, 1.0),
        (Server::Coalesced, 0, 6.0, 30.0),
        (Server::Coalesced, 10, 5.0, 25.0),
        (Server::LongTokens, 0, 70.0, 90.0),
        (Server::LongTokens, 10, 5.0, 40.0),
    ] {
        let (mean, worst) = errors(server, learned);
        println!("{server:?} after {learned}: mean {mean:.1} %, worst {worst:.1} %");
        assert!(
            mean < mean_limit && worst < worst_limit,
            "{server:?} after {learned}: {mean} {worst}"
        );
    }
}

#[test]
fn without_calibration_nothing_is_estimated() {
    let reading =
        support::fixture("openai-chat/stream-usage-absent").read(&[], &[], BodyEnd::Complete);
    assert_eq!(reading.source, UsageSource::NotReported);
    assert_eq!(reading.tokens.completion, None);
}

#[test]
fn the_number_of_models_is_bounded_and_the_others_share_what_they_learn() {
    let calibration = Arc::new(Calibration::new());
    let mut random = Random(3);
    // Any model name an attacker sends.
    for name in 0..2000 {
        let uri = "/v1/chat/completions".parse().unwrap();
        let meter = Meter::new(&Method::POST, &uri, &HeaderMap::new(), Limits::default());
        let mut meter = meter.with_calibration(Arc::clone(&calibration));
        meter.request_data(format!(r#"{{"model":"m{name}","stream":true}}"#).as_bytes());
        meter.request_end();
        meter.response_head(StatusCode::OK, &HeaderMap::new());
        meter.response_data(b"data: {\"choices\":[{\"delta\":{\"content\":\"abcdefgh\"},\"finish_reason\":\"stop\"}],\"usage\":{\"completion_tokens\":8}}\n\n", Duration::ZERO);
        let _ = meter.finish(BodyEnd::Complete, Duration::ZERO);
    }
    assert!(calibration.models() <= 257);
    assert!(
        answer(Server::TokenByToken, 100, false, &mut random, &calibration)
            .tokens
            .completion
            .is_some()
    );
}
