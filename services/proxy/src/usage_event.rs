//! From a finished exchange to the usage event, on the thread that forwarded it, and
//! from a running one to its live form, on the delivery thread.

mod fields;
mod rate_limits;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;

use bytes::Bytes;
use modash_histogram::Histogram;
use modash_metering::{self as metering, Reading};
use modash_proto::{
    timestamp_from_micros,
    v1::{LiveRequest, LogHistogram, Operation, Outcome, SpeedSource, UsageEvent, UsageSource},
};

use uuid::Uuid;

use self::fields::Fields;
use crate::{
    client_key::{ClientKey, Fingerprinter},
    exchange::{Ending, Exchange, Finished},
    trace_context::trace_id_text,
};

/// Makes events of one replica.
pub(crate) struct EventMaker {
    replica_id: String,
    /// Makes fingerprints of credentials.
    pub(crate) fingerprinter: Fingerprinter,
}

impl EventMaker {
    pub(crate) fn new(replica_id: String, fingerprinter: Fingerprinter) -> Self {
        Self { replica_id, fingerprinter }
    }

    /// Appends the encoded event of an exchange that ended. Field by field, in the order of
    /// the contract: an event as a message costs an allocation for each of its texts.
    pub(crate) fn write(&self, exchange: &Exchange, finished: &Finished, buffer: &mut Vec<u8>) {
        let (facts, reading) = (&exchange.facts, finished.reading.as_ref());
        let mut id = Uuid::encode_buffer();
        let dialect = reading.map_or(metering::Dialect::Unknown, |reading| reading.dialect);
        let text = |of: fn(&Reading) -> &Option<String>| of(reading?).as_deref();
        let micros = u64::try_from(exchange.started_at).unwrap_or(0);
        let mut fields = Fields(buffer);
        fields.text(1, exchange.id.hyphenated().encode_lower(&mut id), 36);
        fields.text(2, &self.replica_id, 128);
        fields.micros(3, micros);
        fields.text(10, &exchange.upstream, 128);
        fields.text(11, dialect.id(), 64);
        fields.number(12, reading.map_or(0, |reading| operation(reading.operation) as u64));
        fields.text(13, facts.method.as_str(), 32);
        fields.text(14, facts.path(), 512);
        fields.optional_text(15, text(|reading| &reading.model_requested), 256);
        fields.number(16, reading.is_some_and(|reading| reading.stream).into());
        fields.optional_text(17, facts.user_agent_family(), 64);
        fields.optional_text(18, exchange.client_key.as_ref().map(ClientKey::as_str), 64);
        fields.optional_text(19, text(|reading| &reading.user), 128);
        // That of a header wins.
        fields.optional_text(20, facts.session().or(text(|reading| &reading.session)), 128);
        for (name, value) in &facts.tags {
            fields.entry(21, (name, 64), (value, 128));
        }
        if let Some(trace) = &exchange.trace {
            fields.bytes(22, &trace_id_text(trace.trace_id));
            fields.fixed(23, trace.span);
            fields.fixed(24, trace.parent);
        }
        fields.optional(30, finished.status.map(u64::from));
        fields.optional_text(31, text(|reading| &reading.model), 256);
        fields.optional_text(32, text(|reading| &reading.response_id), 128);
        fields.optional_text(33, text(|reading| &reading.finish_reason), 64);
        fields.optional_text(34, text(|reading| &reading.service_tier), 64);
        fields.number(35, outcome(finished) as u64);
        let failure = failure(finished.ending);
        fields.optional_text(36, failure.or(text(|reading| &reading.error_type)), 128);
        fields.number(37, reading.is_some_and(|reading| reading.book_once).into());
        // What came before a response was cut stays as it was read.
        let source = match reading {
            _ if failure.is_some() && finished.upstream_head.is_none() => UsageSource::NotReported,
            Some(reading) => usage_source(reading.source),
            None => UsageSource::Unparseable,
        };
        fields.number(50, source as u64);
        if let Some(reading) = reading {
            write_tokens(&reading.tokens, &mut fields);
            fields.message(65, rate_limits::of(exchange, finished).as_ref());
            fields.optional_text(66, reading.previous_response_id.as_deref(), 128);
        }
        fields.duration(70, finished.connect);
        fields.duration(71, finished.upstream_head);
        fields.duration(72, reading.and_then(|reading| reading.first_content_at));
        fields.duration(73, reading.and_then(|reading| reading.last_content_at));
        fields.duration(74, Some(finished.duration));
        if let Some(reading) = reading {
            fields.number(75, reading.content_events);
            fields.message(76, histogram(&reading.gaps).as_ref());
            fields.double(77, reading.prefill_tokens_per_second);
            fields.double(78, reading.decode_tokens_per_second);
            fields.number(79, speed_source(reading.speed_source) as u64);
        }
        fields.duration(80, finished.sent_at);
        fields.number(90, exchange.progress.request_bytes.load(Ordering::Relaxed));
        fields.number(91, exchange.progress.response_bytes.load(Ordering::Relaxed));
        if let Some(tokens) = reading.map(|reading| &reading.tokens) {
            fields.optional(110, tokens.cached_audio_prompt);
            fields.optional(111, tokens.image_prompt);
            fields.optional(112, tokens.cached_image_prompt);
            fields.optional(113, tokens.image_completion);
            fields.optional(114, tokens.images);
            fields.optional(115, tokens.characters);
        }
    }

