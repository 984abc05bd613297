//! The request side: looks at the body, and says where `stream_options.include_usage`
//! belongs in it if the client asks for a stream and has not chosen itself.

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

/// What asks for usage, and where in the body it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addition {
    /// Bytes of the body before it.
    pub at: usize,
    /// What is added.
    pub text: &'static [u8],
}

/// One request that may be changed.
#[derive(Debug)]
pub struct Injection {
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
            held: 0,
            limit,
            scanner: Scanner::new(&Limits::default()),
            slots: Slots::new(SHAPE.slots()),
            options_end: None,
            end: None,
        })
    }

    /// A piece of the body. Returns whether it may still be changed; if not, all of it
    /// is to be sent as it came.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        let sound = self.scan(piece);
        self.held += piece.len();
        sound && self.held <= self.limit && !self.is_chosen()
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

    /// The body has ended. `None`: it is sent as it came.
    #[must_use]
    pub fn end(self) -> Option<Addition> {
        let options = self.slots.get(OPTIONS);
        let place = match options {
            None => self.end,
            Some(Value::Object(_)) => self.options_end,
            Some(_) => None,
        };
        let stream = self.scanner.is_done() && self.slots.is_true(STREAM) && !self.is_chosen();
        let at = place.filter(|_| stream)?;
        let text: &'static [u8] = match options {
            Some(Value::Object(0)) => br#""include_usage":true"#,
            Some(_) => br#","include_usage":true"#,
            None => br#","stream_options":{"include_usage":true}"#,
        };
        Some(Addition { at, text })
    }
}
