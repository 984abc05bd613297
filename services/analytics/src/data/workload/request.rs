//! One made-up request.

use std::f64::consts::LN_2;

use modash_histogram::bucket_of;
use modash_proto::{
    duration_from_micros, event_id, timestamp_from_micros,
    v1::{LogHistogram, Operation, Outcome, SpeedSource, UsageEvent, UsageSource},
};
use rand::{Rng, rngs::StdRng};
use rand_distr::{Distribution as _, StandardNormal};

use super::catalog::{Catalog, Key, Kind, Mood};

/// Requests of one session, about.
const SESSION_MICROS: i64 = 900_000_000;

/// Requests of one trace, about.
const TRACE_MICROS: i64 = 20_000_000;

/// Gaps between content events, as buckets away from the mean gap with their
/// shares in percent; the rest is at the mean.
const GAPS: [(i32, u64); 6] = [(-30, 6), (-12, 12), (-5, 18), (4, 14), (14, 5), (45, 1)];

/// How often a request ends badly, in ten thousand.
const FAILURES: [(Outcome, u32); 8] = [
    (Outcome::HttpError, 230),
    (Outcome::ClientClosed, 140),
    (Outcome::StreamError, 50),
    (Outcome::Truncated, 45),
    (Outcome::UpstreamTimeout, 40),
    (Outcome::UpstreamUnreachable, 35),
    (Outcome::Empty, 20),
    (Outcome::Interrupted, 10),
];

/// The request that began at `at`, in microseconds since 1970.
pub(super) fn make(catalog: &Catalog, mood: &Mood, at: i64, random: &mut StdRng) -> UsageEvent {
    let (key, model) = catalog.choose(random);
    let kind = model.kind;
    let stream = random.random_bool(kind.streams);
    let outcome = outcome(stream, mood.troubled == Some(kind.upstream), random);
    let mut event = UsageEvent {
        event_id: id(at, random),
        replica_id: ["proxy-a", "proxy-b"][random.random_range(0..2)].to_owned(),
        started_at: Some(timestamp_from_micros(at)),
        upstream: kind.upstream.to_owned(),
        dialect: kind.dialect.to_owned(),
        operation: kind.operation.into(),
        method: "POST".to_owned(),
        path: kind.path.to_owned(),
        model_requested: Some(model.name.clone()),
        model: Some(model.name.clone()),
        stream,
        user_agent_family: Some(key.client.to_owned()),
        client_key: Some(key.fingerprint.clone()),
        user: model.user.clone().or_else(|| pick(&key.users, random).cloned()),
        session: session(key, at, random),
        tags: [
            ("app".to_owned(), key.application.to_owned()),
            ("team".to_owned(), key.team.to_owned()),
        ]
        .into(),
        trace_id: trace_id(key, at),
        parent_span_id: key.sessions.then(|| at.cast_unsigned()),
        outcome: outcome.into(),
        usage_source: UsageSource::NotReported.into(),
        connect: random.random_bool(0.1).then(|| seconds(0.0012 * spread(0.5, random))),
        ..UsageEvent::default()
    };
    let prompt = (kind.tokens.0 * spread(0.9, random)).round().max(1.0);
    event.request_bytes = (prompt * 4.3) as u64 + 180;
    match outcome {
        Outcome::HttpError => refused(&mut event, random),
        Outcome::UpstreamUnreachable => gateway_error(&mut event, 502, 0.002, "unreachable"),
        Outcome::UpstreamTimeout => gateway_error(&mut event, 504, 60.0, "timeout"),
        _ => answered(&mut event, kind, mood, outcome, prompt, random),
    }
    event
}

/// How it ended; in an hour of trouble six times as many fail.
fn outcome(stream: bool, troubled: bool, random: &mut StdRng) -> Outcome {
    let mut at = random.random_range(0..10_000);
    for (outcome, share) in FAILURES {
        let share = if troubled { share * 6 } else { share };
        if at < share {
            let whole = matches!(outcome, Outcome::StreamError) && !stream;
            return if whole { Outcome::HttpError } else { outcome };
        }
        at -= share;
    }
    Outcome::Ok
}

fn refused(event: &mut UsageEvent, random: &mut StdRng) {
    const ERRORS: [(u32, &str); 5] = [
        (429, "rate_limit_error"),
        (429, "rate_limit_error"),
        (400, "invalid_request_error"),
        (500, "server_error"),
        (529, "overloaded_error"),
    ];
    let (status, error) = ERRORS[random.random_range(0..ERRORS.len())];
    event.status = Some(status);
    event.error_type = Some(error.to_owned());
    event.upstream_head = Some(seconds(0.05 * spread(0.6, random)));
    event.duration = event.upstream_head;
    event.response_bytes = random.random_range(120..400);
}

fn gateway_error(event: &mut UsageEvent, status: u32, after: f64, error: &str) {
    event.status = Some(status);
    event.error_type = Some(error.to_owned());
    event.duration = Some(seconds(after));
    event.response_bytes = 130;
}

