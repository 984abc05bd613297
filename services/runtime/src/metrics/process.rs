//! What every process shows of itself. The names beginning with `process_` are those
//! that all client libraries of Prometheus use.

use std::{
    fmt, fs,
    path::Path,
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use rustix::process::{Resource, getrlimit};

use super::{Description, Metrics, Row};

const BUILD: Description =
    Description::info("modash_build", "Version of modash and the service that answers here")
        .labelled(&["service", "version"]);

const ROWS: [Row<Usage>; 6] = [
    Row::gauge("process_start_time_seconds", "When the process started, in Unix time", |usage| {
        usage.started
    }),
    Row::sum("process_cpu_seconds", "Processor time of user and system", |usage| usage.cpu),
    Row::gauge("process_resident_memory_bytes", "Resident memory", |usage| usage.resident),
    Row::gauge("process_virtual_memory_bytes", "Virtual memory", |usage| usage.virtual_size),
    Row::gauge("process_open_fds", "Open file descriptors", |usage| usage.open_files),
    Row::gauge("process_max_fds", "Limit of open file descriptors", |usage| usage.most_files),
];

/// What is said of the metrics of every process.
#[must_use]
pub fn process_metrics() -> Vec<Description> {
    let rows = ROWS.iter().map(|row| row.about);
    let spans = super::telemetry::ROWS.iter().map(|row| row.about);
    std::iter::once(BUILD).chain(rows).chain(spans).chain(crate::admin::CONNECTIONS).collect()
}

/// Adds them; those of usage where there is a `/proc` to read them from.
pub(super) fn add(metrics: &Metrics, service: &'static str) {
    started();
    metrics.add_collector(Box::new(Build(service)));
    if Path::new("/proc/self/stat").exists() {
        metrics.add_table(&ROWS, Usage::read);
    }
}

#[derive(Debug)]
struct Build(&'static str);

impl Collector for Build {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let labels = [("service", self.0), ("version", env!("CARGO_PKG_VERSION"))];
        BUILD.begin(&mut encoder)?.encode_info(&labels)
    }
}

/// What the process uses at one moment. What cannot be read is 0.
#[derive(Debug, Default)]
struct Usage {
    started: f64,
    cpu: f64,
    resident: f64,
    virtual_size: f64,
    open_files: f64,
    most_files: f64,
}

impl Usage {
    fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let limit = getrlimit(Resource::Nofile).current;
        Self {
            started: started(),
            // The directory that is being read is open too.
            open_files: files.saturating_sub(1) as f64,
            most_files: limit.map_or(f64::INFINITY, |limit| limit as f64),
            ..Self::of_stat(&stat, rustix::param::page_size() as f64)
        }
    }

    /// From the line of `/proc/self/stat`, see proc_pid_stat(5).
    fn of_stat(stat: &str, page_bytes: f64) -> Self {
        /// Ticks of a second in `/proc`: `USER_HZ`, 100 on all of Linux's platforms that
        /// modash is built for.
        const TICKS: f64 = 100.0;
        // The name before them may hold spaces and parentheses.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<f64> =
            after_name.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
        // Field 3, the state, is the first after the name.
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0.0);
        Self {
            cpu: (field(14) + field(15)) / TICKS,
            virtual_size: field(23),
            resident: field(24) * page_bytes,
            ..Self::default()
        }
    }
}

/// When the process first asked for this, which is when its services are set up.
fn started() -> f64 {
    static STARTED: OnceLock<f64> = OnceLock::new();
    *STARTED.get_or_init(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_from_a_line_whose_name_is_odd() {
        let stat =
            "7 (mo) dash) S 1 7 7 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 9 0 100 4096000 25 0";
        let usage = Usage::of_stat(stat, 4096.0);
        assert_eq!((usage.cpu, usage.virtual_size, usage.resident), (2.0, 4_096_000.0, 102_400.0));
    }

    #[test]
    fn a_process_shows_its_build_and_what_it_uses() {
        let metrics = Metrics::default();
        metrics.add_process("kitchen", None);
        let text = metrics.text();
        let build = r#"modash_build_info{service="kitchen",version=""#;
        assert!(text.lines().any(|line| line.starts_with(build)), "{text}");
        if cfg!(target_os = "linux") {
            for row in &ROWS {
                let sample = format!("{} ", row.about.samples()[0]);
                let value = text.lines().find_map(|line| line.strip_prefix(&sample));
                // A test that has just begun may have used no processor time.
                let may_be_zero = row.about.name == "process_cpu_seconds";
                let shown = value.is_some_and(|value| may_be_zero || value != "0.0");
                assert!(shown, "{sample} in {text}");
            }
        }
    }
}
