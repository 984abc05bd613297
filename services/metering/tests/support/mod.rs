//! Recorded exchanges with their expected readings, and ways to cut them.

// Each test binary uses its own part of this; helpers of tests may panic.
#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use modash_metering::{BodyEnd, Limits, Meter, Outcome, Reading, Tokens};
use serde_json::Value;

/// One recorded exchange.
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) request_headers: HeaderMap,
    pub(crate) request_body: Vec<u8>,
    pub(crate) status: StatusCode,
    pub(crate) response_headers: HeaderMap,
    pub(crate) response_body: Vec<u8>,
    /// Ends of the network reads.
    pub(crate) chunking: Vec<usize>,
    /// Pauses after each of them, in seconds.
    pub(crate) delays: Vec<f64>,
    /// How the body ended.
    pub(crate) end: BodyEnd,
    pub(crate) expect: Value,
    /// What only holds at the recorded times, and members beyond those of `expect`.
    pub(crate) expect_more: Value,
    pub(crate) expect_records: Option<Value>,
}

pub(crate) fn fixtures() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut files: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".meta.json"))
        .collect();
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

pub(crate) fn fixture(name: &str) -> Fixture {
    fixtures().into_iter().find(|fixture| fixture.name == name).unwrap()
}

fn read(meta_file: &Path) -> Fixture {
    let stem = meta_file.to_string_lossy().replace(".meta.json", "");
    let json =
        |path: String| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let meta = json(format!("{stem}.meta.json"));
    let request = json(format!("{stem}.request.json"));
    let request_body = match &request["body"] {
        Value::Null => Vec::new(),
        Value::String(text) => text.clone().into_bytes(),
        body => body.to_string().into_bytes(),
    };
    let folder = meta_file.parent().unwrap().file_name().unwrap().to_string_lossy();
    let case = Path::new(&stem).file_name().unwrap().to_string_lossy();
    let mut expect = meta["expect"].clone();
    // Of exchanges rebuilt from bug reports only some fields are known.
    if folder == "reports" {
        expect.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    }
    Fixture {
        name: format!("{folder}/{case}"),
        method: request["method"].as_str().unwrap().parse().unwrap(),
        uri: request["path"].as_str().unwrap().parse().unwrap(),
        request_headers: headers(&request["headers"]),
        request_body,
        status: StatusCode::from_u16(u16::try_from(meta["status"].as_u64().unwrap()).unwrap())
            .unwrap(),
        response_headers: headers(&meta["response_headers"]),
        response_body: fs::read(format!("{stem}.response.body")).unwrap(),
        chunking: meta["chunking"]
            .as_array()
            .unwrap()
            .iter()
            .map(|end| usize::try_from(end.as_u64().unwrap()).unwrap())
            .collect(),
        delays: meta["delays_seconds"]
            .as_array()
            .map(|delays| delays.iter().map(|delay| delay.as_f64().unwrap()).collect())
            .unwrap_or_default(),
        end: if meta["cut"] == Value::Bool(true) { BodyEnd::Broken } else { BodyEnd::Complete },
        expect,
        expect_more: meta["expect_more"].clone(),
        expect_records: meta.get("expect_records").cloned(),
    }
}

pub(crate) fn headers(value: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in value.as_object().unwrap() {
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
        );
    }
    headers
}

impl Fixture {
    pub(crate) fn meter(&self) -> Meter {
        Meter::new(&self.method, &self.uri, &self.request_headers, Limits::default())
    }

    /// Meters the exchange with both bodies cut at these ends.
    pub(crate) fn read(&self, request: &[usize], response: &[usize], end: BodyEnd) -> Reading {
        let mut meter = self.meter();
        for piece in pieces(&self.request_body, request) {
            meter.request_data(piece);
        }
        meter.request_end();
        meter.response_head(self.status, &self.response_headers);
        let pause = |read| Duration::from_secs_f64(self.delays.get(read).copied().unwrap_or(0.01));
        // A piece arrives when its last byte arrived in the recording.
        let (mut at, mut read, mut offset) = (Duration::from_millis(100), 0, 0);
        for piece in pieces(&self.response_body, response) {
            offset += piece.len();
            while self.chunking.get(read).is_some_and(|end| *end < offset) {
                at += pause(read);
                read += 1;
            }
            meter.response_data(piece, at);
        }
        meter.finish(end, at + pause(read))
    }

