//! The script of one answer of the fake upstream: head, chunks, and the moments
//! at which the test wants to decide.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::Gate;

/// One part of an answer's body.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Chunk(Bytes),
    Wait(Gate),
    Pause(Duration),
    Trailers(HeaderMap),
    BreakOff,
}

/// What happens instead of an ordinary answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Head and body.
    Ordinary,
    /// The connection ends without a head.
    HangUp,
    /// 101, then every byte comes back.
    Echo,
}

/// A scripted answer: `Answer::new(200).chunk("a").wait(&gate).chunk("b")`. It is
/// given when the whole request is there, unless [`Answer::early`] is set.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) before_head: Vec<Gate>,
    pub(crate) steps: Vec<Step>,
    pub(crate) early: bool,
    pub(crate) manner: Manner,
}

impl Answer {
    /// An empty answer with this status.
    ///
    /// # Panics
    /// Outside 100 to 999.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("a status of three digits"),
            headers: HeaderMap::new(),
            before_head: Vec::new(),
            steps: Vec::new(),
            early: false,
            manner: Manner::Ordinary,
        }
    }

    /// 200 with a JSON body and its length.
    #[must_use]
    pub fn json(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self::new(200)
            .header("content-type", "application/json")
            .header("content-length", &body.len().to_string())
            .chunk(body)
    }

    /// 200 for server-sent events; chunks follow.
    #[must_use]
    pub fn event_stream() -> Self {
        Self::new(200).header("content-type", "text/event-stream")
    }

    /// No answer: the connection ends when the request is there.
    #[must_use]
    pub fn hang_up() -> Self {
        Self { manner: Manner::HangUp, ..Self::new(500) }
    }

    /// 101 to `protocol`, then every byte comes back.
    #[must_use]
    pub fn echo_upgrade(protocol: &str) -> Self {
        let switching = Self { manner: Manner::Echo, ..Self::new(101) };
        switching.header("connection", "Upgrade").header("upgrade", protocol)
    }

    /// Adds a header; the same name may come more than once.
    ///
    /// # Panics
    /// When it is no valid header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        self.headers.append(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// The head leaves when `gate` is open.
    #[must_use]
    pub fn hold_head(mut self, gate: &Gate) -> Self {
        self.before_head.push(gate.clone());
        self
    }

    /// The answer begins before the request's body has ended.
    #[must_use]
    pub fn early(mut self) -> Self {
        self.early = true;
        self
    }

    /// One piece of the body, sent on its own.
    #[must_use]
    pub fn chunk(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Chunk(bytes.into()))
    }

    /// What follows leaves when `gate` is open.
    #[must_use]
    pub fn wait(self, gate: &Gate) -> Self {
        self.step(Step::Wait(gate.clone()))
    }

    /// What follows leaves `pause` later.
    #[must_use]
    pub fn pause(self, pause: Duration) -> Self {
        self.step(Step::Pause(pause))
    }

    /// Trailers at the end; HTTP/1.1 clients must have sent `te: trailers`, and
    /// the answer a `trailer` header with their names.
    ///
    /// # Panics
    /// When they are no valid headers.
    #[must_use]
    pub fn trailers(self, trailers: &[(&'static str, &str)]) -> Self {
        let valid = |value: &str| HeaderValue::from_str(value).expect("a header value");
        let trailers = trailers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), valid(value)))
            .collect();
        self.step(Step::Trailers(trailers))
    }

    /// The same with trailers that are at hand.
    #[must_use]
    pub fn trailer_map(self, trailers: HeaderMap) -> Self {
        self.step(Step::Trailers(trailers))
    }

    /// The connection (with HTTP/2 the stream) breaks here.
    #[must_use]
    pub fn break_off(self) -> Self {
        self.step(Step::BreakOff)
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}
