//! The meter of one exchange: the proxy hands it a copy of both directions and
//! gets a reading at the end.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Uri};

use crate::calibration::Calibration;
use crate::dialect::{Dialect, Operation};
use crate::head::{BodyLines, Head, Headers};
use crate::limits::Limits;
use crate::purpose::Purpose;
use crate::reading::{BodyEnd, Outcome, Reading, UsageSource};
use crate::record::{Record, keep_last};
use crate::request::Request;
use crate::response::{Asked, Response};
use crate::speed::Rates;
use crate::target::{Ask, Route, Target};
use crate::verdict::{Owed, Verdict};
use crate::who::Who;

/// Meters one exchange from a copy of both directions. Never panics on any bytes.
#[derive(Debug)]
pub struct Meter {
    dialect: Dialect,
    route: Route,
    purpose: Purpose,
    request: Request,
    response: Option<Response>,
    /// The request's names, once known.
    model_requested: Option<String>,
    who: Who,
    head: bool,
    limits: Limits,
    calibration: Option<Arc<Calibration>>,
}

impl Meter {
    /// A meter for the request with this head.
    #[must_use]
    pub fn new(method: &Method, uri: &Uri, headers: &HeaderMap, limits: Limits) -> Self {
        Self::of(&Head::new(method, uri, headers), limits)
    }

    /// The same for a head in any storage.
    #[must_use]
    pub fn of(head: &Head<'_, impl Headers>, limits: Limits) -> Self {
        let target = Target::new(head.path, head.query);
        let mut lines = BodyLines::default();
        head.headers.lines().for_each(|line| lines.take(line));
        let (dialect, route) = Dialect::of(&target);
        let mut model_requested = None;
        sync(&mut model_requested, route.name(None), 256);
        Self {
            dialect,
            route,
            purpose: Purpose::of(head.method, &target, lines.upgrade, dialect),
            request: Request::new(&lines, dialect == Dialect::OpenAiAudioSpeech, &limits),
            response: None,
            model_requested,
            who: Who::default(),
            head: head.method == "HEAD",
            limits,
            calibration: None,
        }
    }

    /// Estimates the output of streams without usage from what `calibration`
    /// learned, and lets it learn from those with usage.
    #[must_use]
    pub fn with_calibration(mut self, calibration: Arc<Calibration>) -> Self {
        self.calibration = Some(calibration);
        self
    }

    /// A piece of the request body as it crossed the wire.
    pub fn request_data(&mut self, bytes: &[u8]) {
        // What a client sends over an upgraded connection is no body.
        if self
            .response
            .as_ref()
            .is_some_and(|response| response.status == StatusCode::SWITCHING_PROTOCOLS)
        {
            return;
        }
        self.request.push(bytes);
        // A later repetition of a key may take back what an earlier one said.
        sync(&mut self.model_requested, self.route.name(self.request.model()), 256);
        self.who.update(self.request.user(), self.request.session());
    }

    /// The request body has ended.
    pub fn request_end(&mut self) {
        self.request.end();
    }

    /// The response head. Informational ones (1xx, except 101) may be left out.
    pub fn response_head(&mut self, status: StatusCode, headers: &impl Headers) {
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        self.purpose = self.purpose.answered(status);
        let mut response = Response::new(status, headers, self.dialect.wire(), &self.limits);
        response.tap.reader.record.background = self.route.deferred;
        self.response = Some(response);
    }

    /// A piece of the response body as it crossed the wire; `at` is the time
    /// since the request head arrived.
    pub fn response_data(&mut self, bytes: &[u8], at: Duration) {
        let asked = self.asked();
        if let Some(response) = &mut self.response {
            response.push(bytes, at, asked);
        }
    }

    /// The trailers of the response. No API reports usage in them.
    pub fn response_trailers(&mut self, trailers: &HeaderMap) {
        let _ = trailers;
    }

    fn asked(&self) -> Asked {
        let stream = self.stream();
        let told = matches!(self.route.ask, Ask::Yes | Ask::No);
        Asked {
            stream,
            unsure: !stream && !told && !self.request.is_conclusive(),
            prompts: self.request.prompts(),
        }
    }

    fn record(&self) -> Option<&Record> {
        self.response.as_ref().map(|response| &response.tap.reader.record)
    }

