//! Spans and metrics by OTLP, made of the events of ended requests on the delivery
//! thread: the forwarding threads have no work with them.

mod attributes;
mod deliveries;
mod instruments;
mod spans;

use std::collections::HashMap;

use modash_proto::v1::UsageEvent;
use modash_telemetry::{Telemetry, opentelemetry::InstrumentationScope, semconv};
use prost::Message as _;

pub(super) use self::deliveries::Deliveries;
use self::{instruments::Instruments, spans::SpanMaker};
use super::glance::Glance;
use crate::usage_event::EncodedEvent;

/// The name under which everything is made.
const SCOPE: &str = "modash_proxy";

/// Host and port of a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Makes spans and metrics of events.
#[derive(Debug)]
pub(crate) struct Otlp {
    telemetry: Telemetry,
    instruments: Option<Instruments>,
    /// By the names of the upstreams.
    servers: HashMap<String, Server>,
    spans: SpanMaker,
}

impl Otlp {
    pub(crate) fn new(telemetry: Telemetry, servers: HashMap<String, Server>) -> Self {
        let instruments = telemetry.meter(SCOPE).map(|meter| Instruments::new(&meter));
        Self { telemetry, instruments, servers, spans: SpanMaker::new() }
    }

    /// Makes what is due of some events. Never waits for the collector.
    pub(super) fn see<'e>(&self, events: impl Iterator<Item = &'e EncodedEvent>) {
        for event in events {
            let sampled = Glance::read(event).is_some_and(|glance| glance.span_id.is_some());
            if !sampled && self.instruments.is_none() {
                continue;
            }
            let Ok(event) = UsageEvent::decode(event.as_ref()) else { continue };
            let server = self.servers.get(&event.upstream).cloned().unwrap_or_default();
            if let Some(instruments) = &self.instruments {
                instruments.record(&event, &server);
            }
            if let Some(spans) = self.telemetry.spans() {
                spans.add(self.spans.make(&event, &server));
            }
        }
    }

    /// Makes spans of the deliveries of one stream; `None`: traces are off.
    pub(super) fn deliveries(&self) -> Option<Deliveries> {
        Some(Deliveries::new(self.telemetry.spans()?.clone()))
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(SCOPE)
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(semconv::SCHEMA_URL)
        .build()
}
