//! The registry of metrics, and its text form for Prometheus.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::{
    collector::Collector, encoding::text::encode, registry::Metric, registry::Registry,
};

/// Metrics of the process; names begin with `modash_`. Clones share it.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { registry: Arc::new(Mutex::new(Registry::with_prefix("modash"))) }
    }
}

impl Metrics {
    /// Adds a metric as `modash_<name>` (counters get `_total`) and hands it
    /// back.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.with(|registry| registry.register(name, help, metric.clone()));
        metric
    }

    /// Adds something that makes its metrics when they are asked for.
    pub fn register_collector(&self, collector: Box<dyn Collector>) {
        self.with(|registry| registry.register_collector(collector));
    }

    /// All metrics in the OpenMetrics text format 1.0.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail; a collector that fails leaves the
        // text cut short, which a scraper reports.
        let _ = self.with(|registry| encode(&mut text, registry));
        text
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Registry) -> T) -> T {
        use_it(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn a_registered_counter_is_in_the_text_under_the_common_prefix() {
        let metrics = Metrics::default();
        let requests: Counter = metrics.register("proxy_requests", "Requests", Counter::default());
        requests.inc_by(3);
        assert!(metrics.text().contains("modash_proxy_requests_total 3"), "{}", metrics.text());
    }
}
