//! The meter of one exchange: the proxy hands it a copy of both directions and
//! gets a reading at the end.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Uri};
use modash_histogram::Histogram;

use crate::dialect::{Dialect, Operation};
use crate::limits::Limits;
use crate::reading::{BodyEnd, Outcome, Reading, Tokens, UsageSource};

/// Meters one exchange from a copy of both directions. Never panics on any bytes.
#[derive(Debug)]
pub struct Meter {
    empty: bool,
    status: Option<StatusCode>,
}

impl Meter {
    /// A meter for the request with this head.
    #[must_use]
    pub fn new(_method: &Method, _uri: &Uri, _headers: &HeaderMap, _limits: Limits) -> Self {
        Self {
            empty: true,
            status: None,
        }
    }

    /// A piece of the request body as it crossed the wire.
    pub fn request_data(&mut self, _bytes: &[u8]) {}

    /// The request body has ended.
    pub fn request_end(&mut self) {}

    /// The response head; an informational one (1xx, except 101) is not one.
    pub fn response_head(&mut self, status: StatusCode, _headers: &HeaderMap) {
        self.status = Some(status);
    }

    /// A piece of the response body as it crossed the wire; `at` is the time
    /// since the request head arrived.
    pub fn response_data(&mut self, bytes: &[u8], _at: Duration) {
        self.empty &= bytes.is_empty();
    }

    /// The trailers of the response.
    pub fn response_trailers(&mut self, _trailers: &HeaderMap) {}

    /// Wire dialect as known so far.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        Dialect::Unknown
    }

    /// What the caller asked for.
    #[must_use]
    pub fn operation(&self) -> Operation {
        Operation::Other
    }

    /// Model named by the request, once read.
    #[must_use]
    pub fn model_requested(&self) -> Option<&str> {
        None
    }

    /// Model named by the response so far, else the requested one.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        None
    }

    /// Whether the request asks for a stream, as known so far.
    #[must_use]
    pub fn stream(&self) -> bool {
        false
    }

    /// End user named by the request body, once read.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        None
    }

    /// Stream events with generated content so far.
    #[must_use]
    pub fn content_events(&self) -> u64 {
        0
    }

    /// Time of the first of them.
    #[must_use]
    pub fn first_content_at(&self) -> Option<Duration> {
        None
    }

    /// Whether the terminal mark of the dialect, or the end of a whole document,
    /// was seen: a client that leaves now had everything.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        false
    }

    /// Ends the exchange; `at` is the time since the request head arrived.
    #[must_use]
    pub fn finish(self, _end: BodyEnd, _at: Duration) -> Reading {
        Reading {
            dialect: Dialect::Unknown,
            operation: Operation::Other,
            model_requested: None,
            model: None,
            stream: false,
            user: None,
            tokens: Tokens::default(),
            source: UsageSource::NotReported,
            finish_reason: None,
            response_id: None,
            service_tier: None,
            error_type: None,
            outcome: if self.empty {
                Outcome::Empty
            } else {
                Outcome::Complete
            },
            first_content_at: None,
            last_content_at: None,
            first_visible_at: None,
            content_events: 0,
            gaps: Histogram::default(),
            prefill_tokens_per_second: None,
            decode_tokens_per_second: None,
            speed_source: None,
            realtime: Vec::new(),
            first_token_offset: None,
        }
    }
}
