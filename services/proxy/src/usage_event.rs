//! From a finished exchange to the usage event, on the thread that forwarded it, and
//! from a running one to its live form, on the delivery thread.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use modash_histogram::Histogram;
use modash_metering as metering;
use modash_proto::{
    duration_from_micros, timestamp_from_micros,
    v1::{LiveRequest, LogHistogram, Operation, Outcome, SpeedSource, UsageEvent, UsageSource},
};

use crate::{
    client_key::Fingerprinter,
    exchange::{Ending, Exchange, Finished},
};

/// Makes events of one replica.
pub(crate) struct EventMaker {
    replica_id: String,
    fingerprinter: Fingerprinter,
}

impl EventMaker {
    pub(crate) fn new(replica_id: String, fingerprinter: Fingerprinter) -> Self {
        Self { replica_id, fingerprinter }
    }

    /// The event of an exchange that ended; `None` if it was made before.
    pub(crate) fn event(&self, exchange: &Exchange) -> Option<UsageEvent> {
        let finished = exchange.take_finished()?;
        let facts = &exchange.facts;
        let mut event = UsageEvent {
            event_id: exchange.id.to_string(),
            replica_id: self.replica_id.clone(),
            started_at: Some(timestamp_from_micros(exchange.started_at)),
            upstream: exchange.upstream.to_string(),
            method: facts.method.as_str().chars().take(32).collect(),
            path: facts.path.to_string(),
            user_agent_family: facts.user_agent_family.as_deref().map(str::to_owned),
            client_key: self.client_key(exchange),
            session: facts.session.as_deref().map(str::to_owned),
            tags: facts
                .tags
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            status: finished.status.map(u32::from),
            outcome: outcome(&finished).into(),
            connect: finished.connect.map(wire),
            upstream_head: finished.upstream_head.map(wire),
            duration: Some(wire(finished.duration)),
            request_bytes: exchange.progress.request_bytes.load(Ordering::Relaxed),
            response_bytes: exchange.progress.response_bytes.load(Ordering::Relaxed),
            ..UsageEvent::default()
        };
        match finished.reading {
            Some(reading) => add_reading(&mut event, reading),
            None => {
                event.dialect = metering::Dialect::Unknown.id().to_owned();
                event.usage_source = UsageSource::Unparseable.into();
            }
        }
        add_failure(&mut event, finished.ending);
        event.clean();
        Some(event)
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
            client_key: self.client_key(exchange),
            user: glimpse.user,
            first_token_at: (first_token > 0).then(|| {
                let after = i64::try_from(first_token).unwrap_or(0);
                timestamp_from_micros(exchange.started_at + after)
            }),
            content_events: progress.content_events.load(Ordering::Relaxed),
            response_bytes: progress.response_bytes.load(Ordering::Relaxed),
            outcome: Outcome::Unspecified.into(),
            path: exchange.facts.path.to_string(),
        };
        live.clean();
        Some(live)
    }

    fn client_key(&self, exchange: &Exchange) -> Option<String> {
        let fingerprint = || {
            let credential = exchange.facts.credential.as_deref()?;
            Some(self.fingerprinter.fingerprint(credential))
        };
        exchange.client_key.get_or_init(fingerprint).clone()
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

fn add_reading(event: &mut UsageEvent, reading: metering::Reading) {
    let tokens = reading.tokens;
    event.dialect = reading.dialect.id().to_owned();
    event.operation = operation(reading.operation).into();
    event.model_requested = reading.model_requested;
    event.model = reading.model;
    event.stream = reading.stream;
    event.user = reading.user;
    // That of a header is known already, and wins.
    event.session = event.session.take().or(reading.session);
    event.response_id = reading.response_id;
    event.finish_reason = reading.finish_reason;
    event.service_tier = reading.service_tier;
    event.error_type = reading.error_type;
    event.book_once = reading.book_once;
    event.usage_source = usage_source(reading.source).into();
    event.prompt_tokens = tokens.prompt;
    event.cached_prompt_tokens = tokens.cached_prompt;
    event.cache_write_tokens = tokens.cache_write;
    event.completion_tokens = tokens.completion;
    event.reasoning_tokens = tokens.reasoning;
    event.audio_prompt_tokens = tokens.audio_prompt;
    event.audio_completion_tokens = tokens.audio_completion;
    event.total_tokens = tokens.total;
    event.billed_prompt_tokens = tokens.billed_prompt;
    event.billed_completion_tokens = tokens.billed_completion;
    event.search_units = tokens.search_units;
    event.billed_audio = tokens.billed_audio.map(wire);
    event.upstream_cost_usd = tokens.upstream_cost_usd;
    event.first_token = reading.first_content_at.map(wire);
    event.last_token = reading.last_content_at.map(wire);
    event.content_events = reading.content_events;
    event.token_gaps = histogram(&reading.gaps);
    event.prefill_tokens_per_second = reading.prefill_tokens_per_second;
    event.decode_tokens_per_second = reading.decode_tokens_per_second;
    event.speed_source = match reading.speed_source {
        None => SpeedSource::Unspecified,
        Some(metering::SpeedSource::Upstream) => SpeedSource::Upstream,
        Some(metering::SpeedSource::Measured) => SpeedSource::Measured,
    }
    .into();
}

/// A request that got no response has nothing to read, but a reason.
fn add_failure(event: &mut UsageEvent, ending: Ending) {
    let error_type = match ending {
        Ending::UpstreamBusy => "upstream_busy",
        Ending::UpstreamUnreachable => "upstream_unreachable",
        Ending::UpstreamTimeout => "upstream_timeout",
        _ => return,
    };
    event.error_type = Some(error_type.to_owned());
    // What came before a response was cut stays as it was read.
    if event.upstream_head.is_none() {
        event.usage_source = UsageSource::NotReported.into();
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

fn wire(duration: Duration) -> prost_types::Duration {
    duration_from_micros(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
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