    /// Differences between the reading and what is expected of it.
    pub(crate) fn differences(&self, reading: &Reading) -> Vec<String> {
        let got = fields(reading);
        let mut differences = Vec::new();
        for (key, want) in self.expect.as_object().unwrap() {
            let have = got.get(key).cloned().unwrap_or(Value::Null);
            if !same(want, &have) {
                differences.push(format!("{key}: want {want}, have {have}"));
            }
        }
        if let Some(user) = self.expect_more["user"].as_str()
            && reading.user.as_deref() != Some(user)
        {
            differences.push(format!("user: want {user:?}, have {:?}", reading.user));
        }
        if self.expect_more["first_token"] == Value::Bool(true)
            && reading.first_content_at.is_none()
        {
            differences.push("no first token".to_owned());
        }
        if let Some(records) = &self.expect_records {
            for (want, have) in records.as_array().unwrap().iter().zip(&reading.realtime) {
                let have = record_fields(have);
                for (key, want) in want.as_object().unwrap() {
                    if !same(want, &have[key]) {
                        differences.push(format!("record {key}: want {want}, have {}", have[key]));
                    }
                }
            }
            if records.as_array().unwrap().len() != reading.realtime.len() {
                differences.push("number of records".to_owned());
            }
        }
        differences
    }
}

impl Fixture {
    /// The same for what depends on the times at which the bytes came.
    pub(crate) fn differences_in_time(&self, reading: &Reading) -> Vec<String> {
        let mut differences = self.differences(reading);
        let rate = reading.decode_tokens_per_second;
        if let (Some(max), Some(rate)) =
            (self.expect_more["decode_tokens_per_second_max"].as_f64(), rate)
            && rate > max
        {
            differences.push(format!("decode rate: want {max} or less, have {rate}"));
        }
        differences
    }
}

fn same(want: &Value, have: &Value) -> bool {
    match (want.as_f64(), have.as_f64()) {
        (Some(want), Some(have)) => (want - have).abs() <= want.abs() * 1e-12,
        _ => want == have,
    }
}

fn token_fields(tokens: &Tokens) -> Value {
    serde_json::json!({
        "prompt_tokens": tokens.prompt,
        "cached_prompt_tokens": tokens.cached_prompt,
        "cache_write_tokens": tokens.cache_write,
        "completion_tokens": tokens.completion,
        "reasoning_tokens": tokens.reasoning,
        "audio_prompt_tokens": tokens.audio_prompt,
        "audio_completion_tokens": tokens.audio_completion,
        "total_tokens": tokens.total,
        "billed_prompt_tokens": tokens.billed_prompt,
        "billed_completion_tokens": tokens.billed_completion,
        "search_units": tokens.search_units,
        "duration_seconds": tokens.billed_audio.map(|time| time.as_secs_f64()),
        "upstream_cost_usd": tokens.upstream_cost_usd,
        "cached_audio_prompt_tokens": tokens.cached_audio_prompt,
        "image_prompt_tokens": tokens.image_prompt,
        "cached_image_prompt_tokens": tokens.cached_image_prompt,
        "image_completion_tokens": tokens.image_completion,
        "images": tokens.images,
        "characters": tokens.characters,
    })
}

fn fields(reading: &Reading) -> Value {
    let mut fields = token_fields(&reading.tokens);
    let names = serde_json::json!({
        "dialect": reading.dialect.id(),
        "model_requested": reading.model_requested,
        "model": reading.model,
        "stream": reading.stream,
        "finish_reason": reading.finish_reason,
        "response_id": reading.response_id,
        "service_tier": reading.service_tier,
        "error_type": reading.error_type,
        "first_token_offset": reading.first_token_offset,
        "outcome": outcome(reading.outcome),
    });
    fields.as_object_mut().unwrap().extend(names.as_object().unwrap().clone());
    fields
}

