//! Which loads are sent, and what may come of them (design, section 12).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE};
use modash_simulator::{Arrival, Check, LoadPlan};

use crate::{Outcome, target::Target};

/// One load, sent to every target alike.
pub(crate) struct Scenario {
    /// Short name, for the command line.
    pub(crate) name: &'static str,
    /// What it is, for the table.
    pub(crate) title: &'static str,
    /// What one figure of it is.
    pub(crate) measure: Measure,
    /// What is wanted.
    pub(crate) goals: &'static [Goal],
    connections: usize,
    requests: Option<u64>,
    stream: bool,
    prompt_bytes: usize,
    headers: &'static [(&'static str, &'static str)],
}

/// What one round gives as its figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Measure {
    /// Processor time of a request, µs.
    CpuPerRequest,
    /// Processor time of one event of a stream, µs, with so many a request.
    CpuPerEvent(f64),
    /// From sending to the first bytes of the body, the slowest percent, ms.
    FirstByte,
    /// Resident memory over that before the load, KiB a connection.
    MemoryPerConnection,
    /// Resident memory over that before the load, MiB in all.
    Memory,
}

/// A limit of a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// Of the figure divided by that of this target.
    Ratio(&'static str, f64),
    /// Of the figure less that of this target.
    Over(&'static str, f64),
    /// Of the figure itself.
    AtMost(f64),
}

impl Measure {
    /// Its unit.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::CpuPerRequest => "µs of CPU a request",
            Self::CpuPerEvent(_) => "µs of CPU an event",
            Self::FirstByte => "ms to the first byte, P99",
            Self::MemoryPerConnection => "KiB an open stream",
            Self::Memory => "MiB more than idle",
        }
    }

    /// Whether the server itself has such a figure.
    pub(crate) fn is_of_direct(self) -> bool {
        self == Self::FirstByte
    }
}

/// All loads. Memory comes first, while processes are fresh.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "memory",
        title: "2,000 open streams",
        measure: Measure::MemoryPerConnection,
        goals: &[Goal::AtMost(24.0)],
        connections: 2_000,
        requests: Some(2_000),
        stream: true,
        prompt_bytes: 0,
        headers: &[("x-simulate-output-tokens", "10"), ("x-simulate-token-interval-ms", "800")],
    },
    Scenario {
        name: "huge",
        title: "100 MB up and 100 MB down, 4 at a time",
        measure: Measure::Memory,
        goals: &[Goal::AtMost(16.0)],
        connections: 4,
        requests: Some(8),
        stream: false,
        prompt_bytes: 100_000_000,
        headers: &[("x-simulate-body-bytes", "100000000")],
    },
    Scenario {
        name: "small",
        title: "small requests",
        measure: Measure::CpuPerRequest,
        goals: &[Goal::Ratio("nginx", 1.0), Goal::Ratio("bare hyper", 1.15)],
        connections: 32,
        requests: None,
        stream: false,
        prompt_bytes: 0,
        headers: &[],
    },
    Scenario {
        name: "streams",
        title: "streams of 200 events as fast as possible",
        measure: Measure::CpuPerEvent(200.0),
        goals: &[Goal::Ratio("nginx", 1.3)],
        connections: 16,
        requests: None,
        stream: true,
        prompt_bytes: 0,
        headers: &[("x-simulate-output-tokens", "200")],
    },
    Scenario {
        name: "paced",
        title: "200 streams with an event every 20 ms",
        measure: Measure::CpuPerEvent(100.0),
        goals: &[Goal::Ratio("nginx", 1.05)],
        connections: 200,
        requests: None,
        stream: true,
        prompt_bytes: 0,
        headers: &[("x-simulate-output-tokens", "100"), ("x-simulate-token-interval-ms", "20")],
    },
    Scenario {
        name: "first-token",
        title: "200 streams with an event every 20 ms",
        measure: Measure::FirstByte,
        goals: &[Goal::Over("direct", 0.3)],
        connections: 200,
        requests: None,
        stream: true,
        prompt_bytes: 0,
        headers: &[("x-simulate-output-tokens", "50"), ("x-simulate-token-interval-ms", "20")],
    },
    Scenario {
        name: "large",
        title: "100 KB up, 1 MB down",
        measure: Measure::CpuPerRequest,
        goals: &[Goal::Ratio("nginx", 0.75)],
        connections: 8,
        requests: None,
        stream: false,
        prompt_bytes: 100_000,
        headers: &[("x-simulate-body-bytes", "1000000")],
    },
];

impl Scenario {
    /// The load for one target. Every body is compared with the server's own.
    pub(crate) fn plan(
        &self,
        target: &Target,
        server: &Target,
        time: Duration,
    ) -> Outcome<LoadPlan> {
        let url =
            |target: &Target| format!("http://{}/v1/chat/completions", target.address).parse();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in self.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let (stream, words) = (self.stream, "Say something. ");
        let prompt = words.repeat(1 + self.prompt_bytes / words.len());
        let body = format!(
            r#"{{"model":"qwen3-8b","stream":{stream},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
        );
        let warm = if self.requests.is_some() { Duration::ZERO } else { time / 4 };
        Ok(LoadPlan {
            url: url(target)?,
            method: Method::POST,
            headers,
            body: body.into(),
            http2: false,
            connections: self.connections,
            arrival: Arrival::Closed,
            duration: if self.requests.is_some() { Duration::from_secs(120) } else { time },
            requests: self.requests,
            warmup: warm,
            timeout: Duration::from_secs(120),
            check: Check::AnswerOf(url(server)?),
            pids: target.pid.into_iter().collect(),
        })
    }

    /// How many connections it opens.
    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    /// Whether it is told apart by what processes had before it: one round then,
    /// since a process keeps memory for the next time.
    pub(crate) fn is_of_memory(&self) -> bool {
        matches!(self.measure, Measure::Memory | Measure::MemoryPerConnection)
    }
}
