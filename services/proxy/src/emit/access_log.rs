//! The access log: a line on standard output for each request, or for a share of them.
//! Off by default. Written by a thread of its own from the events, so that a slow reader
//! of standard output holds up nothing; lines that it has no room for are counted.

use std::{
    fmt::Write as _,
    io::{self, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use modash_proto::{
    micros_from_duration,
    v1::{Outcome, UsageEvent},
};
use prost::Message as _;
use serde_json::{Map, Value, json};

use super::keeper::event_id;
use crate::{
    settings::{AccessLogFormat, Share},
    usage_event::EncodedEvent,
};

/// Lines that may wait for standard output.
const MOST_WAITING: usize = 8_192;

/// The end of the access log to which events are given.
#[derive(Debug)]
pub(crate) struct AccessLog {
    /// An event without bytes is the last.
    lines: SyncSender<EncodedEvent>,
    share: f64,
    dropped: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl AccessLog {
    /// Starts it on standard output; `None`: it is off.
    pub(crate) fn start(format: AccessLogFormat, share: Share) -> io::Result<Option<Self>> {
        let write: fn(&UsageEvent) -> String = match format {
            AccessLogFormat::Off => return Ok(None),
            AccessLogFormat::Text => text,
            AccessLogFormat::Json => json,
        };
        let (lines, events) = sync_channel(MOST_WAITING);
        let thread = thread::Builder::new()
            .name("modash-access-log".to_owned())
            .spawn(move || write_lines(&events, &mut io::stdout(), write))?;
        let (dropped, thread) = (AtomicU64::new(0), Mutex::new(Some(thread)));
        Ok(Some(Self { lines, share: share.0, dropped, thread }))
    }

    /// Returns when everything is written that was added before; blocks.
    pub(super) fn finish(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && self.lines.send(EncodedEvent::new()).is_ok()
        {
            let _ = thread.join();
        }
    }

    /// Adds the line of a request, if it is sampled. Never waits.
    pub(super) fn add(&self, event: &EncodedEvent) {
        if is_sampled(event, self.share) && self.lines.try_send(event.clone()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines for which there was no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Whether a request is among a share of all, by the random digits at the end of its id:
/// the same ones at every replica and after every restart.
fn is_sampled(event: &[u8], share: f64) -> bool {
    if share >= 1.0 {
        return true;
    }
    let id = event_id(event);
    let digits = id.as_ref().and_then(|id| str::from_utf8(&id[28..]).ok());
    let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    number.is_some_and(|number| f64::from(number) < share * 4_294_967_296.0)
}

fn write_lines(
    events: &Receiver<EncodedEvent>,
    out: &mut impl Write,
    write: fn(&UsageEvent) -> String,
) {
    let mut buffer = String::new();
    let mut ended = false;
    while !ended {
        let Ok(event) = events.recv() else { return };
        for event in std::iter::once(event).chain(events.try_iter().take(256)) {
            ended |= event.is_empty();
            if let (Ok(event), false) = (UsageEvent::decode(event), ended) {
                buffer.push_str(&write(&event));
                buffer.push('\n');
            }
        }
        // A reader that is gone costs its lines and nothing else.
        let _ = out.write_all(buffer.as_bytes()).and_then(|()| out.flush());
        buffer.clear();
    }
}

fn seconds(duration: Option<&prost_types::Duration>) -> Option<f64> {
    duration.and_then(micros_from_duration).map(|micros| micros as f64 / 1e6)
}

fn outcome(event: &UsageEvent) -> String {
    Outcome::try_from(event.outcome)
        .unwrap_or_default()
        .as_str_name()
        .trim_start_matches("OUTCOME_")
        .to_lowercase()
}

fn started_at(event: &UsageEvent) -> String {
    event.started_at.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn text(event: &UsageEvent) -> String {
    let status = event.status.map_or("-".to_owned(), |status| status.to_string());
    let mut line = format!(
        "{} {} {} {status} {}",
        started_at(event),
        event.method,
        event.path,
        outcome(event)
    );
    let number = |count: Option<u64>| count.map(|count| count.to_string());
    let time = |duration: &Option<prost_types::Duration>| {
        seconds(duration.as_ref()).map(|seconds| format!("{seconds:.6}"))
    };
    for (name, value) in [
        ("seconds", time(&event.duration)),
        ("first_token", time(&event.first_token)),
        ("upstream", Some(event.upstream.clone())),
        ("dialect", Some(event.dialect.clone())),
        ("model", event.model.clone().or_else(|| event.model_requested.clone())),
        ("input_tokens", number(event.prompt_tokens)),
        ("output_tokens", number(event.completion_tokens)),
        ("request_bytes", Some(event.request_bytes.to_string())),
        ("response_bytes", Some(event.response_bytes.to_string())),
        ("client", event.user_agent_family.clone()),
        ("key", event.client_key.clone()),
        ("error", event.error_type.clone()),
        ("id", Some(event.event_id.clone())),
        ("trace", event.trace_id.clone()),
    ] {
        match value {
            Some(value) if value.contains([' ', '"']) => drop(write!(line, " {name}={value:?}")),
            Some(value) => drop(write!(line, " {name}={value}")),
            None => {}
        }
    }
    line
}

/// With the fields of OpenTelemetry's log data model, and the names of its conventions
/// where they have one.
fn json(event: &UsageEvent) -> String {
    let mut attributes = Map::new();
    for (name, value) in [
        ("http.request.method", Some(json!(event.method))),
        ("url.path", Some(json!(event.path))),
        ("http.response.status_code", event.status.map(Value::from)),
        ("http.request.body.size", Some(json!(event.request_bytes))),
        ("http.response.body.size", Some(json!(event.response_bytes))),
        ("error.type", event.error_type.clone().map(Value::from)),
        ("gen_ai.request.model", event.model_requested.clone().map(Value::from)),
        ("gen_ai.response.model", event.model.clone().map(Value::from)),
        ("gen_ai.response.id", event.response_id.clone().map(Value::from)),
        ("gen_ai.usage.input_tokens", event.prompt_tokens.map(Value::from)),
        ("gen_ai.usage.output_tokens", event.completion_tokens.map(Value::from)),
        ("modash.event_id", Some(json!(event.event_id))),
        ("modash.outcome", Some(json!(outcome(event)))),
        ("modash.upstream", Some(json!(event.upstream))),
        ("modash.dialect", Some(json!(event.dialect))),
        ("modash.stream", Some(json!(event.stream))),
        ("modash.client_key", event.client_key.clone().map(Value::from)),
        ("modash.client", event.user_agent_family.clone().map(Value::from)),
        ("modash.duration_seconds", seconds(event.duration.as_ref()).map(Value::from)),
        ("modash.first_token_seconds", seconds(event.first_token.as_ref()).map(Value::from)),
    ] {
        if let Some(value) = value {
            attributes.insert(name.to_owned(), value);
        }
    }
    let status = event.status.map_or("-".to_owned(), |status| status.to_string());
    let mut line = json!({
        "timestamp": started_at(event),
        "severity_number": 9,
        "severity_text": "INFO",
        "body": format!("{} {} {status}", event.method, event.path),
        "attributes": attributes,
        "scope": { "name": "modash_proxy::access" },
        "resource": {
            "service.name": "modash-proxy",
            "service.version": env!("CARGO_PKG_VERSION"),
            "service.instance.id": event.replica_id,
        }
    });
    if let Some(trace_id) = &event.trace_id {
        line["trace_id"] = json!(trace_id);
    }
    if let Some(span_id) = event.span_id {
        line["span_id"] = json!(format!("{span_id:016x}"));
    }
    line.to_string()
}

#[cfg(test)]
mod tests {
    use modash_proto::{duration_from_micros, timestamp_from_micros};

    use super::*;

    fn event() -> UsageEvent {
        UsageEvent {
            event_id: "01939e3c-7b1a-7cc0-8000-0000000000ff".to_owned(),
            started_at: Some(timestamp_from_micros(1_764_000_000_000_000)),
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            status: Some(200),
            outcome: Outcome::Ok.into(),
            upstream: "default".to_owned(),
            dialect: "openai-chat".to_owned(),
            model: Some("a \"b\"\nc".to_owned()),
            prompt_tokens: Some(7),
            duration: Some(duration_from_micros(1_500_000)),
            ..UsageEvent::default()
        }
    }

    #[test]
    fn a_line_of_text_is_one_line_and_leaves_out_what_is_unknown() {
        assert_eq!(
            text(&event()),
            "2025-11-24T16:00:00Z POST /v1/chat/completions 200 ok seconds=1.500000 \
             upstream=default dialect=openai-chat model=\"a \\\"b\\\"\\nc\" input_tokens=7 \
             request_bytes=0 response_bytes=0 id=01939e3c-7b1a-7cc0-8000-0000000000ff"
        );
    }

    #[test]
    fn a_line_of_json_has_the_names_of_the_conventions() {
        let line: Value = serde_json::from_str(&json(&event())).unwrap();
        assert_eq!(line["body"], "POST /v1/chat/completions 200");
        let attributes = &line["attributes"];
        assert_eq!(attributes["http.response.status_code"], 200);
        assert_eq!(attributes["gen_ai.usage.input_tokens"], 7);
        assert_eq!(attributes["modash.duration_seconds"], 1.5);
        assert!(attributes.get("gen_ai.usage.output_tokens").is_none());
        assert!(line.get("trace_id").is_none() && line.get("span_id").is_none());
        let trace_id = Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned());
        let traced = UsageEvent { trace_id, span_id: Some(0xff), ..event() };
        let line: Value = serde_json::from_str(&json(&traced)).unwrap();
        assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(line["span_id"], "00000000000000ff");
    }

    #[test]
    fn a_share_of_the_requests_is_sampled_and_always_the_same() {
        let ids = (0..10_000_u32).map(|at| UsageEvent {
            event_id: format!("01939e3c-7b1a-7cc0-8000-0000{:08x}", at.wrapping_mul(2_654_435_761)),
            ..UsageEvent::default()
        });
        let sampled = ids.filter(|event| is_sampled(&event.encode_to_vec(), 0.1)).count();
        assert!((900..1_100).contains(&sampled), "{sampled} of 10,000");
        let event = event().encode_to_vec();
        assert!(is_sampled(&event, 1.0) && is_sampled(&event, 0.01));
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_no_time() {
        let (lines, events) = sync_channel(2);
        let (dropped, thread) = (AtomicU64::new(0), Mutex::default());
        let log = AccessLog { lines, share: 1.0, dropped, thread };
        (0..5).for_each(|_| log.add(&event().encode_to_vec().into()));
        assert_eq!(log.dropped(), 3);
        drop(log);
        let mut out = Vec::new();
        write_lines(&events, &mut out, text);
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 2);
    }
}
