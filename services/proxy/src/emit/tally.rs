//! Distributions of ended requests for `/metrics`: duration, first token, tokens and
//! overhead, by upstream, dialect, model and outcome. Filled by the delivery thread from
//! the events, so that the forwarding threads have no work with it. The number of models
//! and of label sets is limited; what is beyond shares the label `other`.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use modash_proto::v1::Outcome;
use modash_runtime::Description;
use modash_telemetry::semconv::{DURATION_BUCKETS, FIRST_TOKEN_BUCKETS, TOKEN_BUCKETS};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::exemplar::HistogramWithExemplars,
};

use super::glance::Glance;

/// Limit of models with a label of their own.
const MOST_MODELS: usize = 100;

/// Limit of label sets with a model of their own, and with a dialect of their own.
const MOST_SERIES: usize = 500;

/// The label of what is beyond a limit.
const OTHER: &str = "other";

const LABELS: [&str; 4] = ["upstream", "dialect", "model", "outcome"];
const TOKEN_LABELS: [&str; 5] = ["upstream", "dialect", "model", "outcome", "type"];

/// Upper bounds in seconds of what modash adds.
const OVERHEAD: [f64; 11] =
    [0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.1, 1.0];

const DESCRIPTIONS: [Description; 4] = [
    Description::histogram(
        "modash_proxy_request_duration_seconds",
        "Time from a request's head to the last byte for the client",
    )
    .labelled(&LABELS),
    Description::histogram(
        "modash_proxy_time_to_first_token_seconds",
        "Time from a request's head to the first generated content of a stream",
    )
    .labelled(&LABELS),
    Description::histogram(
        "modash_proxy_overhead_seconds",
        "Time that modash adds before the upstream has the request: from its head to its \
         being sent, without connecting",
    )
    .labelled(&LABELS),
    Description::histogram(
        "modash_proxy_request_tokens",
        "Tokens of a request; type is input (cached ones included) or output (reasoning included)",
    )
    .labelled(&TOKEN_LABELS),
];

/// What is said of these metrics.
pub(crate) fn descriptions() -> &'static [Description] {
    &DESCRIPTIONS
}

/// Distributions of the requests of all cores since the start.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By upstream, dialect, model and outcome, with NUL between them.
    series: HashMap<Box<str>, Series>,
    models: HashSet<Box<str>>,
    key: String,
}

type Exemplar = [(&'static str, String); 1];
type Histogram = HistogramWithExemplars<Exemplar>;

#[derive(Debug)]
struct Series {
    labels: [String; 4],
    duration: Histogram,
    first_token: Histogram,
    overhead: Histogram,
    input: Histogram,
    output: Histogram,
}

impl Tally {
    /// Adds the events of requests that ended.
    pub(super) fn add<'e>(&self, events: impl Iterator<Item = Glance<'e>>) {
        let mut inner = self.inner();
        events.for_each(|event| inner.add(&event));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, event: &Glance<'_>) {
        let model = self.model(event);
        let mut labels = [event.upstream, event.dialect, model, outcome(event.outcome)];
        self.write_key(&labels);
        // At the limit the model gives way, then the dialect; upstreams and outcomes
        // are few.
        for given_up in [2, 1] {
            if self.has_room() {
                break;
            }
            labels[given_up] = OTHER;
            self.write_key(&labels);
        }
        match self.series.get(self.key.as_str()) {
            Some(series) => series.add(event),
            None => {
                let series = Series::new(labels);
                series.add(event);
                self.series.insert(self.key.as_str().into(), series);
            }
        }
    }

    /// The model's label. Only models that an upstream answered for get one: clients
    /// may name anything.
    fn model<'e>(&mut self, event: &Glance<'e>) -> &'e str {
        let Some(model) = event.model else { return "" };
        if self.models.contains(model) {
            return model;
        }
        if event.status.is_none_or(|status| status >= 400) || self.models.len() >= MOST_MODELS {
            return OTHER;
        }
        self.models.insert(model.into());
        model
    }

    fn has_room(&self) -> bool {
        self.series.len() < MOST_SERIES || self.series.contains_key(self.key.as_str())
    }

    fn write_key(&mut self, labels: &[&str; 4]) {
        self.key.clear();
        for label in labels {
            self.key.push_str(label);
            self.key.push('\0');
        }
    }
}

