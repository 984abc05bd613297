//! What else is made of the events of ended requests, besides their delivery. All of it
//! works on the delivery thread or behind it, and none of it may hold that thread up.

use std::sync::Arc;

use super::{access_log::AccessLog, glance::Glance, headroom::Headroom, otlp::Otlp, tally::Tally};
use crate::usage_event::EncodedEvent;

/// Those who get each event once, when it is read from its journal.
#[derive(Debug, Default, Clone)]
pub(crate) struct Followers {
    /// Distributions for `/metrics`.
    pub(crate) tally: Arc<Tally>,
    /// What is left of rate limits, for `/metrics`.
    pub(crate) headroom: Arc<Headroom>,
    /// `None`: off.
    pub(crate) access_log: Option<Arc<AccessLog>>,
    /// Spans and metrics by OTLP; `None`: off.
    pub(crate) otlp: Option<Arc<Otlp>>,
}

impl Followers {
    /// Shows events of requests that ended.
    pub(super) fn see<'e>(&self, events: impl Iterator<Item = &'e EncodedEvent> + Clone) {
        let glances = events.clone().filter_map(|event| Glance::read(event));
        self.tally.add(glances.inspect(|glance| self.headroom.add(glance)));
        if let Some(log) = &self.access_log {
            events.clone().for_each(|event| log.add(event));
        }
        if let Some(otlp) = &self.otlp {
            otlp.see(events);
        }
    }

    /// Returns when what is made of the events before is written; blocks.
    pub(super) fn finish(&self) {
        if let Some(log) = &self.access_log {
            log.finish();
        }
    }
}