fn record_fields(record: &modash_metering::RealtimeResponse) -> Value {
    let mut fields = token_fields(&record.tokens);
    let names = serde_json::json!({
        "finish_reason": record.finish_reason,
        "response_id": record.response_id,
        "error_type": record.error_type,
    });
    fields.as_object_mut().unwrap().extend(names.as_object().unwrap().clone());
    fields
}

pub(crate) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Complete => "complete",
        Outcome::Truncated => "truncated",
        Outcome::Error => "error",
        Outcome::Empty => "empty",
    }
}

/// Cuts bytes at ascending ends; what follows the last one is a piece too.
pub(crate) fn pieces<'a>(bytes: &'a [u8], ends: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in ends {
        let end = (*end).clamp(start, bytes.len());
        pieces.push(&bytes[start..end]);
        start = end;
    }
    if start < bytes.len() {
        pieces.push(&bytes[start..]);
    }
    pieces
}

/// A small deterministic generator (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }

    /// Random ends for a body of this length: few or many, near or far.
    pub(crate) fn ends(&mut self, length: usize) -> Vec<usize> {
        let scale = [4, 30, 300, length.max(2)][self.below(4)];
        let mean = 1 + self.below(scale);
        let mut ends = Vec::new();
        let mut at = 0;
        while at < length {
            at += 1 + self.below(2 * mean);
            ends.push(at.min(length));
        }
        ends
    }
}

/// An exchange made up in a test.
pub(crate) struct Exchange {
    pub(crate) path: &'static str,
    pub(crate) request: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: BodyEnd,
}

/// A streamed exchange.
pub(crate) fn stream(path: &'static str, body: impl Into<Vec<u8>>) -> Exchange {
    Exchange {
        path,
        request: br#"{"model":"m","stream":true}"#.to_vec(),
        status: 200,
        headers: vec![("content-type", "text/event-stream")],
        body: body.into(),
        end: BodyEnd::Complete,
    }
}

/// An exchange that is answered by one document.
pub(crate) fn document(path: &'static str, body: impl Into<Vec<u8>>) -> Exchange {
    Exchange {
        request: br#"{"model":"m"}"#.to_vec(),
        headers: vec![("content-type", "application/json")],
        ..stream(path, body)
    }
}

impl Exchange {
    /// A meter that knows the head of the request.
    pub(crate) fn unread(&self) -> Meter {
        let uri = self.path.parse().unwrap();
        Meter::new(&Method::POST, &uri, &HeaderMap::new(), Limits::default())
    }

    pub(crate) fn meter(&self) -> Meter {
        let mut meter = self.unread();
        meter.request_data(&self.request);
        self.head(&mut meter);
        meter
    }

    /// The request has ended, and the head of the response came.
    fn head(&self, meter: &mut Meter) {
        meter.request_end();
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(*name, HeaderValue::from_static(value));
        }
        meter.response_head(StatusCode::from_u16(self.status).unwrap(), &headers);
    }

    /// The reading after a request that was read already.
    pub(crate) fn answer(&self, mut meter: Meter) -> Reading {
        self.head(&mut meter);
        meter.response_data(&self.body, Duration::from_millis(100));
        meter.finish(self.end, Duration::from_millis(200))
    }

    /// The reading; the same in one piece and byte by byte.
    pub(crate) fn read(&self) -> Reading {
        let mut whole = self.meter();
        whole.response_data(&self.body, Duration::from_millis(100));
        let whole = whole.finish(self.end, Duration::from_millis(200));
        let mut bytes = self.meter();
        for byte in &self.body {
            bytes.response_data(std::slice::from_ref(byte), Duration::from_millis(100));
        }
        let bytes = bytes.finish(self.end, Duration::from_millis(200));
        assert_eq!(whole, bytes, "one piece and byte by byte differ");
        whole
    }
}

/// Prompt, cached, completion and total of a reading.
pub(crate) fn counts(reading: &Reading) -> [Option<u64>; 4] {
    let tokens = &reading.tokens;
    [tokens.prompt, tokens.cached_prompt, tokens.completion, tokens.total]
}

/// Headers with this content type; without one if it is empty.
pub(crate) fn typed(kind: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !kind.is_empty() {
        headers.insert("content-type", HeaderValue::from_static(kind));
    }
    headers
}
