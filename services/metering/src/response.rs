//! The response observer: undoes the codings of the copy, finds out how the body
//! is framed, and passes its bytes to that framing.

use std::time::Duration;

use http::StatusCode;

use crate::decode::Decoder;
use crate::frame::{Array, Aws, Lines, Sse, WebSocket};
use crate::head::{BodyLines, Headers, text};
use crate::limits::Limits;
use crate::reader::{Ended, Reader};
use crate::wire::{Framing, Wire};

/// What the request says about the framing of its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// A stream was asked for.
    pub(crate) stream: bool,
    /// Whether one was cannot be known (yet).
    pub(crate) unsure: bool,
    /// Prompts that are answered one by one.
    pub(crate) prompts: usize,
}

/// Observes one response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    decoder: Option<Box<Decoder>>,
    pub(crate) tap: Tap,
    undecodable: bool,
    /// Bytes as they crossed the wire.
    bytes: u64,
}

/// The decoded side.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) reader: Reader,
    framing: BodyFraming,
    kind: MediaType,
    /// First byte of the body that is not blank.
    first: Option<u8>,
    /// When the first value of a document had come.
    whole_at: Option<Duration>,
    /// Decoded bytes so far.
    offset: u64,
}

#[derive(Debug)]
enum BodyFraming {
    /// Not known yet: the first bytes that are not blank, at most `PROBE`.
    Unknown {
        status: StatusCode,
        head: Vec<u8>,
    },
    Sse(Box<Sse>),
    Lines(Lines),
    Array(Array),
    Aws(Box<Aws>),
    WebSocket(Box<WebSocket>),
    Document,
    Opaque,
}

/// Enough to know `event:` or `retry:`.
const PROBE: usize = 6;
/// Byte order mark.
const BOM: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MediaType {
    /// JSON, or not said.
    Json,
    EventStream,
    Lines,
    AwsEventStream,
    /// Audio, images, video.
    Opaque,
    Other,
}

impl MediaType {
    const LINES: [&str; 4] = [
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/stream+json",
    ];

    fn new(kind: Option<&[u8]>) -> Self {
        let Some(kind) = kind else { return Self::Json };
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or(b"").trim_ascii();
        let is = |name: &str| kind.eq_ignore_ascii_case(name.as_bytes());
        let begins = |start: &str| {
            kind.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
        };
        let ends = |end: &str| {
            let from = kind.len().wrapping_sub(end.len());
            kind.get(from..).is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
        };
        if kind.is_empty() || is("application/json") {
            Self::Json
        } else if is("text/event-stream") {
            Self::EventStream
        } else if is("application/vnd.amazon.eventstream") {
            Self::AwsEventStream
        } else if Self::LINES.into_iter().any(is) {
            Self::Lines
        } else if ["audio/", "image/", "video/"].into_iter().any(begins) {
            Self::Opaque
        } else if ends("/json") || ends("+json") {
            Self::Json
        } else {
            Self::Other
        }
    }
}

impl Response {
    pub(crate) fn new(
        status: StatusCode,
        headers: &impl Headers,
        wire: &'static Wire,
        limits: &Limits,
    ) -> Self {
        let (mut lines, mut facts) = (BodyLines::default(), crate::wire::Headers::new(status));
        for line in headers.lines() {
            lines.take(line);
            facts.take(line);
        }
        let kind = MediaType::new(lines.kind);
        let mut reader = Reader::new(wire, facts, *limits);
        let framing = if status == StatusCode::SWITCHING_PROTOCOLS {
            reader.record.session = Some(crate::record::Session::default());
            let extensions = lines.extensions.and_then(text).unwrap_or("");
            BodyFraming::WebSocket(Box::new(WebSocket::new(extensions)))
        } else {
            match kind {
                MediaType::AwsEventStream => {
                    BodyFraming::Aws(Box::new(Aws::new(wire.framing, limits)))
                }
                MediaType::Opaque if status.as_u16() < 400 => BodyFraming::Opaque,
                _ => BodyFraming::Unknown { status, head: Vec::new() },
            }
        };
        let decoder = Decoder::new(lines.codings.iter().copied(), limits);
        Self {
            status,
            decoder: decoder.map(Box::new),
            tap: Tap { reader, framing, kind, first: None, whole_at: None, offset: 0 },
            undecodable: false,
            bytes: 0,
        }
    }

