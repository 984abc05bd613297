//! The spans of batches that are sent to analytics: from the sending to the
//! acknowledgement, linked to the requests in them.

use std::{collections::VecDeque, time::SystemTime};

use modash_telemetry::{
    SpanQueue, TraceContext,
    opentelemetry::{
        KeyValue, SpanId, TraceId,
        trace::{Link, SpanKind, Status, TraceState},
    },
    opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks},
    semconv,
};

use super::scope;
use crate::{emit::glance::Glance, usage_event::EncodedEvent};

/// The name of these spans.
const NAME: &str = "deliver events";

/// Most links of one span, as the SDKs have it.
const MOST_LINKS: usize = 128;

/// Most batches under way that have a span.
const MOST_UNDER_WAY: usize = 64;

/// The batches of one stream that are not acknowledged.
pub(in crate::emit) struct Deliveries {
    queue: SpanQueue,
    under_way: VecDeque<Delivery>,
}

struct Delivery {
    last_sequence: u64,
    events: usize,
    context: TraceContext,
    begin: SystemTime,
    links: SpanLinks,
}

impl Deliveries {
    pub(super) fn new(queue: SpanQueue) -> Self {
        Self { queue, under_way: VecDeque::new() }
    }

    /// The `traceparent` of a batch that is about to be sent; empty if none of its events
    /// is sampled.
    pub(in crate::emit) fn sending(
        &mut self,
        first_sequence: u64,
        events: &[EncodedEvent],
    ) -> String {
        let mut links = SpanLinks::default();
        for context in events.iter().filter_map(|event| request(event)) {
            if links.links.len() < MOST_LINKS {
                links.links.push(Link::with_context(context.remote(TraceState::NONE)));
            } else {
                links.dropped_count += 1;
            }
        }
        if links.links.is_empty() || self.under_way.len() >= MOST_UNDER_WAY {
            return String::new();
        }
        let context = TraceContext {
            trace_id: rand::random::<u128>().max(1),
            span_id: rand::random::<u64>().max(1),
            sampled: Some(true),
        };
        self.under_way.push_back(Delivery {
            last_sequence: first_sequence + events.len() as u64 - 1,
            events: events.len(),
            context,
            begin: SystemTime::now(),
            links,
        });
        context.traceparent()
    }

    /// Events up to this sequence number are committed or rejected.
    pub(in crate::emit) fn acknowledged(&mut self, sequence: u64) {
        while let Some(delivery) =
            self.under_way.pop_front_if(|delivery| delivery.last_sequence <= sequence)
        {
            self.queue.add([delivery.span(Status::Unset)]);
        }
    }
}

/// The stream has ended: what was not acknowledged is sent again on the next one.
impl Drop for Deliveries {
    fn drop(&mut self) {
        let lost = self.under_way.drain(..);
        self.queue.add(lost.map(|delivery| {
            delivery.span(Status::error("the stream ended before the acknowledgement"))
        }));
    }
}

impl Delivery {
    fn span(self, status: Status) -> SpanData {
        let count = i64::try_from(self.events).unwrap_or(i64::MAX);
        SpanData {
            span_context: self.context.local(),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Producer,
            name: NAME.into(),
            start_time: self.begin,
            end_time: SystemTime::now(),
            attributes: vec![KeyValue::new(semconv::MESSAGING_BATCH_MESSAGE_COUNT, count)],
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: self.links,
            status,
            instrumentation_scope: scope(),
        }
    }
}

/// The span of a request that is sampled.
fn request(event: &[u8]) -> Option<TraceContext> {
    let glance = Glance::read(event)?;
    let (text, span_id) = (glance.trace_id?, glance.span_id?);
    let trace_id = u128::from_be_bytes(TraceId::from_hex(text).ok()?.to_bytes());
    Some(TraceContext { trace_id, span_id, sampled: Some(true) })
}
