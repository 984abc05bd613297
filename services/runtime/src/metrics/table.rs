//! Metrics whose values somebody else holds: read from one snapshot at each scrape.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

use super::Description;

/// One metric of a table, and how its value is read from a snapshot `S`.
pub struct Row<S: 'static> {
    /// What is said of it.
    pub about: Description,
    read: Read<S>,
}

enum Read<S> {
    Count(fn(&S) -> u64),
    Sum(fn(&S) -> f64),
    Level(fn(&S) -> f64),
}

impl<S> Row<S> {
    /// A counter of whole things.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str, read: fn(&S) -> u64) -> Self {
        Self { about: Description::counter(name, help), read: Read::Count(read) }
    }

    /// A counter of seconds and the like.
    #[must_use]
    pub const fn sum(name: &'static str, help: &'static str, read: fn(&S) -> f64) -> Self {
        Self { about: Description::counter(name, help), read: Read::Sum(read) }
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str, read: fn(&S) -> f64) -> Self {
        Self { about: Description::gauge(name, help), read: Read::Level(read) }
    }
}

impl<S> fmt::Debug for Row<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.about.fmt(f)
    }
}

/// A table and the source of its snapshots.
pub(super) struct Table<S: 'static> {
    rows: &'static [Row<S>],
    snapshot: Box<dyn Fn() -> S + Send + Sync>,
}

impl<S> Table<S> {
    pub(super) fn new(
        rows: &'static [Row<S>],
        snapshot: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        Self { rows, snapshot: Box::new(snapshot) }
    }
}

impl<S> fmt::Debug for Table<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rows).finish()
    }
}

impl<S: 'static> Collector for Table<S> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = (self.snapshot)();
        for Row { about, read } in self.rows {
            match read {
                Read::Count(read) => {
                    encode(&mut encoder, about, &ConstCounter::new(read(&snapshot)))?;
                }
                Read::Sum(read) => {
                    encode(&mut encoder, about, &ConstCounter::new(read(&snapshot)))?;
                }
                Read::Level(read) => {
                    encode(&mut encoder, about, &ConstGauge::new(read(&snapshot)))?;
                }
            }
        }
        Ok(())
    }
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    about: &Description,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(about.begin(encoder)?)
}