    /// What the live view shows of an exchange now.
    pub(crate) fn live(&self, exchange: &Exchange) -> Option<LiveRequest> {
        let glimpse = exchange.glimpse()?;
        let progress = &exchange.progress;
        let first_token = progress.first_token.load(Ordering::Relaxed);
        let mut live = LiveRequest {
            event_id: exchange.id.to_string(),
            replica_id: self.replica_id.clone(),
            started_at: Some(timestamp_from_micros(exchange.started_at)),
            phase: progress.phase().into(),
            upstream: exchange.upstream.to_string(),
            dialect: glimpse.dialect.to_owned(),
            operation: operation(glimpse.operation).into(),
            model: glimpse.model,
            stream: glimpse.stream,
            client_key: exchange.client_key.map(|key| key.as_str().to_owned()),
            user: glimpse.user,
            first_token_at: (first_token > 0).then(|| {
                let after = i64::try_from(first_token).unwrap_or(0);
                timestamp_from_micros(exchange.started_at + after)
            }),
            content_events: progress.content_events.load(Ordering::Relaxed),
            response_bytes: progress.response_bytes.load(Ordering::Relaxed),
            outcome: Outcome::Unspecified.into(),
            path: exchange.facts.path().to_owned(),
        };
        live.clean();
        Some(live)
    }
}

/// How the request ended, from what the proxy and what the meter saw.
fn outcome(finished: &Finished) -> Outcome {
    match finished.ending {
        Ending::UpstreamUnreachable | Ending::UpstreamBusy => {
            return Outcome::UpstreamUnreachable;
        }
        Ending::UpstreamTimeout => return Outcome::UpstreamTimeout,
        _ => {}
    }
    if finished.status.is_some_and(|status| status >= 400) {
        return Outcome::HttpError;
    }
    let metered = finished.reading.as_ref().map(|reading| reading.outcome);
    match (finished.ending, metered) {
        (_, Some(metering::Outcome::Error)) => Outcome::StreamError,
        (Ending::ClientClosed, _) => Outcome::ClientClosed,
        (Ending::UpstreamBroke, _) | (_, Some(metering::Outcome::Truncated)) => Outcome::Truncated,
        (_, Some(metering::Outcome::Empty)) => Outcome::Empty,
        _ => Outcome::Ok,
    }
}

