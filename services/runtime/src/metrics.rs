//! The registry of metrics, and its text form for Prometheus.
//!
//! Every metric is described once, in a table of its service: a [`metric_table!`] where
//! code holds the metrics and counts, a table of [`Row`]s where values are read when
//! they are asked for. `docs/metrics.md` is made from the same descriptions.

mod classic;
mod description;
mod page;
mod process;
mod table;
mod telemetry;

use std::sync::{Arc, Mutex, PoisonError};

use modash_telemetry::Telemetry;
use prometheus_client::{
    collector::Collector, encoding::text::encode, registry::Metric, registry::Registry,
};

pub use description::{Description, Kind};
pub(crate) use page::page;
pub use process::process_metrics;
pub use table::Row;

/// Metrics of one service. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    /// Adds a metric under its description and returns it.
    pub fn add<M: Metric + Clone>(&self, about: &Description, metric: M) -> M {
        let (stem, help, copy) = (about.stem(), about.help, metric.clone());
        self.with(|registry| match about.unit() {
            Some(unit) => registry.register_with_unit(stem, help, unit.clone(), copy),
            None => registry.register(stem, help, copy),
        });
        metric
    }

    /// Adds a table whose values are read from a snapshot at each scrape.
    pub fn add_table<S: 'static>(
        &self,
        rows: &'static [Row<S>],
        snapshot: impl Fn() -> S + Send + Sync + 'static,
    ) {
        self.add_collector(Box::new(table::Table::new(rows, snapshot)));
    }

    /// Adds something that makes its metrics at each scrape.
    pub fn add_collector(&self, collector: Box<dyn Collector>) {
        self.with(|registry| registry.register_collector(collector));
    }

    /// Adds what every process shows: build, start time, CPU time, memory, open files,
    /// and what became of its spans.
    pub fn add_process(&self, service: &'static str, telemetry: Option<&Telemetry>) {
        process::add(self, service);
        telemetry::add(self, telemetry.cloned());
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

/// A struct of metrics and the table that describes them. Each line is a field, its
/// type, how it begins, and its description; `register` adds all of them to a registry.
///
/// ```
/// # use prometheus_client::metrics::counter::Counter;
/// modash_runtime::metric_table! {
///     /// Counters of the kitchen.
///     pub struct KitchenMetrics {
///         pub meals: Counter = Counter::default(),
///             counter "modash_kitchen_meals" [] "Meals served";
///     }
/// }
/// let metrics = modash_runtime::Metrics::default();
/// KitchenMetrics::register(&metrics).meals.inc();
/// assert!(metrics.text().contains("modash_kitchen_meals_total 1"));
/// ```
#[macro_export]
macro_rules! metric_table {
    (
        $(#[$about:meta])*
        $vis:vis struct $table:ident {
            $($field_vis:vis $field:ident: $type:ty = $begin:expr,
                $kind:ident $name:literal [$($label:literal),*] $help:literal;)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        $vis struct $table {
            $(#[doc = $help] $field_vis $field: $type,)+
        }

        impl $table {
            /// What is said of each metric.
            $vis const DESCRIPTIONS: &'static [$crate::Description] = &[
                $($crate::Description::$kind($name, $help).labelled(&[$($label),*])),+
            ];

            /// Adds all of them to a registry.
            $vis fn register(metrics: &$crate::Metrics) -> Self {
                Self {
                    $($field: metrics.add(&$crate::Description::$kind($name, $help), $begin),)+
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

    metric_table! {
        /// Of a kitchen.
        struct Kitchen {
            meals: Counter = Counter::default(),
                counter "modash_kitchen_meals" [] "Meals served";
            oven: Gauge = Gauge::default(),
                gauge "modash_kitchen_oven_age_seconds" [] "Age of the oven";
        }
    }

    #[test]
    fn a_metric_of_a_table_has_its_name_help_and_unit() {
        let metrics = Metrics::default();
        let kitchen = Kitchen::register(&metrics);
        assert_eq!(Kitchen::DESCRIPTIONS[1].samples(), ["modash_kitchen_oven_age_seconds"]);
        kitchen.meals.inc_by(3);
        kitchen.oven.set(7);
        assert_eq!(
            metrics.text(),
            "# HELP modash_kitchen_meals Meals served.\n\
             # TYPE modash_kitchen_meals counter\n\
             modash_kitchen_meals_total 3\n\
             # HELP modash_kitchen_oven_age_seconds Age of the oven.\n\
             # TYPE modash_kitchen_oven_age_seconds gauge\n\
             # UNIT modash_kitchen_oven_age_seconds seconds\n\
             modash_kitchen_oven_age_seconds 7\n\
             # EOF\n"
        );
    }

    #[test]
    fn values_of_rows_are_read_at_each_scrape() {
        const ROWS: [Row<u64>; 3] = [
            Row::counter("modash_kitchen_orders", "Orders", |orders| *orders),
            Row::gauge("modash_kitchen_flour_bytes", "Flour", |orders| *orders as f64 / 2.0),
            Row::sum("modash_kitchen_work_seconds", "Work", |orders| *orders as f64 * 0.25),
        ];
        let metrics = Metrics::default();
        metrics.add_table(&ROWS, || 5);
        let text = metrics.text();
        for line in [
            "modash_kitchen_orders_total 5",
            "# UNIT modash_kitchen_flour_bytes bytes",
            "modash_kitchen_flour_bytes 2.5",
            "modash_kitchen_work_seconds_total 1.25",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
        }
    }
}