/// There was an answer, or a part of one.
fn answered(
    event: &mut UsageEvent,
    kind: &Kind,
    mood: &Mood,
    outcome: Outcome,
    prompt: f64,
    random: &mut StdRng,
) {
    let fine = outcome == Outcome::Ok;
    let hit = random.random_bool(0.6);
    let cached = if hit { (prompt * kind.cached * random.random::<f64>()).round() } else { 0.0 };
    let whole = (kind.tokens.1 * spread(0.8, random)).round();
    let completion = match outcome {
        Outcome::Ok => whole,
        Outcome::Empty => 0.0,
        _ => (whole * random.random::<f64>()).round(),
    };
    let slowness = mood.slowness * spread(0.25, random);
    let first = 0.03 + (prompt - cached) / kind.speed.0 * slowness;
    let decode = if kind.speed.1 > 0.0 { kind.speed.1 / slowness } else { 1.0 };
    let last = first + (completion - 1.0).max(0.0) / decode;
    let end = last + 0.002;

    event.status = (outcome != Outcome::Interrupted).then_some(200);
    event.duration = Some(seconds(end));
    let head = if event.stream { first * random.random_range(0.5..0.95) } else { end };
    event.upstream_head = Some(seconds(head));
    event.response_bytes = (completion * if event.stream { 190.0 } else { 5.0 }) as u64 + 420;
    if outcome == Outcome::StreamError {
        event.error_type = Some("overloaded_error".to_owned());
    }
    if outcome != Outcome::Empty {
        event.response_id = Some(response_id(kind, random));
    }
    let reported = fine && random.random_bool(if event.stream { 0.94 } else { 0.995 });
    if reported {
        event.usage_source = UsageSource::Upstream.into();
        event.prompt_tokens = Some(prompt as u64);
        event.cached_prompt_tokens = (kind.cached > 0.0).then_some(cached as u64);
        event.completion_tokens = (kind.tokens.1 > 0.0).then_some(completion as u64);
        event.reasoning_tokens = (kind.reasoning > 0.0)
            .then(|| (completion * kind.reasoning * random.random::<f64>()) as u64);
        event.total_tokens = Some((prompt + completion) as u64);
    } else if event.stream && completion > 0.0 {
        event.usage_source = UsageSource::Estimated.into();
        event.completion_tokens = Some(completion as u64);
    }
    if fine && kind.operation == Operation::Chat {
        event.finish_reason = Some(finish_reason(kind, random).to_owned());
    }
    if event.stream && completion >= 1.0 {
        streamed(event, first, last, completion, prompt - cached);
    }
}

fn streamed(event: &mut UsageEvent, first: f64, last: f64, completion: f64, uncached: f64) {
    event.first_token = Some(seconds(first));
    event.last_token = Some(seconds(last));
    event.content_events = completion as u64;
    if completion < 2.0 {
        return;
    }
    event.token_gaps = Some(gaps((last - first) / (completion - 1.0) * 1e6, completion as u64 - 1));
    if event.usage_source == i32::from(UsageSource::Upstream) {
        event.decode_tokens_per_second = Some((completion - 1.0) / (last - first));
        event.prefill_tokens_per_second = Some(uncached / first);
        event.speed_source = SpeedSource::Measured.into();
    }
}

/// `count` gaps around a mean of microseconds.
fn gaps(mean: f64, count: u64) -> LogHistogram {
    let middle = bucket_of(mean).cast_signed();
    let mut histogram = LogHistogram::default();
    let mut add = |bucket: i32, count: u64| {
        if count > 0 {
            histogram.indexes.push(bucket.clamp(0, 1023).cast_unsigned());
            histogram.counts.push(count);
        }
    };
    let shares = GAPS.map(|(offset, percent)| (offset, count * percent / 100));
    let others: u64 = shares.iter().map(|(_, count)| count).sum();
    let (below, above) = shares.split_at(3);
    below.iter().for_each(|(offset, count)| add(middle + offset, *count));
    add(middle, count - others);
    above.iter().for_each(|(offset, count)| add(middle + offset, *count));
    histogram
}

fn finish_reason(kind: &Kind, random: &mut StdRng) -> &'static str {
    let cut = random.random_bool(0.06);
    let tool = random.random_bool(0.2);
    match (kind.dialect, cut, tool) {
        ("anthropic-messages", true, _) => "max_tokens",
        ("anthropic-messages", _, true) => "tool_use",
        ("anthropic-messages", ..) => "end_turn",
        ("openai-responses", true, _) => "max_output_tokens",
        ("openai-responses", ..) => "completed",
        (_, true, _) => "length",
        (_, _, true) => "tool_calls",
        _ => "stop",
    }
}

/// As long as those of the dialect are.
fn response_id(kind: &Kind, random: &mut StdRng) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let (prefix, length) = match kind.dialect {
        "anthropic-messages" => ("msg_01", 22),
        "openai-responses" => ("resp_", 48),
        "openai-embeddings" => ("embd-", 24),
        _ => ("chatcmpl-", 29),
    };
    let mut id = String::with_capacity(prefix.len() + length);
    id.push_str(prefix);
    id.extend((0..length).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])));
    id
}

/// One of a few conversations that the key has at this time.
fn session(key: &Key, at: i64, random: &mut StdRng) -> Option<String> {
    let time = at / SESSION_MICROS;
    key.sessions
        .then(|| format!("{}-{time:x}-{}", &key.fingerprint[..8], random.random_range(0..4)))
}

/// The trace of what the key does at this time, if its client takes part in traces.
fn trace_id(key: &Key, at: i64) -> Option<String> {
    key.sessions.then(|| format!("{}{:016x}", key.fingerprint, at / TRACE_MICROS))
}

fn id(at: i64, random: &mut StdRng) -> String {
    let micros = u64::try_from(at).unwrap_or_default();
    uuid::Uuid::from_u128(event_id(micros, random.random())).to_string()
}

/// A factor around 1: log-normal with this deviation of the logarithm.
fn spread(deviation: f64, random: &mut StdRng) -> f64 {
    let normal: f64 = StandardNormal.sample(random);
    // No tail without end: at most some 2,000 times.
    (normal * deviation).clamp(-11.0 * LN_2, 11.0 * LN_2).exp()
}

fn pick<'a, T>(among: &'a [T], random: &mut StdRng) -> Option<&'a T> {
    (!among.is_empty()).then(|| &among[random.random_range(0..among.len())])
}

fn seconds(seconds: f64) -> prost_types::Duration {
    duration_from_micros((seconds * 1e6) as i64)
}