impl Series {
    fn new(labels: [&str; 4]) -> Self {
        let histogram = |bounds: &'static [f64]| Histogram::new(bounds.iter().copied());
        Self {
            labels: labels.map(str::to_owned),
            duration: histogram(&DURATION_BUCKETS),
            first_token: histogram(&FIRST_TOKEN_BUCKETS),
            overhead: histogram(&OVERHEAD),
            input: histogram(&TOKEN_BUCKETS),
            output: histogram(&TOKEN_BUCKETS),
        }
    }

    fn add(&self, event: &Glance<'_>) {
        let seconds = |micros: u64| micros as f64 / 1e6;
        // Only a trace that can be looked up is an example.
        let sampled = event.span_id.and(event.trace_id);
        for (histogram, value) in [
            (&self.duration, event.duration.map(seconds)),
            (&self.first_token, event.first_token.map(seconds)),
            (&self.overhead, event.overhead().map(seconds)),
            (&self.input, event.prompt_tokens.map(|tokens| tokens as f64)),
            (&self.output, event.completion_tokens.map(|tokens| tokens as f64)),
        ] {
            if let Some(value) = value {
                let exemplar = sampled.map(|trace_id| [("trace_id", trace_id.to_owned())]);
                histogram.observe(value, exemplar, None);
            }
        }
    }

    fn labels(&self) -> [(&'static str, &str); 4] {
        std::array::from_fn(|at| (LABELS[at], self.labels[at].as_str()))
    }
}

/// The outcome as a label: `ok`, `http_error`.
fn outcome(number: u64) -> &'static str {
    let outcome = i32::try_from(number).ok().and_then(|number| Outcome::try_from(number).ok());
    match outcome.unwrap_or_default() {
        Outcome::Unspecified => OTHER,
        Outcome::Ok => "ok",
        Outcome::HttpError => "http_error",
        Outcome::StreamError => "stream_error",
        Outcome::Empty => "empty",
        Outcome::Truncated => "truncated",
        Outcome::ClientClosed => "client_closed",
        Outcome::UpstreamUnreachable => "upstream_unreachable",
        Outcome::UpstreamTimeout => "upstream_timeout",
        Outcome::Interrupted => "interrupted",
    }
}

/// Shows a tally.
#[derive(Debug)]
pub(crate) struct TallyMetrics(pub(crate) Arc<Tally>);