fn write_tokens(tokens: &metering::Tokens, fields: &mut Fields<'_>) {
    fields.optional(51, tokens.prompt);
    fields.optional(52, tokens.cached_prompt);
    fields.optional(53, tokens.cache_write);
    fields.optional(54, tokens.completion);
    fields.optional(55, tokens.reasoning);
    fields.optional(56, tokens.audio_prompt);
    fields.optional(57, tokens.audio_completion);
    fields.optional(58, tokens.total);
    fields.optional(59, tokens.billed_prompt);
    fields.optional(60, tokens.billed_completion);
    fields.double(61, tokens.search_units);
    fields.duration(62, tokens.billed_audio);
    fields.double(63, tokens.upstream_cost_usd);
    fields.optional(64, tokens.cache_write_1h);
}

/// A request that got no response has nothing to read, but a reason.
fn failure(ending: Ending) -> Option<&'static str> {
    match ending {
        Ending::UpstreamBusy => Some("upstream_busy"),
        Ending::UpstreamUnreachable => Some("upstream_unreachable"),
        Ending::UpstreamTimeout => Some("upstream_timeout"),
        _ => None,
    }
}

fn speed_source(source: Option<metering::SpeedSource>) -> SpeedSource {
    match source {
        None => SpeedSource::Unspecified,
        Some(metering::SpeedSource::Upstream) => SpeedSource::Upstream,
        Some(metering::SpeedSource::Measured) => SpeedSource::Measured,
    }
}

fn usage_source(source: metering::UsageSource) -> UsageSource {
    match source {
        metering::UsageSource::Upstream => UsageSource::Upstream,
        metering::UsageSource::UpstreamPartial => UsageSource::UpstreamPartial,
        metering::UsageSource::Estimated => UsageSource::Estimated,
        metering::UsageSource::NotReported => UsageSource::NotReported,
        metering::UsageSource::Unparseable => UsageSource::Unparseable,
        metering::UsageSource::NotDue => UsageSource::NotDue,
    }
}

fn operation(operation: metering::Operation) -> Operation {
    match operation {
        metering::Operation::Chat => Operation::Chat,
        metering::Operation::Completion => Operation::Completion,
        metering::Operation::Embedding => Operation::Embedding,
        metering::Operation::Rerank => Operation::Rerank,
        metering::Operation::Moderation => Operation::Moderation,
        metering::Operation::Transcription => Operation::Transcription,
        metering::Operation::Speech => Operation::Speech,
        metering::Operation::Image => Operation::Image,
        metering::Operation::Realtime => Operation::Realtime,
        metering::Operation::CountTokens => Operation::CountTokens,
        metering::Operation::Other => Operation::Other,
        metering::Operation::Retrieval => Operation::Retrieval,
    }
}

fn histogram(gaps: &Histogram) -> Option<LogHistogram> {
    if gaps.is_empty() {
        return None;
    }
    let (indexes, counts) = gaps.buckets().iter().copied().unzip();
    Some(LogHistogram { indexes, counts })
}

/// The live form of requests that ended, for those that were shown as running.
pub(crate) fn ended(event: &UsageEvent) -> LiveRequest {
    let started_at = event.started_at.as_ref().map(|start| {
        let after = event.first_token.as_ref().and_then(modash_proto::micros_from_duration);
        (modash_proto::micros_from_timestamp(start).unwrap_or(0), after)
    });
    LiveRequest {
        event_id: event.event_id.clone(),
        replica_id: event.replica_id.clone(),
        started_at: event.started_at,
        phase: modash_proto::v1::RequestPhase::Ended.into(),
        upstream: event.upstream.clone(),
        dialect: event.dialect.clone(),
        operation: event.operation,
        model: event.model.clone().or_else(|| event.model_requested.clone()),
        stream: event.stream,
        client_key: event.client_key.clone(),
        user: event.user.clone(),
        first_token_at: started_at
            .and_then(|(start, after)| Some(timestamp_from_micros(start + after?))),
        content_events: event.content_events,
        response_bytes: event.response_bytes,
        outcome: event.outcome,
        path: event.path.clone(),
    }
}

/// A `UsageEvent` as it is written and sent: made and encoded once.
pub(crate) type EncodedEvent = Bytes;