    /// Wire dialect as known so far.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        // The shape of what is only shown, such as a batch, tells nothing.
        let record = self.record().filter(|_| self.purpose == Purpose::Call);
        record.and_then(|record| record.dialect).unwrap_or(self.dialect)
    }

    /// What the caller asked for.
    #[must_use]
    pub fn operation(&self) -> Operation {
        let call = self.route.operation.unwrap_or_else(|| self.dialect().wire().operation);
        self.purpose.operation(call)
    }

    /// Model named by the request, once read.
    #[must_use]
    pub fn model_requested(&self) -> Option<&str> {
        self.model_requested.as_deref()
    }

    /// Model named by the response so far, else the requested one.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        let answered = self.record().and_then(|record| record.model.as_deref());
        answered.or(self.model_requested())
    }

    /// Whether the request asks for a stream, as known so far.
    #[must_use]
    pub fn stream(&self) -> bool {
        self.request.stream(self.route.ask)
    }

    /// End user named by the request body, once read.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.who.user.as_deref()
    }

    /// Session or conversation named by the request body, once read.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.who.session()
    }

    /// Stream events with generated content so far.
    #[must_use]
    pub fn content_events(&self) -> u64 {
        self.record().map_or(0, |record| record.clock.events)
    }

    /// Time of the first of them.
    #[must_use]
    pub fn first_content_at(&self) -> Option<Duration> {
        self.record().and_then(|record| record.clock.first)
    }

    /// Whether the terminal mark of the dialect, or the end of a whole document,
    /// was seen: a client that leaves now had everything.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.response.as_ref().is_some_and(Response::is_complete)
    }

    /// Ends the exchange; `at` is the time since the request head arrived. The reading
    /// takes what the meter holds: nothing is left for another one.
    #[must_use]
    pub fn finish(&mut self, end: BodyEnd, at: Duration) -> Reading {
        let asked = self.asked();
        let broken = end == BodyEnd::Broken;
        let owed = match self.purpose {
            _ if self.head => Owed::None,
            Purpose::Call if self.dialect == Dialect::Unknown => Owed::Any,
            // What counts tokens on a path of chats is no answer of a chat.
            Purpose::Call if self.route.operation.is_some() => Owed::Body,
            Purpose::Call => Owed::Answer,
            _ => Owed::Any,
        };
        let mut verdict = match &mut self.response {
            Some(response) => response.conclude(broken, owed, at, asked),
            None => Verdict::without_response(broken),
        };
        let (dialect, operation) = (self.dialect(), self.operation());
        let with_body = |response: &Response| response.status.is_success() && !response.is_empty();
        let answered = self.response.as_ref().is_some_and(with_body);
        let mut none = Record::default();
        let mut previous_response_id = None;
        keep_last(&mut previous_response_id, self.request.previous_response(), 128);
        let rate_limits = self
            .response
            .as_mut()
            .and_then(|response| response.tap.reader.headers.rate_limits.take());
        let record = match &mut self.response {
            Some(response) => &mut response.tap.reader.record,
            None => &mut none,
        };
        let book_once = verdict.settle(self.purpose, operation, record);
        if answered && self.purpose == Purpose::Call && verdict.outcome == Outcome::Complete {
            verdict.tokens.images = record.images;
            verdict.tokens.characters = self.request.characters();
        }
        // A body that repeats the requested model does not know of a fallback.
        if record.model.is_none() || record.model == self.model_requested {
            record.model = verdict.model.take().or_else(|| record.model.take());
        }
        let rates = Rates::of(record, &verdict.tokens);
        let model = record.model.as_deref().or(self.model_requested.as_deref());
        if let Some(calibration) = &self.calibration {
            calibrate(calibration, model.unwrap_or(""), operation, record, &mut verdict);
        }
        let rate_limits = rate_limits.and_then(|found| found.finish());
        let rate_limits = match record.rate_limits.take() {
            Some(stated) => Some(stated.finish(rate_limits)),
            None => rate_limits,
        };
        let session = record.session.take().unwrap_or_default();
        let first = session.responses.first().and_then(|response| response.response_id.clone());
        Reading {
            dialect,
            operation,
            model: record.model.take().or_else(|| self.model_requested.clone()),
            model_requested: self.model_requested.take(),
            stream: asked.stream,
            session: self.who.session().map(str::to_owned),
            user: self.who.user.take(),
            tokens: verdict.tokens,
            source: verdict.source,
            finish_reason: record.finish_reason.take(),
            response_id: first.or_else(|| record.response_id.take()),
            service_tier: record.service_tier.take().or(verdict.tier),
            error_type: verdict.error_type,
            book_once,
            outcome: verdict.outcome,
            first_content_at: record.clock.first,
            last_content_at: record.clock.last,
            first_visible_at: record.clock.first_visible,
            content_events: record.clock.events,
            gaps: std::mem::take(&mut record.clock.gaps),
            prefill_tokens_per_second: rates.prefill,
            decode_tokens_per_second: rates.decode,
            speed_source: rates.source,
            realtime: if verdict.socket { session.responses } else { Vec::new() },
            first_token_offset: record.clock.offset,
            previous_response_id,
            rate_limits,
        }
    }
}

/// Makes a name what the request says now.
fn sync(name: &mut Option<String>, text: Option<&[u8]>, limit: usize) {
    if text.is_none() {
        *name = None;
    }
    keep_last(name, text, limit);
}

/// Learns from a stream that reported its output, or estimates that of one that
/// did not.
fn calibrate(
    calibration: &Calibration,
    model: &str,
    operation: Operation,
    record: &Record,
    verdict: &mut Verdict,
) {
    let (events, bytes) = (record.clock.events, record.content_bytes);
    if events == 0 || !matches!(operation, Operation::Chat | Operation::Completion) {
        return;
    }
    match (verdict.source, verdict.tokens.completion) {
        // With several choices an event may hold a token of each, and the usage be
        // that of one.
        (UsageSource::Upstream, Some(tokens))
            if verdict.outcome == Outcome::Complete && !record.several =>
        {
            calibration.learn(model, tokens, events, bytes);
        }
        (UsageSource::NotReported, None) => {
            verdict.tokens.completion = Some(calibration.estimate(model, events, bytes));
            verdict.source = UsageSource::Estimated;
        }
        _ => {}
    }
}
