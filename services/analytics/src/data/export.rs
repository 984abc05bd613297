//! Writes requests to a file or to standard output, one at a time: the memory
//! does not depend on how many there are.

mod record;
mod writer;

use std::{fs::File, io, path::PathBuf};

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use futures_util::TryStreamExt as _;
use modash_access::Scope;
use modash_proto::{TimeRange, Violations, v1};
use modash_runtime::Mistakes;

use super::{DataError, Progress, moment};
use crate::{filter::Filter, store::Store};
use record::Names;
use writer::Writer;

/// Rows between two looks at the clock.
const PROGRESS_ROWS: u64 = 1_000;

/// What to write, and where.
#[derive(Debug, Clone, Args)]
pub struct ExportOptions {
    /// First moment: a day (its beginning, UTC) or a moment of RFC 3339
    /// [default: the oldest request]
    #[arg(long, value_parser = moment)]
    pub from: Option<DateTime<Utc>>,

    /// First moment after the range [default: now]
    #[arg(long, value_parser = moment)]
    pub to: Option<DateTime<Utc>>,

    /// File to write; it must not exist. "-" is standard output
    #[arg(long, short, default_value = "-")]
    pub output: PathBuf,

    /// Form [default: by the file's ending, else csv]
    #[arg(long, value_enum)]
    pub format: Option<ExportFormat>,

    /// Only this model; may be repeated
    #[arg(long = "model")]
    pub models: Vec<String>,

    /// Only this outcome; may be repeated
    #[arg(long = "outcome", value_parser = outcome)]
    pub outcomes: Vec<v1::Outcome>,
}

/// Form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Comma-separated values with a head line (RFC 4180)
    Csv,
    /// One JSON object a line
    Jsonl,
}

/// An outcome by its name in the contract, without the prefix, in any case.
fn outcome(text: &str) -> Result<v1::Outcome, String> {
    let name = text.to_uppercase().replace('-', "_");
    let full = format!("OUTCOME_{}", name.trim_start_matches("OUTCOME_"));
    v1::Outcome::from_str_name(&full)
        .filter(|outcome| *outcome != v1::Outcome::Unspecified)
        .ok_or_else(|| {
            let known: Vec<String> = (1..)
                .map_while(|number| v1::Outcome::try_from(number).ok())
                .map(record::outcome_name)
                .collect();
            format!("must be one of {}", known.join(", "))
        })
}

impl ExportOptions {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        let (from, to) = (self.from, self.to.unwrap_or_else(Utc::now));
        mistakes.require(from.is_none_or(|from| from < to), "--to", "must be after --from");
        mistakes.require(
            self.to_standard_output() || !self.output.exists(),
            "--output",
            format!("{} exists already; it was left as it is", self.output.display()),
        );
    }

    fn to_standard_output(&self) -> bool {
        self.output.as_os_str() == "-"
    }

    fn format(&self) -> ExportFormat {
        let ending = self.output.extension().and_then(|ending| ending.to_str());
        self.format.unwrap_or(match ending {
            Some("jsonl" | "ndjson" | "json") => ExportFormat::Jsonl,
            _ => ExportFormat::Csv,
        })
    }

    fn file(&self) -> String {
        if self.to_standard_output() {
            "standard output".to_owned()
        } else {
            self.output.display().to_string()
        }
    }

    fn open(&self, names: Names) -> io::Result<Writer> {
        if self.to_standard_output() {
            Writer::new(self.format(), names, io::stdout())
        } else {
            Writer::new(self.format(), names, File::create_new(&self.output)?)
        }
    }
}

pub(super) async fn run(store: &Store, options: &ExportOptions) -> Result<(), DataError> {
    let failed = |source| DataError::Write { file: options.file(), source };
    if !store.has_tables().await? {
        return Err(DataError::Empty);
    }
    let filter = v1::Filter {
        models: options.models.clone(),
        outcomes: options.outcomes.iter().map(|outcome| *outcome as i32).collect(),
        ..v1::Filter::default()
    };
    let filter = Filter::from_wire(Some(filter), &Scope::default(), &mut Violations::default());
    let range = TimeRange {
        start: options.from.unwrap_or(DateTime::<Utc>::UNIX_EPOCH),
        end: options.to.unwrap_or_else(Utc::now),
    };
    let names = store.names().await?.into();
    let mut snapshot = store.snapshot().await?;
    let selection = snapshot.select(range, &filter).await?;
    let total = snapshot.count(&selection, &filter).await?;
    drop(snapshot);
    let progress = Progress::new("exporting", "rows", Some(total.cast_unsigned()));
    let mut writer = options.open(names).map_err(failed)?;
    let mut written = 0;
    let result = async {
        let mut export = store.begin_export().await?;
        let mut events = export.events(&selection);
        while let Some(event) = events.try_next().await? {
            writer.write(&event).map_err(failed)?;
            written += 1;
            if written % PROGRESS_ROWS == 0 {
                progress.add(PROGRESS_ROWS);
            }
        }
        writer.finish().map_err(failed)
    }
    .await;
    progress.add(written % PROGRESS_ROWS);
    match result {
        // Whoever reads it has enough, as `head` does.
        Err(DataError::Write { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            Ok(())
        }
        Ok(()) => {
            progress.finish();
            Ok(())
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_named_as_in_the_contract() {
        for name in ["http-error", "http_error", "HTTP_ERROR", "OUTCOME_HTTP_ERROR"] {
            assert_eq!(outcome(name), Ok(v1::Outcome::HttpError), "{name}");
        }
        let problem = outcome("bad").unwrap_err();
        assert!(problem.contains("ok, http_error, stream_error"), "{problem}");
        assert!(problem.contains("interrupted"), "{problem}");
        assert!(outcome("unspecified").is_err());
    }
}
