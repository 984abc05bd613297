//! What the fuzz targets check: no panic on any bytes, and one reading however
//! they are cut. The first bytes of an input choose what is fuzzed, the rest is
//! the body. Every function is one target.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use modash_metering::inject::{Injection, Refusals, ResponseFilter};
use modash_metering::{BodyEnd, Limits, Meter, Reading};

/// A target by name, for the harness without libFuzzer.
pub const TARGETS: [(&str, fn(&[u8])); 7] = [
    ("scanner", scanner),
    ("sse", sse),
    ("aws_frames", aws_frames),
    ("decompression", decompression),
    ("dialects", dialects),
    ("websocket", websocket),
    ("inject", inject),
];

/// One path for each dialect.
const PATHS: [&str; 27] = [
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages/count_tokens",
    "/v1/messages",
    "/v1beta/models/m:generateContent",
    "/v1beta/models/m:streamGenerateContent",
    "/v1beta/models/m:embedContent",
    "/v1beta/interactions",
    "/company/answer",
    "/model/m/converse",
    "/model/m/converse-stream",
    "/model/m/invoke",
    "/model/m/invoke-with-response-stream",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/v1/chat",
    "/v2/chat",
    "/v1/audio/transcriptions",
    "/v1/audio/speech",
    "/v1/images/generations",
    "/v1/moderations",
    "/v1/rerank",
    "/completion",
    "/completions",
    "/v1/completions",
    "/generate_stream",
];

const STREAM: &[u8] = br#"{"model":"m","stream":true}"#;

struct Case<'a> {
    path: &'a str,
    request: &'a [u8],
    status: u16,
    kind: &'static str,
    coding: &'static str,
    body: &'a [u8],
    end: BodyEnd,
}

impl<'a> Case<'a> {
    fn new(path: &'a str, kind: &'static str, body: &'a [u8]) -> Self {
        let end = BodyEnd::Complete;
        Self { path, request: STREAM, status: 200, kind, coding: "identity", body, end }
    }

    fn read(&self, size: usize) -> Reading {
        let uri: Uri = self.path.parse().expect("a path of the table");
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", HeaderValue::from_static(self.coding));
        let request_headers = if self.request == STREAM { HeaderMap::new() } else { headers.clone() };
        let mut meter = Meter::new(&Method::POST, &uri, &request_headers, Limits::default());
        for piece in self.request.chunks(size) {
            meter.request_data(piece);
        }
        meter.request_end();
        headers.insert("content-type", HeaderValue::from_static(self.kind));
        meter.response_head(StatusCode::from_u16(self.status).expect("valid"), &headers);
        for piece in self.body.chunks(size) {
            meter.response_data(piece, Duration::from_millis(5));
        }
        let _ = (meter.is_complete(), meter.model(), meter.user());
        meter.finish(self.end, Duration::from_millis(9))
    }

    /// The reading must not depend on the cut.
    fn check(&self, size: usize) {
        let whole = self.read(usize::MAX);
        assert_eq!(whole, self.read(1));
        assert_eq!(whole, self.read(1 + size % 64));
    }
}

fn split(data: &[u8]) -> Option<(usize, usize, &[u8])> {
    let ([first, second], body) = data.split_first_chunk::<2>()?;
    Some((usize::from(*first), usize::from(*second), body))
}

/// JSON documents and requests.
pub fn scanner(data: &[u8]) {
    let Some((choice, size, body)) = split(data) else { return };
    let mut case = Case::new(PATHS[choice % PATHS.len()], "application/json", body);
    case.request = body;
    case.check(size);
}

/// Server-sent events.
pub fn sse(data: &[u8]) {
    let Some((choice, size, body)) = split(data) else { return };
    Case::new(PATHS[choice % PATHS.len()], "text/event-stream", body).check(size);
}

/// AWS event streams, with checksums put right so that what is inside is reached.
pub fn aws_frames(data: &[u8]) {
    let Some((choice, size, body)) = split(data) else { return };
    let kind = "application/vnd.amazon.eventstream";
    let path = if choice % 2 == 0 { PATHS[7] } else { PATHS[9] };
    Case::new(path, kind, body).check(size);
    Case::new(path, kind, &with_checksums(body)).check(size);
}

