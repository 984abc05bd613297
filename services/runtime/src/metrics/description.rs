//! What is said of a metric: name, kind, labels, help.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder},
    metrics::MetricType,
    registry::Unit,
};

/// One metric, as queries and `docs/metrics.md` know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// Name without the suffixes that the format adds (`_total`, `_bucket`, `_info`). A
    /// unit is its last part: `_seconds` or `_bytes`.
    pub name: &'static str,
    /// What kind of values it has.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts, without a full stop.
    pub help: &'static str,
}

/// Kind of a metric, of those that OpenMetrics knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up; begins at 0 with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by their size.
    Histogram,
    /// Has labels only, and the value 1.
    Info,
}

impl Description {
    /// A counter; its samples end in `_total`.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, labels: &[], help }
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, labels: &[], help }
    }

    /// A histogram; its samples end in `_bucket`, `_sum` and `_count`.
    #[must_use]
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, labels: &[], help }
    }

    /// An info; its sample ends in `_info`.
    #[must_use]
    pub const fn info(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Info, labels: &[], help }
    }

    /// The same with labels.
    #[must_use]
    pub const fn labelled(mut self, labels: &'static [&'static str]) -> Self {
        self.labels = labels;
        self
    }

    /// The unit that the name ends with.
    #[must_use]
    pub fn unit(&self) -> Option<&'static Unit> {
        match self.name.rsplit('_').next() {
            Some("seconds") => Some(&Unit::Seconds),
            Some("bytes") => Some(&Unit::Bytes),
            _ => None,
        }
    }

    /// The name without its unit, which the encoder appends.
    #[must_use]
    pub fn stem(&self) -> &'static str {
        let suffix = self.unit().map_or("", Unit::as_str);
        self.name.strip_suffix(suffix).map_or(self.name, |stem| stem.trim_end_matches('_'))
    }

    /// Begins to write it, for a collector.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn begin<'e>(
        &self,
        encoder: &'e mut DescriptorEncoder<'_>,
    ) -> Result<MetricEncoder<'e>, fmt::Error> {
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        };
        // A registry writes the full stop of its own metrics.
        let help = format!("{}.", self.help);
        encoder.encode_descriptor(self.stem(), &help, self.unit(), kind)
    }

    /// Names of its samples, as a scraper stores them.
    #[must_use]
    pub fn samples(&self) -> Vec<String> {
        let suffixes: &[&str] = match self.kind {
            Kind::Counter => &["_total"],
            Kind::Gauge => &[""],
            Kind::Histogram => &["_bucket", "_sum", "_count"],
            Kind::Info => &["_info"],
        };
        suffixes.iter().map(|suffix| format!("{}{suffix}", self.name)).collect()
    }
}
