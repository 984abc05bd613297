//! The recorded exchanges of the metering crate, to be sent over a line.

use std::{fs, path::Path};

use bytes::Bytes;
use rand::{Rng as _, rngs::StdRng};
use serde_json::Value;

use super::{Coding, Framing, RawAnswer, RawExchange, cut, framed};

/// One recorded exchange.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Dialect and case.
    pub name: String,
    /// Method and target.
    pub request_line: String,
    /// Headers of the request, without those of its framing.
    pub request_headers: Vec<(String, String)>,
    /// Body of the request.
    pub request_body: Bytes,
    /// Status of the response.
    pub status: u16,
    /// Headers of the response, without those of its framing.
    pub response_headers: Vec<(String, String)>,
    /// Body of the response.
    pub response_body: Bytes,
    /// Ends of the pieces in which it came.
    pub ends: Vec<usize>,
}

/// All recordings but the one of a WebSocket, and those of bug reports, which differ in
/// what they count and not in their framing.
///
/// # Panics
/// If they are not where the metering crate keeps them.
#[must_use]
pub fn recordings() -> Vec<Recording> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../metering/tests/fixtures");
    let folders = fs::read_dir(root).expect("the recordings of the metering crate");
    let mut files: Vec<_> = folders
        .map(|folder| folder.expect("a folder").path())
        .filter(|folder| !folder.ends_with("reports"))
        .flat_map(|folder| fs::read_dir(folder).expect("a folder"))
        .map(|file| file.expect("a file").path())
        .filter(|path| path.to_string_lossy().ends_with(".meta.json"))
        .collect();
    files.sort();
    files.iter().map(|file| read(file)).filter(|recording| recording.status != 101).collect()
}

fn read(meta: &Path) -> Recording {
    let stem = meta.to_string_lossy().replace(".meta.json", "");
    let file = |end: &str| fs::read(format!("{stem}.{end}")).expect("a file of a recording");
    let json = |end: &str| -> Value { serde_json::from_slice(&file(end)).expect("JSON") };
    let (meta, request) = (json("meta.json"), json("request.json"));
    let request_body = match &request["body"] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        body => body.to_string(),
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ends = meta["chunking"].as_array().map(Vec::as_slice).unwrap_or_default();
    Recording {
        name: stem.rsplit("fixtures/").next().unwrap_or_default().to_owned(),
        request_line: format!("{} {}", text(&request["method"]), text(&request["path"])),
        request_headers: headers(&request["headers"]),
        request_body: request_body.into(),
        status: meta["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(200),
        response_headers: headers(&meta["response_headers"]),
        response_body: file("response.body").into(),
        ends: ends.iter().filter_map(|end| end.as_u64()?.try_into().ok()).collect(),
    }
}

fn headers(object: &Value) -> Vec<(String, String)> {
    let of_framing = |name: &str| {
        ["content-length", "transfer-encoding", "host", "connection"]
            .iter()
            .any(|framing| name.eq_ignore_ascii_case(framing))
    };
    let headers = object.as_object().into_iter().flatten();
    headers
        .filter(|(name, _)| !of_framing(name))
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

impl Recording {
    /// Its pieces as they came.
    fn pieces(&self) -> Vec<&[u8]> {
        let mut start = 0;
        let mut pieces = Vec::new();
        for end in self.ends.iter().copied().chain([self.response_body.len()]) {
            let end = end.clamp(start, self.response_body.len());
            if end > start {
                pieces.push(&self.response_body[start..end]);
            }
            start = end;
        }
        pieces
    }

    /// Its response body in a coding, flushed after each piece or not at all.
    #[must_use]
    pub fn encoded(&self, coding: Coding, flushed: bool) -> Bytes {
        if flushed { coding.encode(&self.pieces()) } else { coding.encode(&[&self.response_body]) }
    }

    /// As an exchange whose response has this body, coded and framed like that.
    #[must_use]
    pub fn exchange(
        &self,
        coding: Coding,
        encoded: &Bytes,
        framing: Framing,
        random: &mut StdRng,
    ) -> RawExchange {
        let coding_header =
            coding.name().map(|coding| ("content-encoding".to_owned(), coding.to_owned()));
        let mut headers = self.response_headers.clone();
        // Next to a coding that is there: equal names come together in any case.
        let own = headers.iter().position(|(name, _)| name == "content-encoding");
        headers.splice(own.map_or(0..0, |own| own + 1..own + 1), coding_header);
        let headers = lines(&headers, random);
        let (framing_header, mut body) = framed(encoded, framing, random);
        if self.request_line.starts_with("HEAD ") {
            // The response says what it would send, and has no body (RFC 9110 9.3.2).
            body = Bytes::new();
        }
        let reason = ["OK", "Quite Fine", ""][random.random_range(0..3)];
        let head = format!("HTTP/1.1 {} {reason}\r\n{headers}{framing_header}\r\n", self.status);
        let answer = cut(&[head.as_bytes(), &body].concat().into(), random);
        RawExchange {
            name: format!("{} {coding:?} {framing:?}", self.name),
            request: self.request(random),
            answer: RawAnswer { pieces: answer, close: framing == Framing::Close },
        }
    }

    fn request(&self, random: &mut StdRng) -> Vec<Bytes> {
        let framing = match self.request_body.is_empty() {
            true => Framing::None,
            false => [Framing::Length, Framing::Chunked][random.random_range(0..2)],
        };
        let (framing, body) = framed(&self.request_body, framing, random);
        let headers = lines(&self.request_headers, random);
        let head =
            format!("{} HTTP/1.1\r\nHost: here\r\n{headers}{framing}\r\n", self.request_line);
        cut(&[head.as_bytes(), &body].concat().into(), random)
    }
}

/// Header lines, names in lower case or as servers like them.
fn lines(headers: &[(String, String)], random: &mut StdRng) -> String {
    let mut lines = String::new();
    for (name, value) in headers {
        let spelled = match random.random_range(0..3) {
            0 => name.to_ascii_uppercase(),
            1 => name.clone(),
            _ => {
                let (first, rest) = name.split_at(1.min(name.len()));
                first.to_ascii_uppercase() + rest
            }
        };
        lines.push_str(&format!("{spelled}: {value}\r\n"));
    }
    lines
}
