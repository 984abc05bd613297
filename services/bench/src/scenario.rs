//! Which loads are sent, and what may come of them (design, section 12).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE};
use modash_simulator::{Arrival, Check, LoadPlan};

use crate::{Outcome, target::Target};

/// How long a number of requests may take.
const LONGEST: Duration = Duration::from_secs(120);

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
    /// Requests due in a second; none: each connection sends as soon as it has its answer.
    per_second: Option<f64>,
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
    /// From sending to the first bytes of the body, µs.
    FirstChunk(Quantile),
    /// Instructions of a request in user space, of the thread that forwards, as callgrind
    /// counts them.
    Instructions,
    /// Resident memory over that before the load, KiB a connection.
    MemoryPerConnection,
    /// Resident memory over that before the load, MiB in all.
    Memory,
}

/// Which of many durations is the figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantile {
    /// The median.
    P50,
    /// The longest but one percent.
    P99,
}

/// A limit of a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// Of the figure divided by that of this target.
    Ratio(&'static str, f64),
    /// Of the figure itself.
    AtMost(f64),
}

impl Measure {
    /// Its unit.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::CpuPerRequest => "µs of CPU a request",
            Self::CpuPerEvent(_) => "µs of CPU an event",
            Self::FirstChunk(Quantile::P50) => "µs to the first chunk, P50",
            Self::FirstChunk(Quantile::P99) => "µs to the first chunk, P99",
            Self::Instructions => "instructions a request",
            Self::MemoryPerConnection => "KiB an open stream",
            Self::Memory => "MiB more than idle",
        }
    }

    /// Whether the server itself has such a figure.
    pub(crate) fn is_of_direct(self) -> bool {
        matches!(self, Self::FirstChunk(_))
    }
}

/// What most loads have in common.
const PLAIN: Scenario = Scenario {
    name: "",
    title: "",
    measure: Measure::CpuPerRequest,
    goals: &[],
    connections: 64,
    requests: None,
    per_second: None,
    stream: false,
    prompt_bytes: 0,
    headers: &[],
};

/// Streams that begin at a rate that keeps nobody waiting.
const FIRST_CHUNK: Scenario = Scenario {
    title: "200 streams a second, none waits for another",
    // What goes to the server itself is in both: less than nginx is less added.
    goals: &[Goal::Ratio("nginx", 1.0)],
    connections: 8,
    per_second: Some(200.0),
    stream: true,
    headers: &[("x-simulate-output-tokens", "3")],
    ..PLAIN
};

/// All loads. Memory comes first, while processes are fresh.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "memory",
        title: "2,000 open streams",
        measure: Measure::MemoryPerConnection,
        goals: &[Goal::AtMost(8.0)],
        connections: 2_000,
        requests: Some(2_000),
        stream: true,
        headers: &[("x-simulate-output-tokens", "10"), ("x-simulate-token-interval-ms", "800")],
        ..PLAIN
    },
    Scenario {
        name: "huge",
        title: "100 MB up and 100 MB down, 4 at a time",
        measure: Measure::Memory,
        goals: &[Goal::AtMost(16.0)],
        connections: 4,
        requests: Some(8),
        prompt_bytes: 100_000_000,
        headers: &[("x-simulate-body-bytes", "100000000")],
        ..PLAIN
    },
    Scenario {
        name: "small",
        title: "small requests",
        goals: &[Goal::Ratio("nginx", 0.8), Goal::Ratio("bare hyper", 1.0)],
        ..PLAIN
    },
    Scenario {
        name: "instructions",
        title: "small requests, one after the other",
        measure: Measure::Instructions,
        goals: &[Goal::AtMost(16_000.0)],
        ..PLAIN
    },
    Scenario {
        name: "rate",
        title: "500 small requests a second",
        goals: &[Goal::Ratio("nginx", 1.2)],
        per_second: Some(500.0),
        ..PLAIN
    },
    Scenario {
        name: "streams",
        title: "streams of 200 events as fast as possible",
        measure: Measure::CpuPerEvent(200.0),
        goals: &[Goal::Ratio("nginx", 1.2)],
        connections: 16,
        stream: true,
        headers: &[("x-simulate-output-tokens", "200")],
        ..PLAIN
    },
    Scenario {
        name: "paced",
        title: "200 streams with an event every 20 ms",
        measure: Measure::CpuPerEvent(100.0),
        goals: &[Goal::Ratio("nginx", 0.95)],
        connections: 200,
        stream: true,
        headers: &[("x-simulate-output-tokens", "100"), ("x-simulate-token-interval-ms", "20")],
        ..PLAIN
    },
    Scenario {
        name: "first-chunk-p50",
        measure: Measure::FirstChunk(Quantile::P50),
        ..FIRST_CHUNK
    },
    Scenario {
        name: "first-chunk-p99",
        measure: Measure::FirstChunk(Quantile::P99),
        ..FIRST_CHUNK
    },
    Scenario {
        name: "large",
        title: "100 KB up, 1 MB down",
        goals: &[Goal::Ratio("nginx", 0.33)],
        connections: 8,
        prompt_bytes: 100_000,
        headers: &[("x-simulate-body-bytes", "1000000")],
        ..PLAIN
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
            arrival: self
                .per_second
                .map_or(Arrival::Closed, |per_second| Arrival::Open { per_second }),
            duration: if self.requests.is_some() { LONGEST } else { time },
            requests: self.requests,
            warmup: warm,
            timeout: LONGEST,
            check: Check::AnswerOf(url(server)?),
            pids: target.pid.into_iter().collect(),
        })
    }

    /// The same from one connection, and so many requests.
    pub(crate) fn counted(
        &self,
        target: &Target,
        server: &Target,
        requests: u64,
    ) -> Outcome<LoadPlan> {
        let plan = self.plan(target, server, Duration::ZERO)?;
        Ok(LoadPlan {
            connections: 1,
            requests: Some(requests),
            duration: LONGEST,
            warmup: Duration::ZERO,
            ..plan
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
