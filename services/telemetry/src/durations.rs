//! How long a service works on what it does, as the metrics of the conventions have it.
//! Where no metrics are exported nothing is recorded.

use std::{sync::OnceLock, time::Duration};

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};

use crate::semconv;

/// Work that has a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A request over HTTP, answered: `http.server.request.duration`.
    HttpRequest,
    /// A call of gRPC, answered: `rpc.server.call.duration`.
    Call,
    /// A call of gRPC to another service: `rpc.client.call.duration`.
    Question,
    /// A statement in the database: `db.client.operation.duration`.
    Statement,
}

impl Work {
    const ALL: [Self; 4] = [Self::HttpRequest, Self::Call, Self::Question, Self::Statement];

    /// Notes how long it took, with attributes that are made only where metrics are on.
    pub fn took(self, duration: Duration, attributes: impl FnOnce() -> Vec<KeyValue>) {
        if let Some(all) = HISTOGRAMS.get() {
            all[self as usize].record(duration.as_secs_f64(), &attributes());
        }
    }

    fn histogram(self, meter: &Meter) -> Histogram<f64> {
        let (name, about, bounds): (_, _, &[f64]) = match self {
            Self::HttpRequest => (
                semconv::HTTP_SERVER_REQUEST_DURATION,
                "Time to answer a request over HTTP.",
                &semconv::CALL_BUCKETS,
            ),
            Self::Call => (
                semconv::RPC_SERVER_CALL_DURATION,
                "Time to answer a call.",
                &semconv::CALL_BUCKETS,
            ),
            Self::Question => (
                semconv::RPC_CLIENT_CALL_DURATION,
                "Time until a call to another service was answered.",
                &semconv::CALL_BUCKETS,
            ),
            Self::Statement => (
                semconv::DB_CLIENT_OPERATION_DURATION,
                "Time of a statement in the database.",
                &semconv::STATEMENT_BUCKETS,
            ),
        };
        let builder = meter.f64_histogram(name).with_unit("s").with_description(about);
        builder.with_boundaries(bounds.to_vec()).build()
    }
}

/// Set once metrics are on; in the order of [`Work::ALL`].
static HISTOGRAMS: OnceLock<[Histogram<f64>; Work::ALL.len()]> = OnceLock::new();

pub(crate) fn begin(meter: &Meter) {
    let _ = HISTOGRAMS.set(Work::ALL.map(|work| work.histogram(meter)));
}
