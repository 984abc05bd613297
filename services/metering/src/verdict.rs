//! How a response ended, and where its counts come from (spec 2.2, 2.3).

use std::time::Duration;

use http::StatusCode;

use crate::reading::{Outcome, Tokens, UsageSource};
use crate::response::{Asked, Response};

/// What can be said once a response has ended.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) tokens: Tokens,
    pub(crate) source: UsageSource,
    pub(crate) error_type: Option<String>,
    /// Tier that a header names.
    pub(crate) tier: Option<String>,
    /// It was a WebSocket session.
    pub(crate) socket: bool,
}

impl Verdict {
    /// No response head ever came.
    pub(crate) fn without_response(broken: bool) -> Self {
        Self {
            outcome: if broken { Outcome::Truncated } else { Outcome::Empty },
            tokens: Tokens::default(),
            source: UsageSource::NotReported,
            error_type: None,
            tier: None,
            socket: false,
        }
    }
}

impl Response {
    /// The body has ended, `broken` if not as its framing said; `head` if the
    /// request was one for the head alone.
    pub(crate) fn conclude(
        &mut self,
        broken: bool,
        head: bool,
        at: Duration,
        asked: Asked,
    ) -> Verdict {
        let cut = self.finish(broken, at, asked);
        let readable = !self.is_unreadable();
        let (status, empty) = (self.status, self.is_empty());
        let socket = status == StatusCode::SWITCHING_PROTOCOLS;
        let reader = &mut self.tap.reader;
        let mut tokens = (reader.wire.tokens)(&reader.record);
        if let Some(session) = &mut reader.record.session {
            session.sum(&tokens);
            tokens = session.tokens;
        }
        let record = &mut reader.record;
        let failed = status.as_u16() >= 400 || record.error;
        let bodiless = head || matches!(status.as_u16(), 204 | 304);
        let outcome = if failed {
            Outcome::Error
        } else if empty && !socket {
            if broken && !bodiless { Outcome::Truncated } else { Outcome::Empty }
        } else if cut {
            Outcome::Truncated
        } else {
            Outcome::Complete
        };
        let whole = !cut || record.terminal;
        let error_type = failed.then(|| {
            record.error_type.take().or_else(|| reader.headers.error_type.take()).unwrap_or_else(
                || match status.as_u16() {
                    code @ 400.. => format!("http_{code}"),
                    _ => "error".to_owned(),
                },
            )
        });
        Verdict {
            outcome,
            source: tokens.source(whole, readable),
            tokens,
            error_type,
            tier: reader.headers.tier.take(),
            socket,
        }
    }
}
