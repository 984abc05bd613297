//! The standard variables, as far as the exporters do not read them by themselves.

use std::time::Duration;

use crate::{ContextHeaders, Sampler};

/// What the environment says. Endpoints, headers, compression and temporality are read
/// by the exporters, span limits and the resource's attributes by the SDK.
#[derive(Debug, Clone)]
pub struct Environment {
    /// How traces are exported; `None`: they are not.
    pub(crate) traces: Option<Signal>,
    /// How metrics are exported; `None`: they are not.
    pub(crate) metrics: Option<Signal>,
    /// `OTEL_SERVICE_NAME`, else the one of `OTEL_RESOURCE_ATTRIBUTES`.
    pub(crate) service_name: Option<String>,
    /// Which requests are traced.
    pub(crate) sampler: Sampler,
    /// How trace context is written in headers.
    pub(crate) context_headers: ContextHeaders,
    /// Spans that may wait for the collector.
    pub(crate) max_queue: usize,
    /// Spans of one request to the collector.
    pub(crate) max_batch: usize,
    /// How long spans are gathered for a batch.
    pub(crate) schedule_delay: Duration,
    /// Pause between exports of metrics.
    pub(crate) metric_interval: Duration,
    /// Values that are not understood, for each of which the usual one is taken, as the
    /// specification asks for.
    pub(crate) problems: Vec<String>,
}

/// How one signal is exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(crate) protocol: Protocol,
    /// Whether the endpoint is spoken to by TLS.
    pub(crate) secure: bool,
    /// Longest time for one batch, repeats included.
    pub(crate) timeout: Duration,
    /// Files: certificate authorities, and the client's own certificate with its key.
    pub(crate) authorities: Option<String>,
    pub(crate) client: Option<(String, String)>,
}

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    HttpProtobuf,
}

impl Environment {
    /// Reads variables by name.
    pub fn from(get: impl Fn(&str) -> Option<String>) -> Self {
        let mut source = Source { get: &get, problems: Vec::new() };
        let source = &mut source;
        let name_in_attributes = || {
            let attributes = source.get("OTEL_RESOURCE_ATTRIBUTES")?;
            let mut pairs = attributes.split(',').filter_map(|pair| pair.split_once('='));
            pairs.find(|pair| pair.0.trim() == "service.name").map(|pair| pair.1.trim().to_owned())
        };
        let service_name = source.get("OTEL_SERVICE_NAME").or_else(name_in_attributes);
        let (sampler, problem) = Sampler::from_texts(
            source.get("OTEL_TRACES_SAMPLER").as_deref(),
            source.get("OTEL_TRACES_SAMPLER_ARG").as_deref(),
        );
        source.problems.extend(problem.map(str::to_owned));
        let list = source.get("OTEL_PROPAGATORS");
        let (context_headers, unknown) = ContextHeaders::from_list(list.as_deref());
        for name in unknown {
            source.problems.push(format!("OTEL_PROPAGATORS: {name:?} is not known; ignored"));
        }
        let max_queue = source.number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048).min(1 << 17);
        let max_batch = source.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512).min(max_queue);
        Self {
            traces: source.signal("TRACES"),
            metrics: source.signal("METRICS"),
            service_name,
            sampler,
            context_headers,
            max_queue: max_queue as usize,
            max_batch: max_batch as usize,
            schedule_delay: source.millis("OTEL_BSP_SCHEDULE_DELAY", 5_000),
            metric_interval: source.millis("OTEL_METRIC_EXPORT_INTERVAL", 60_000),
            problems: std::mem::take(&mut source.problems),
        }
    }
}

