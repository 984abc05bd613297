//! The results as Markdown with pictures, between two marks of performance.md.

use std::{fmt::Write as _, fs, path::Path};

use crate::{
    Result,
    ingest::{Ingest, Pace},
    plot::{Bars, plot},
    queries::Timing,
};

const BEGIN: &str = "<!-- bench-analytics: begin; written by `make bench-analytics` -->";
const END: &str = "<!-- bench-analytics: end -->";

/// Goals: milliseconds, and how much slower than with the fewest requests.
const QUERY_MS: f64 = 50.0;
const QUERY_RATIO: f64 = 1.5;

/// Times below this are those of the call itself; their ratio says nothing.
const FLOOR_MS: f64 = 5.0;

/// Goals: events a second, and as a share of a bare COPY.
const INGEST_RATE: f64 = 50_000.0;
const INGEST_RATIO: f64 = 0.15;

/// Goal: bytes of a request with indexes and rollups.
const BYTES: f64 = 400.0;

/// All that was measured.
pub(crate) struct Report {
    postgres: String,
    /// Bytes of one request, by the number of requests.
    pub(crate) sizes: Vec<(u64, f64)>,
    pub(crate) queries: Vec<(u64, Vec<Timing>)>,
    pub(crate) ingest: Vec<Ingest>,
}

impl Report {
    pub(crate) fn new(postgres: String) -> Self {
        Self { postgres, sizes: Vec::new(), queries: Vec::new(), ingest: Vec::new() }
    }

    pub(crate) fn to_markdown(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let mut text = format!(
            "Measured on {cores} virtual cores shared by analytics, PostgreSQL {} as `modash` runs it, and the \
             client; {}.\n",
            self.postgres,
            chrono::Utc::now().format("%Y-%m-%d"),
        );
        if let Some(first) = self.ingest.first() {
            text.push_str(&ingest_head(first));
            self.ingest.iter().for_each(|ingest| text.push_str(&ingest_row(ingest)));
        }
        if !self.sizes.is_empty() {
            text.push_str(&self.size_table());
        }
        if !self.queries.is_empty() {
            text.push_str(&self.query_table());
        }
        text
    }

    /// Replaces what stands between the marks, and the picture.
    pub(crate) fn write(&self, out: &Path) -> Result<()> {
        let path = out.join("performance.md");
        let page = fs::read_to_string(&path)?;
        let (before, rest) = page.split_once(BEGIN).ok_or("performance.md has no mark")?;
        let (_, after) = rest.split_once(END).ok_or("performance.md has no second mark")?;
        let text = self.to_markdown();
        fs::write(&path, format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))?;
        if !self.queries.is_empty() {
            fs::create_dir_all(out.join("images"))?;
            fs::write(out.join("images/analytics-queries.svg"), self.plot())?;
        }
        Ok(())
    }

    fn size_table(&self) -> String {
        let mut text =
            format!("\n| requests | bytes a request, all told (goal ≤ {BYTES}) |\n|---|---|\n");
        for (rows, bytes) in &self.sizes {
            let _ = writeln!(text, "| {} | {bytes:.0} |", short(*rows));
        }
        text
    }

    fn query_table(&self) -> String {
        let mut text = String::from("\n| query, p50 / p95 in ms | ");
        for (rows, _) in &self.queries {
            let _ = write!(text, "{} | ", short(*rows));
        }
        let _ = write!(
            text,
            "p95 against the fewest (goal ≤ {QUERY_RATIO}) | p95 ≤ {QUERY_MS} | first answer after a start |\n|---|"
        );
        text.push_str(&"---|".repeat(self.queries.len() + 3));
        text.push('\n');
        for (at, first) in self.names().iter().enumerate() {
            let timings: Vec<&Timing> =
                self.queries.iter().filter_map(|(_, timings)| timings.get(at)).collect();
            let _ = write!(text, "| {first} | ");
            for timing in &timings {
                let _ = write!(text, "{:.1} / {:.1} | ", timing.p50, timing.p95);
            }
            let (least, most) = (timings.first(), timings.last());
            let after_start = most.map_or(0.0, |t| t.first);
            let (least, most) = (least.map_or(0.0, |t| t.p95), most.map_or(0.0, |t| t.p95));
            let ratio = most / least.max(f64::EPSILON);
            let fine = ratio <= QUERY_RATIO || most <= FLOOR_MS;
            let _ = writeln!(
                text,
                "{ratio:.2}{} | {} | {after_start:.0} |",
                if fine { "" } else { " ✗" },
                mark(most <= QUERY_MS)
            );
        }
        let _ = writeln!(
            text,
            "\nA ratio counts only where a query takes more than {FLOOR_MS} ms. First answers are those with the most requests.\n"
        );
        text.push_str("![95th percentile of each query](images/analytics-queries.svg)\n");
        text
    }

    fn names(&self) -> Vec<&str> {
        let first = self.queries.first().map(|(_, timings)| timings.as_slice());
        first.unwrap_or_default().iter().map(|timing| timing.name.as_str()).collect()
    }

    fn plot(&self) -> String {
        let bars: Vec<Bars> = self
            .names()
            .iter()
            .enumerate()
            .map(|(at, name)| Bars {
                name: (*name).to_owned(),
                values: self.queries.iter().map(|(_, timings)| timings[at].p95).collect(),
            })
            .collect();
        let legend: Vec<String> = self.queries.iter().map(|(rows, _)| short(*rows)).collect();
        plot("95th percentile of each query in milliseconds", &legend, &bars, QUERY_MS)
    }
}

fn ingest_head(ingest: &Ingest) -> String {
    format!(
        "\n| {} events by {} streams | events a second, gRPC to committed (goal ≥ {INGEST_RATE}) | the same \
         until all rollups have them | rows a second, bare binary COPY without indexes | ratio of the first to \
         the last (goal ≥ {INGEST_RATIO}) |\n|---|---|---|---|---|\n",
        ingest.events, ingest.streams,
    )
}

fn ingest_row(ingest: &Ingest) -> String {
    let ratio = ingest.rate / ingest.copy_rate;
    format!(
        "| {} | {:.0} {} | {:.0} | {:.0} | {ratio:.2} {} |\n",
        match ingest.pace {
            Pace::AsTheyCome => "of the last seconds, as they come",
            Pace::ADayAtOnce => "of a day, all at once",
        },
        ingest.rate,
        mark(ingest.rate >= INGEST_RATE),
        ingest.folded_rate,
        ingest.copy_rate,
        mark(ratio >= INGEST_RATIO),
    )
}

fn mark(holds: bool) -> &'static str {
    if holds { "✓" } else { "✗" }
}

/// 10 M, 500 k.
fn short(rows: u64) -> String {
    match rows {
        0..1_000 => rows.to_string(),
        1_000..1_000_000 => format!("{} k", rows / 1_000),
        _ => format!("{} M", rows / 1_000_000),
    }
}
