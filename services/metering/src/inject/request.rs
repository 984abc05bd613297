//! The request side: holds the body, and adds `stream_options.include_usage` at
//! its end where the client asks for a stream and has not chosen itself.

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};

use crate::inject::{Model, Refusals, may_change};
use crate::json::{Scanner, Slots, Value};
use crate::limits::Limits;
use crate::wire::value;

crate::wire::shape! { SHAPE ROWS {
    MODEL = value("model");
    STREAM = value("stream");
    OPTIONS = value("stream_options");
    INCLUDE = value("stream_options.include_usage");
    // Azure refuses the option beside these.
    DATA_SOURCES = value("data_sources");
} }

/// What to do with a piece of the body.
#[derive(Debug, PartialEq, Eq)]
pub enum Held {
    /// It is held; send nothing yet.
    Kept,
    /// The body will not be changed: send these pieces and all that follow.
    Release(Vec<Bytes>),
}

/// The body to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// As the client sent it.
    Unchanged(Vec<Bytes>),
    /// With the option added.
    Changed {
        /// What to send.
        body: Vec<Bytes>,
        /// What the client sent, should the upstream refuse.
        original: Vec<Bytes>,
    },
}

/// One request that may be changed.
#[derive(Debug)]
pub struct Injection {
    pieces: Vec<Bytes>,
    held: usize,
    limit: usize,
    scanner: Scanner,
    slots: Slots,
    /// Offset of the closing brace of `stream_options`, if that is an object.
    options_end: Option<usize>,
    /// The last `}` of the body.
    end: Option<usize>,
}

impl Injection {
    /// `None` if the request must not be changed. `host` is the authority that it
    /// goes to, `upstream` the name under which refusals are remembered, `limit`
    /// the bytes of body to hold at most.
    #[must_use]
    pub fn new(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        host: &str,
        upstream: &str,
        refusals: &Refusals,
        limit: usize,
    ) -> Option<Self> {
        if !may_change(method, uri, headers, host) || refusals.contains_all(upstream) {
            return None;
        }
        Some(Self {
            pieces: Vec::new(),
            held: 0,
            limit,
            scanner: Scanner::new(&Limits::default()),
            slots: Slots::new(SHAPE.slots()),
            options_end: None,
            end: None,
        })
    }

    /// A piece of the body.
    pub fn push(&mut self, piece: Bytes) -> Held {
        let sound = self.scan(&piece);
        self.held += piece.len();
        self.pieces.push(piece);
        if sound && self.held <= self.limit && !self.is_chosen() {
            return Held::Kept;
        }
        Held::Release(std::mem::take(&mut self.pieces))
    }

    /// Scans a piece, and notes where the two objects of interest end. Returns
    /// whether it may still be changed.
    fn scan(&mut self, piece: &[u8]) -> bool {
        let mut at = 0;
        while at < piece.len() {
            // Up to each closing brace: one of them ends the options or the body.
            let next = memchr::memchr(b'}', &piece[at..]).map_or(piece.len(), |end| at + end + 1);
            let options = self.slots.get(OPTIONS);
            match self.scanner.feed(&piece[at..next], &SHAPE, &mut self.slots) {
                Ok(read) if piece[at + read..next].iter().all(u8::is_ascii_whitespace) => {}
                _ => return false,
            }
            let brace = self.held + next - 1;
            if self.slots.get(OPTIONS) != options {
                let object = matches!(self.slots.get(OPTIONS), Some(Value::Object(_)));
                self.options_end = object.then_some(brace);
            }
            if self.scanner.is_done() && self.end.is_none() {
                self.end = Some(brace);
            }
            at = next;
        }
        true
    }

    /// The client has decided itself, or the upstream would refuse.
    fn is_chosen(&self) -> bool {
        let null = self.slots.get(OPTIONS) == Some(Value::Null);
        self.slots.get(INCLUDE).is_some() || self.slots.some(DATA_SOURCES) || null
    }

    /// The model that the body names; known at its end.
    #[must_use]
    pub fn model(&self) -> Model {
        Model::named(self.slots.text(MODEL))
    }

    /// The body as the client sent it.
    #[must_use]
    pub fn into_original(self) -> Vec<Bytes> {
        self.pieces
    }

    /// The body has ended.
    #[must_use]
    pub fn end(self) -> Sent {
        let options = self.slots.get(OPTIONS);
        let place = match options {
            None => self.end,
            Some(Value::Object(_)) => self.options_end,
            Some(_) => None,
        };
        let stream = self.scanner.is_done() && self.slots.is_true(STREAM) && !self.is_chosen();
        let Some(place) = place.filter(|_| stream) else { return Sent::Unchanged(self.pieces) };
        let text: &'static [u8] = match options {
            Some(Value::Object(0)) => br#""include_usage":true"#,
            Some(_) => br#","include_usage":true"#,
            None => br#","stream_options":{"include_usage":true}"#,
        };
        let mut body = Vec::with_capacity(self.pieces.len() + 2);
        let mut start = 0;
        for piece in &self.pieces {
            let end = start + piece.len();
            if (start..end).contains(&place) {
                body.push(piece.slice(..place - start));
                body.push(Bytes::from_static(text));
                body.push(piece.slice(place - start..));
            } else {
                body.push(piece.clone());
            }
            start = end;
        }
        body.retain(|piece| !piece.is_empty());
        Sent::Changed { body, original: self.pieces }
    }
}