/// Variables by name, and what was wrong with them.
struct Source<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl Source<'_> {
    /// An empty value counts as not set.
    fn get(&self, name: &str) -> Option<String> {
        (self.get)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// `OTEL_EXPORTER_OTLP_<signal>_<name>`, else that of all signals.
    fn of(&self, signal: &str, name: &str) -> Option<String> {
        self.get(&format!("OTEL_EXPORTER_OTLP_{signal}_{name}"))
            .or_else(|| self.get(&format!("OTEL_EXPORTER_OTLP_{name}")))
    }

    fn number(&mut self, name: &str, usual: u64) -> u64 {
        let Some(text) = self.get(name) else { return usual };
        text.parse().ok().filter(|number| *number > 0).unwrap_or_else(|| {
            self.problems.push(format!("{name}: not a number above 0; taking {usual}"));
            usual
        })
    }

    fn millis(&mut self, name: &str, usual: u64) -> Duration {
        // A day at most.
        Duration::from_millis(self.number(name, usual).min(86_400_000))
    }

    /// Off unless an endpoint is set or the exporter is asked for.
    fn signal(&mut self, signal: &str) -> Option<Signal> {
        if self.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let endpoint = self.of(signal, "ENDPOINT");
        match self.get(&format!("OTEL_{signal}_EXPORTER")).as_deref() {
            Some("otlp") => {}
            None if endpoint.is_some() => {}
            None | Some("none") => return None,
            Some(_) => {
                self.problems.push(format!(
                    "OTEL_{signal}_EXPORTER: only otlp and none are known; nothing is exported"
                ));
                return None;
            }
        }
        let protocol = match self.of(signal, "PROTOCOL").as_deref() {
            Some("grpc") => Protocol::Grpc,
            None | Some("http/protobuf") => Protocol::HttpProtobuf,
            Some(_) => {
                self.problems.push(
                    "OTEL_EXPORTER_OTLP_PROTOCOL: only grpc and http/protobuf are known; taking \
                     http/protobuf"
                        .to_owned(),
                );
                Protocol::HttpProtobuf
            }
        };
        let general = self.number("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000);
        let client = self.of(signal, "CLIENT_CERTIFICATE").zip(self.of(signal, "CLIENT_KEY"));
        Some(Signal {
            protocol,
            secure: endpoint.is_some_and(|url| url.starts_with("https:")),
            timeout: self.millis(&format!("OTEL_EXPORTER_OTLP_{signal}_TIMEOUT"), general),
            authorities: self.of(signal, "CERTIFICATE"),
            client,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::from(|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    #[test]
    fn nothing_is_on_without_an_endpoint_and_all_of_it_with_one() {
        let off = environment(&[]);
        assert!(off.traces.is_none() && off.metrics.is_none() && off.problems.is_empty());
        let on = environment(&[ENDPOINT]);
        assert!(on.traces.is_some() && on.metrics.is_some());
        let disabled = environment(&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")]);
        assert!(disabled.traces.is_none() && disabled.metrics.is_none());
        let asked = environment(&[("OTEL_TRACES_EXPORTER", "otlp")]);
        assert!(asked.traces.is_some() && asked.metrics.is_none());
    }

    #[test]
    fn each_signal_has_its_own_endpoint_protocol_and_certificates() {
        let found = environment(&[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://127.0.0.1:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "3000"),
        ]);
        let expected = Signal {
            protocol: Protocol::Grpc,
            secure: true,
            timeout: Duration::from_secs(3),
            authorities: Some("ca.pem".to_owned()),
            client: None,
        };
        assert_eq!((found.traces, found.metrics), (Some(expected), None));
        let none = environment(&[ENDPOINT, ("OTEL_METRICS_EXPORTER", "none")]);
        assert!(none.traces.is_some() && none.metrics.is_none());
    }

    #[test]
    fn a_value_that_is_not_understood_counts_as_not_set_and_is_said() {
        let found = environment(&[
            ENDPOINT,
            ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
            ("OTEL_PROPAGATORS", "jaeger"),
            ("OTEL_TRACES_SAMPLER", "coin"),
        ]);
        assert_eq!(found.max_queue, 2_048);
        assert_eq!(found.problems.len(), 3, "{:?}", found.problems);
    }

    #[test]
    fn the_service_is_named_by_its_own_variable_or_among_the_attributes() {
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=a, service.name=b");
        assert_eq!(environment(&[attributes]).service_name.as_deref(), Some("b"));
        let both = environment(&[attributes, ("OTEL_SERVICE_NAME", "c")]);
        assert_eq!(both.service_name.as_deref(), Some("c"));
    }
}
