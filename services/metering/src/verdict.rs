//! How a response ended, and where its counts come from (spec 2.2, 2.3).

use std::time::Duration;

use http::StatusCode;

use crate::dialect::Operation;
use crate::purpose::Purpose;
use crate::reading::{Outcome, Tokens, UsageSource};
use crate::record::{Clock, Record, Speeds};
use crate::response::{Asked, Response};

/// Whether a response owes a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owed {
    /// It has none: that of a request for the head alone.
    None,
    /// It may have one.
    Any,
    /// With the status 200 it has one.
    Body,
    /// With the status 200 it has one, and that is an answer of the dialect's form.
    Answer,
}

/// What can be said once a response has ended.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) tokens: Tokens,
    pub(crate) source: UsageSource,
    pub(crate) error_type: Option<String>,
    /// Model that a header names.
    pub(crate) model: Option<String>,
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
            model: None,
            tier: None,
            socket: false,
        }
    }

    /// Consumption is counted once: only calls consume, and the counts of a
    /// background response are its own, whichever calls show them. Returns
    /// whether these counts are of that kind.
    pub(crate) fn settle(
        &mut self,
        purpose: Purpose,
        operation: Operation,
        record: &mut Record,
    ) -> bool {
        let counted = self.tokens.any();
        let background = record.background && record.response_id.is_some();
        let shows = counted && background && purpose != Purpose::Other;
        if purpose != Purpose::Call {
            // A replay says nothing about speed.
            record.clock = Clock::default();
            record.speeds = Speeds::default();
            if !shows {
                self.tokens = Tokens::default();
                self.source = UsageSource::NotDue;
            }
        } else if self.source == UsageSource::NotReported
            && (record.background || operation == Operation::CountTokens)
        {
            self.source = UsageSource::NotDue;
        }
        shows
    }
}

impl Response {
    /// The body has ended, `broken` if not as its framing said; `owed` says
    /// whether a success without one would be odd.
    pub(crate) fn conclude(
        &mut self,
        broken: bool,
        owed: Owed,
        at: Duration,
        asked: Asked,
    ) -> Verdict {
        let call = matches!(owed, Owed::Body | Owed::Answer);
        let cut = self.finish(broken, call, at, asked);
        let (status, empty) = (self.status, self.is_empty());
        let due = call && status == StatusCode::OK;
        // What is no answer to a call has nothing to be read.
        let foreign = due && self.is_foreign();
        let readable = !call || foreign || status.as_u16() >= 400 || !self.is_unreadable();
        if foreign {
            let kind = if self.is_page() { "unexpected_html" } else { "unexpected_text" };
            self.tap.reader.record.fail(Some(kind.as_bytes()));
        }
        let socket = status == StatusCode::SWITCHING_PROTOCOLS;
        let reader = &mut self.tap.reader;
        reader.record.prompts = asked.prompts;
        let mut tokens = (reader.wire.tokens)(&reader.record);
        let sums = reader.record.session.as_ref().map(|session| &session.tokens);
        if let Some(sums) = sums.or(reader.record.earlier()) {
            tokens.add(sums);
        }
        let record = &mut reader.record;
        let failed = status.as_u16() >= 400 || record.error;
        let none = owed == Owed::None || matches!(status.as_u16(), 204 | 304);
        let outcome = if failed {
            Outcome::Error
        } else if empty && (none || !broken) {
            if due { Outcome::Empty } else { Outcome::Complete }
        } else if cut {
            Outcome::Truncated
        } else if due
            && owed == Owed::Answer
            && reader.wire.tells_answers()
            && record.is_shell(&tokens)
        {
            Outcome::Empty
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
            model: reader.headers.model.take(),
            tier: reader.headers.tier.take(),
            socket,
        }
    }
}