    /// A piece of the body as it crossed the wire.
    pub(crate) fn push(&mut self, bytes: &[u8], at: Duration, asked: Asked) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        let tap = &mut self.tap;
        match &mut self.decoder {
            None => tap.push(bytes, at, asked),
            Some(_) if self.undecodable || tap.is_done() => {}
            Some(decoder) => {
                let result = decoder.push(bytes, &mut |decoded| tap.push(decoded, at, asked));
                self.undecodable = result.is_err();
            }
        }
    }

    /// Whether no byte of a body came.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether the copy could not be decoded or read.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.undecodable || self.tap.reader.unread
    }

    /// Whether all of the answer was seen, whether or not the body has ended.
    pub(crate) fn is_complete(&self) -> bool {
        let tap = &self.tap;
        match &tap.framing {
            BodyFraming::Document => tap.reader.is_whole(),
            BodyFraming::Array(array) => array.is_closed() && tap.reader.record.terminal,
            BodyFraming::WebSocket(_) => !tap.reader.is_within(),
            BodyFraming::Unknown { .. } | BodyFraming::Opaque => false,
            _ => tap.reader.record.terminal,
        }
    }

    /// Whether the body is one that no JSON API answers a call with: a page or
    /// plain text.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(self.tap.framing, BodyFraming::Document)
            && !self.undecodable
            && self.tap.reader.wire.is_json()
            && self.tap.first.is_some_and(|first| !begins_json(first))
    }

    /// Whether the foreign body is a page.
    pub(crate) fn is_page(&self) -> bool {
        self.tap.first == Some(b'<')
    }

    /// The body has ended. Returns whether it is cut or cannot be read; `broken`
    /// says that it did not end as its framing said, `owed` that it is the answer
    /// to a call of a known dialect.
    pub(crate) fn finish(&mut self, broken: bool, owed: bool, at: Duration, asked: Asked) -> bool {
        let tap = &mut self.tap;
        tap.decide(at, asked, true);
        let offset = tap.offset;
        let reader = &mut tap.reader;
        let (cut, stream) = match &mut tap.framing {
            BodyFraming::Sse(sse) => {
                let cut = sse.finish(at, offset, reader);
                // Nothing after `[DONE]` is read, so nothing there can fail.
                if sse.done {
                    self.undecodable = false;
                    return false;
                }
                (cut, true)
            }
            BodyFraming::Lines(lines) => (lines.finish(at, offset, reader), true),
            BodyFraming::Array(array) => (!array.is_closed(), asked.stream),
            BodyFraming::Aws(aws) => (aws.finish(), true),
            BodyFraming::WebSocket(socket) => {
                return socket.finish(at, offset, reader) || reader.is_within();
            }
            BodyFraming::Document => {
                let whole = reader.end_document() == Ended::Whole;
                let json = tap.first.is_none_or(begins_json);
                let due = tap.kind == MediaType::Json || (owed && reader.wire.is_json());
                (!whole && (broken || (json && due)), false)
            }
            BodyFraming::Opaque | BodyFraming::Unknown { .. } => (broken, false),
        };
        let marked = broken || tap.reader.wire.framing != Framing::Any;
        let record = &tap.reader.record;
        let open = stream && marked && !record.terminal && (broken || !record.closing);
        // A client may leave after the terminal mark, before the coding ends.
        let ended = broken && stream && tap.reader.record.terminal;
        let undecoded = self.decoder.as_ref().is_some_and(|decoder| !decoder.is_whole());
        cut || open || self.undecodable || (undecoded && !ended)
    }
}

impl Tap {
    fn is_done(&self) -> bool {
        matches!(&self.framing, BodyFraming::Sse(sse) if sse.done)
    }

