//! Describes requests that take longer in their slots of the journal: the events that
//! they would be were they interrupted now.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use modash_proto::{
    duration_from_micros, micros_from_timestamp,
    v1::{Outcome, UsageEvent, UsageSource},
};
use prost::Message as _;

use super::Shared;
use crate::{exchange::Exchange, trace_context::trace_id_text, usage_event::EventMaker};

/// How often they are described, and the age from which a request is.
pub(super) const EVERY: Duration = Duration::from_millis(500);

/// Describes what runs now.
pub(super) fn describe_running(cores: &[Arc<Shared>], maker: &EventMaker) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let mut buffer = Vec::new();
    for exchange in cores.iter().flat_map(|core| core.in_flight()) {
        let age = i128::from(now - exchange.started_at);
        if age >= EVERY.as_micros().cast_signed()
            && let Some(slot) = &exchange.slot
            && let Some(event) = interrupted(&exchange, maker, now)
        {
            buffer.clear();
            event.encode_raw(&mut buffer);
            slot.describe(&buffer);
        }
    }
}

fn interrupted(exchange: &Exchange, maker: &EventMaker, now: i64) -> Option<UsageEvent> {
    let live = maker.live(exchange)?;
    let facts = &exchange.facts;
    let first_token = live.first_token_at.as_ref().and_then(micros_from_timestamp);
    Some(UsageEvent {
        event_id: live.event_id,
        replica_id: live.replica_id,
        started_at: live.started_at,
        upstream: live.upstream,
        dialect: live.dialect,
        operation: live.operation,
        method: facts.method.as_str().chars().take(32).collect(),
        path: live.path,
        stream: live.stream,
        user_agent_family: facts.user_agent_family().map(str::to_owned),
        client_key: live.client_key,
        user: live.user,
        session: facts.session().map(str::to_owned),
        tags: facts
            .tags
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        trace_id: exchange
            .trace
            .map(|trace| trace_id_text(trace.trace_id).map(char::from).iter().collect()),
        span_id: exchange.trace.and_then(|trace| trace.span),
        parent_span_id: exchange.trace.and_then(|trace| trace.parent),
        model: live.model,
        outcome: Outcome::Interrupted.into(),
        usage_source: UsageSource::NotReported.into(),
        first_token: first_token.map(|at| duration_from_micros(at - exchange.started_at)),
        duration: Some(duration_from_micros(now - exchange.started_at)),
        content_events: live.content_events,
        request_bytes: exchange.progress.request_bytes.load(Ordering::Relaxed),
        response_bytes: live.response_bytes,
        ..UsageEvent::default()
    })
}
