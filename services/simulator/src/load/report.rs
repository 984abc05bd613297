//! What a load gave, as JSON for scripts and as text for people.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    time::Duration,
};

use serde::Serialize;

use super::{
    Arrival, LoadPlan, Processes,
    meters::{Durations, Failure, Meters},
};

/// What a load gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadReport {
    /// Where it was sent.
    pub url: String,
    /// Connections that sent.
    pub connections: usize,
    /// Requests that were due per second; absent in a closed loop.
    pub due_per_second: Option<f64>,
    /// How long it took, in seconds, the last answers included.
    pub seconds: f64,
    /// Exchanges with a complete and right answer.
    pub answered: u64,
    /// Those per second.
    pub answered_per_second: f64,
    /// Exchanges without one.
    pub failures: Failures,
    /// Bytes of the bodies of all answers.
    pub body_bytes: u64,
    /// Pieces in which these came: for streams about the number of events.
    pub body_pieces: u64,
    /// From when a request was due to the last byte of its answer: in an open
    /// loop corrected for requests that a stalled server held back.
    pub latency_ms: Latency,
    /// The same from when it was sent, without that correction.
    pub service_ms: Latency,
    /// From sending to the response head.
    pub head_ms: Latency,
    /// From sending to the first bytes of the body.
    pub first_byte_ms: Latency,
    /// Between one piece of a body and the next.
    pub gap_ms: Latency,
    /// What the watched processes used.
    pub processes: Processes,
}

/// Failed exchanges by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Failures {
    /// All of them.
    pub total: u64,
    /// No connection.
    pub connect: u64,
    /// The connection broke off.
    pub broken: u64,
    /// No complete answer in time.
    pub timeout: u64,
    /// An answer that differs from the expected one.
    pub mismatch: u64,
    /// A status other than success, by status.
    pub status: BTreeMap<u16, u64>,
    /// One of each kind in words.
    pub examples: Vec<String>,
}

/// Durations in milliseconds; quantiles within 2 %; absent without any value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names are their meaning")]
pub struct Latency {
    pub mean: Option<f64>,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub max: Option<f64>,
}

impl From<&Durations> for Latency {
    fn from(durations: &Durations) -> Self {
        let mean = durations.mean_ms();
        Self {
            mean,
            p50: durations.quantile_ms(0.5),
            p90: durations.quantile_ms(0.9),
            p95: durations.quantile_ms(0.95),
            p99: durations.quantile_ms(0.99),
            p999: durations.quantile_ms(0.999),
            max: mean.map(|_| durations.max_ms()),
        }
    }
}

impl LoadReport {
    pub(super) fn new(
        plan: &LoadPlan,
        meters: &Meters,
        elapsed: Duration,
        processes: Processes,
    ) -> Self {
        let seconds = elapsed.as_secs_f64();
        Self {
            url: plan.url.to_string(),
            connections: plan.connections,
            due_per_second: match plan.arrival {
                Arrival::Closed => None,
                Arrival::Open { per_second } => Some(per_second),
            },
            seconds,
            answered: meters.answered(),
            answered_per_second: meters.answered() as f64 / seconds.max(1e-9),
            failures: Failures::from(&meters.failures),
            body_bytes: meters.bytes,
            body_pieces: meters.pieces,
            latency_ms: Latency::from(&meters.latency),
            service_ms: Latency::from(&meters.service),
            head_ms: Latency::from(&meters.head),
            first_byte_ms: Latency::from(&meters.first_byte),
            gap_ms: Latency::from(&meters.gaps),
            processes,
        }
    }
}

impl From<&BTreeMap<Failure, u64>> for Failures {
    fn from(counts: &BTreeMap<Failure, u64>) -> Self {
        let mut failures = Self::default();
        let mut kinds = Vec::new();
        for (failure, count) in counts {
            failures.total += count;
            match failure {
                Failure::Connect(_) => failures.connect += count,
                Failure::Broken(_) => failures.broken += count,
                Failure::Timeout => failures.timeout += count,
                Failure::Mismatch(_) => failures.mismatch += count,
                Failure::Status(status) => {
                    *failures.status.entry(*status).or_default() += count;
                }
            }
            let kind = std::mem::discriminant(failure);
            if !kinds.contains(&kind) {
                kinds.push(kind);
                failures.examples.push(failure.to_string());
            }
        }
        failures
    }
}

impl Display for LoadReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.url)?;
        let due = match self.due_per_second {
            Some(rate) => format!("{rate} requests/s due"),
            None => "closed loop".to_owned(),
        };
        writeln!(f, "  {} connections, {due}, {:.2} s", self.connections, self.seconds)?;
        writeln!(
            f,
            "  {} answered ({:.1}/s), {} failed, {} body bytes in {} pieces",
            self.answered,
            self.answered_per_second,
            self.failures.total,
            self.body_bytes,
            self.body_pieces
        )?;
        for example in &self.failures.examples {
            writeln!(f, "  failure: {example}")?;
        }
        let columns = ["mean", "p50", "p90", "p95", "p99", "p99.9", "max"];
        writeln!(f, "  {:<12}{}", "ms", columns.map(|name| format!("{name:>10}")).concat())?;
        let mut lines = vec![("latency", &self.latency_ms)];
        if self.due_per_second.is_some() {
            lines.push(("uncorrected", &self.service_ms));
        }
        lines.extend([("head", &self.head_ms), ("first byte", &self.first_byte_ms)]);
        lines.push(("gap", &self.gap_ms));
        for (name, latency) in lines {
            writeln!(f, "  {name:<12}{latency}")?;
        }
        for (pid, used) in &self.processes {
            writeln!(
                f,
                "  process {pid}: {:.2} s of cpu ({:.2} cores, {} µs per request), {:.1} MiB resident, {:.1} at most",
                used.cpu_seconds,
                used.cores,
                used.cpu_microseconds_per_request
                    .map_or("-".to_owned(), |time| format!("{time:.1}")),
                mebibytes(used.resident_bytes),
                mebibytes(used.peak_resident_bytes)
            )?;
        }
        Ok(())
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Display for Latency {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for value in [self.mean, self.p50, self.p90, self.p95, self.p99, self.p999, self.max] {
            match value {
                Some(value) => write!(f, "{value:>10.3}")?,
                None => write!(f, "{:>10}", "-")?,
            }
        }
        Ok(())
    }
}