    fn push(&mut self, bytes: &[u8], at: Duration, asked: Asked) {
        let mut bytes = bytes;
        if let BodyFraming::Unknown { status, head } = &mut self.framing {
            // Nearly all bodies show what they are with their first bytes.
            if head.is_empty()
                && let Some(start) = bytes.first_chunk::<PROBE>()
                && !start[0].is_ascii_whitespace()
                && start[0] != BOM[0]
            {
                let status = *status;
                self.choose(status, start, asked);
                return self.frame(bytes, at);
            }
            // White space before the body is keep-alive; a mark may follow it.
            while let Some((byte, rest)) = bytes.split_first() {
                let blank = head.is_empty() && byte.is_ascii_whitespace();
                if !blank && head.len() >= PROBE {
                    break;
                }
                if !blank {
                    head.push(*byte);
                }
                self.offset += 1;
                bytes = rest;
                if head.as_slice() == BOM {
                    head.clear();
                }
            }
            self.decide(at, asked, false);
        }
        if !bytes.is_empty() {
            self.frame(bytes, at);
        }
    }

    /// Decides on the framing once enough was seen, or all.
    fn decide(&mut self, at: Duration, asked: Asked, all: bool) {
        let BodyFraming::Unknown { status, head } = &mut self.framing else { return };
        // At the end what there is must do, unless there is nothing at all.
        if (head.len() < PROBE && !all) || (all && self.offset == 0) {
            return;
        }
        let status = *status;
        let head = std::mem::take(head);
        self.choose(status, &head, asked);
        self.offset -= head.len() as u64;
        self.frame(&head, at);
    }

    /// Chooses the framing of a body that begins like this.
    fn choose(&mut self, status: StatusCode, head: &[u8], asked: Asked) {
        self.first = head.first().copied();
        self.framing = self.framing_of(status, head, asked);
        if matches!(self.framing, BodyFraming::Array(_)) && !asked.stream {
            self.reader.begin_list();
        }
    }

    /// Spec 3, points 2 to 5, where what the body looks like wins over what the
    /// request asked for, its status and its label.
    fn framing_of(&self, status: StatusCode, head: &[u8], asked: Asked) -> BodyFraming {
        let framing = self.reader.wire.framing;
        let first = head.first().copied().unwrap_or(0);
        // Gateways wrap errors, and some answers, in an array.
        if first == b'[' && (framing == Framing::Array || self.reader.wire.is_json()) {
            return BodyFraming::Array(Array::default());
        }
        let fields: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
        let looks = fields.iter().any(|field| head.starts_with(field));
        let streams = asked.stream || self.kind == MediaType::EventStream || asked.unsure;
        if looks && (streams || self.reader.wire.is_json()) {
            return BodyFraming::Sse(Box::new(Sse::new()));
        }
        if status.as_u16() >= 400 {
            return BodyFraming::Document;
        }
        let object = first == b'{' || first == b'[';
        if asked.stream && object && (framing == Framing::Lines || self.kind == MediaType::Lines) {
            return BodyFraming::Lines(Lines);
        }
        if self.kind == MediaType::EventStream && !object && first != b'<' {
            return BodyFraming::Sse(Box::new(Sse::new()));
        }
        BodyFraming::Document
    }

    fn frame(&mut self, bytes: &[u8], at: Duration) {
        let (offset, reader) = (self.offset, &mut self.reader);
        match &mut self.framing {
            BodyFraming::Sse(sse) => sse.push(bytes, offset, at, reader),
            BodyFraming::Lines(lines) => lines.push(bytes, offset, at, reader),
            BodyFraming::Array(array) => array.push(bytes, offset, at, reader),
            BodyFraming::Aws(aws) => aws.push(bytes, offset, at, reader),
            BodyFraming::WebSocket(socket) => socket.push(bytes, offset, at, reader),
            BodyFraming::Document => self.document(bytes, at),
            BodyFraming::Unknown { .. } | BodyFraming::Opaque => {}
        }
        self.offset += bytes.len() as u64;
    }

    /// A piece of a document. If another object follows the first, the body is a
    /// stream of objects.
    fn document(&mut self, bytes: &[u8], at: Duration) {
        let next = self.reader.feed_document(bytes);
        if self.whole_at.is_none() && self.reader.is_whole() {
            self.whole_at = Some(at);
        }
        let Some(next) = next else { return };
        let offset = self.offset + next as u64;
        self.reader.end_event(b"", self.whole_at.unwrap_or(at), offset);
        let mut lines = Lines;
        lines.push(&bytes[next..], offset, at, &mut self.reader);
        self.framing = BodyFraming::Lines(lines);
    }
}

/// Whether a JSON object or array begins with this byte.
fn begins_json(first: u8) -> bool {
    first == b'{' || first == b'['
}