impl Collector for TallyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let inner = self.0.inner();
        if inner.series.is_empty() {
            return Ok(());
        }
        let of_requests: [fn(&Series) -> &Histogram; 3] =
            [|series| &series.duration, |series| &series.first_token, |series| &series.overhead];
        for (about, histogram) in DESCRIPTIONS.iter().zip(of_requests) {
            let mut encoder = about.begin(&mut encoder)?;
            for series in inner.series.values() {
                histogram(series).encode(encoder.encode_family(&series.labels())?)?;
            }
        }
        let mut encoder = DESCRIPTIONS[3].begin(&mut encoder)?;
        for series in inner.series.values() {
            for (kind, histogram) in [("input", &series.input), ("output", &series.output)] {
                let [upstream, dialect, model, outcome] = series.labels();
                let labels = [upstream, dialect, model, outcome, (TOKEN_LABELS[4], kind)];
                histogram.encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::usage_event::EncodedEvent;
    use modash_proto::{duration_from_micros, v1::UsageEvent};
    use modash_runtime::Metrics;
    use prost::Message as _;

    use super::*;

    fn event(model: &str, status: u32) -> UsageEvent {
        UsageEvent {
            upstream: "default".to_owned(),
            dialect: "openai-chat".to_owned(),
            model: Some(model.to_owned()),
            status: Some(status),
            outcome: if status < 400 { Outcome::Ok } else { Outcome::HttpError }.into(),
            prompt_tokens: Some(20),
            completion_tokens: Some(5),
            connect: Some(duration_from_micros(900)),
            upstream_sent: Some(duration_from_micros(940)),
            first_token: Some(duration_from_micros(30_000)),
            duration: Some(duration_from_micros(500_000)),
            ..UsageEvent::default()
        }
    }

    fn text(events: impl IntoIterator<Item = UsageEvent>) -> String {
        let tally = Arc::new(Tally::default());
        let events: Vec<EncodedEvent> =
            events.into_iter().map(|event| event.encode_to_vec().into()).collect();
        tally.add(events.iter().filter_map(|event| Glance::read(event)));
        let metrics = Metrics::default();
        metrics.add_collector(Box::new(TallyMetrics(tally)));
        metrics.text()
    }

    #[test]
    fn a_request_is_in_the_buckets_of_its_values() {
        let text = text([event("m", 200)]);
        let labels = r#"upstream="default",dialect="openai-chat",model="m",outcome="ok""#;
        for line in [
            format!(r#"modash_proxy_request_duration_seconds_bucket{{le="0.32",{labels}}} 0"#),
            format!(r#"modash_proxy_request_duration_seconds_bucket{{le="0.64",{labels}}} 1"#),
            format!("modash_proxy_request_duration_seconds_sum{{{labels}}} 0.5"),
            format!("modash_proxy_time_to_first_token_seconds_sum{{{labels}}} 0.03"),
            format!("modash_proxy_overhead_seconds_sum{{{labels}}} 0.00004"),
            format!(r#"modash_proxy_request_tokens_sum{{{labels},type="input"}} 20.0"#),
            format!(r#"modash_proxy_request_tokens_sum{{{labels},type="output"}} 5.0"#),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
        }
    }

    #[test]
    fn a_sampled_request_is_an_exemplar_of_its_buckets() {
        let sampled = UsageEvent {
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
            span_id: Some(1),
            ..event("m", 200)
        };
        let text = text([event("m", 200), sampled]);
        let bucket = r#"_duration_seconds_bucket{le="0.64","#;
        let line = text.lines().find(|line| line.contains(bucket)).unwrap();
        let exemplar = r#" 2 # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 0.5"#;
        assert!(line.ends_with(exemplar), "{line}");
    }

    #[test]
    fn models_beyond_the_limit_and_models_that_nobody_has_share_a_label() {
        let many = (0..MOST_MODELS + 50).map(|at| event(&format!("m{at}"), 200));
        let made_up = (0..1_000).map(|at| event(&format!("none{at}"), 404));
        let text = text(made_up.chain(many));
        let counts = |outcome: &str| {
            let count = format!(r#"model="other",outcome="{outcome}"}}"#);
            let line = text.lines().find(|line| {
                line.starts_with("modash_proxy_request_duration_seconds_count")
                    && line.contains(&count)
            });
            line.and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned()
        };
        assert_eq!((counts("ok"), counts("http_error")), ("50".to_owned(), "1000".to_owned()));
    }

    #[test]
    fn label_sets_are_limited_and_no_request_is_left_out() {
        let upstreams = (0..MOST_SERIES * 3).map(|at| UsageEvent {
            dialect: format!("d{at}"),
            ..event(&format!("m{}", at % 50), 200)
        });
        let text = text(upstreams);
        let counts: Vec<u64> = text
            .lines()
            .filter(|line| line.starts_with("modash_proxy_request_duration_seconds_count"))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        assert!(counts.len() <= MOST_SERIES + 1, "{} label sets", counts.len());
        assert_eq!(counts.iter().sum::<u64>(), MOST_SERIES as u64 * 3);
    }
}