fn with_checksums(body: &[u8]) -> Vec<u8> {
    let mut fixed = body.to_vec();
    let mut at = 0;
    while let Some(prelude) = fixed.get(at..at + 12) {
        let length = u32::from_be_bytes([prelude[0], prelude[1], prelude[2], prelude[3]]);
        let sum = crc32(&prelude[..8]).to_be_bytes();
        fixed[at + 8..at + 12].copy_from_slice(&sum);
        let Some(end) = at.checked_add(length as usize) else { break };
        if length < 16 || end > fixed.len() {
            break;
        }
        let sum = crc32(&fixed[at..end - 4]).to_be_bytes();
        fixed[end - 4..end].copy_from_slice(&sum);
        at = end;
    }
    fixed
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

/// Content codings, of requests and of answers.
pub fn decompression(data: &[u8]) {
    let Some((choice, size, body)) = split(data) else { return };
    let codings = ["gzip", "deflate", "zstd", "gzip, zstd", "deflate, gzip", "br"];
    let mut case = Case::new(PATHS[0], "text/event-stream", body);
    case.coding = codings[choice % codings.len()];
    case.request = body;
    if case.coding == "br" {
        // How much comes out before an error depends on the cut (docs/metering.md).
        let _ = (case.read(usize::MAX), case.read(1), case.read(1 + size % 64));
    } else {
        case.check(size);
    }
}

/// Every dialect in every framing.
pub fn dialects(data: &[u8]) {
    let Some((choice, size, body)) = split(data) else { return };
    let kinds = ["application/json", "text/event-stream", "application/x-ndjson", "text/plain"];
    let mut case = Case::new(PATHS[choice % PATHS.len()], kinds[size % kinds.len()], body);
    case.status = [200, 200, 429][choice / PATHS.len() % 3];
    case.end = [BodyEnd::Complete, BodyEnd::Broken][size / 4 % 2];
    if size / 8 % 2 == 1 {
        case.request = b"{\"model\":\"m\"}";
    }
    case.check(size);
}

/// WebSocket frames.
pub fn websocket(data: &[u8]) {
    let Some((choice, size, body)) = split(data) else { return };
    let path = ["/v1/realtime?model=m", "/v1/responses"][choice % 2];
    let mut case = Case::new(path, "application/json", body);
    case.status = 101;
    case.check(size);
}

/// Asking for usage: any body stays JSON with one member more, any answer that
/// is not asked for stays as it is in every cut.
pub fn inject(data: &[u8]) {
    let Some((_, size, body)) = split(data) else { return };
    assert_eq!(sent(body, usize::MAX), sent(body, 1 + size % 64));
    let filtered = filtered(body, usize::MAX);
    assert_eq!(filtered, self::filtered(body, 1));
    assert_eq!(filtered, self::filtered(body, 1 + size % 64));
    assert!(filtered.len() <= body.len());
}

fn sent(body: &[u8], size: usize) -> Vec<u8> {
    let uri = "/v1/chat/completions".parse().expect("a path");
    let (headers, refusals) = (HeaderMap::new(), Refusals::default());
    let injection = Injection::new(&Method::POST, &uri, &headers, "h", "u", &refusals, 1 << 20);
    let mut injection = injection.expect("nothing forbids it");
    let all = body.chunks(size).all(|piece| injection.push(piece));
    let mut sent = body.to_vec();
    if all && let Some(addition) = injection.end() {
        sent.splice(addition.at..addition.at, addition.text.iter().copied());
    }
    sent
}

fn filtered(body: &[u8], size: usize) -> Vec<u8> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
    let filter = ResponseFilter::new(StatusCode::OK, &headers);
    let mut filter = filter.expect("a stream in plain text");
    let mut output = Vec::new();
    for piece in body.chunks(size) {
        filter.push(piece, &mut output);
    }
    filter.end(&mut output);
    output
}
