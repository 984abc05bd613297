//! What was refused for good, and why.

use std::io::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde::Serialize;

use super::{DataError, table::table};
use crate::store::Store;
use crate::store::from_row;

/// Which ones to show, and how.
#[derive(Debug, Clone, Args)]
pub struct QuarantineOptions {
    /// The newest ones: 1 to 10000
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub limit: u16,

    /// Write one JSON object a line, with the event as it was sent (hexadecimal)
    #[arg(long)]
    pub json: bool,
}

/// An event that can never be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// When it came, UTC.
    #[serde(serialize_with = "as_text")]
    pub received_at: DateTime<Utc>,
    /// The replica that it names.
    pub replica_id: String,
    /// Its id.
    pub event_id: String,
    /// Why it was refused.
    pub reason: String,
    /// The event as it was sent, in hexadecimal, at most 16 KiB of it.
    pub event: String,
}

from_row!(Quarantined { received_at, replica_id, event_id, reason, event });

fn as_text<S: serde::Serializer>(moment: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text(moment))
}

fn text(moment: &DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(super) async fn run(store: &Store, options: &QuarantineOptions) -> Result<(), DataError> {
    if !store.has_tables().await? {
        return Err(DataError::Empty);
    }
    let events = store.quarantined(options.limit).await?;
    let mut out = String::new();
    if options.json {
        for event in &events {
            // No value of it has no JSON form.
            out.push_str(&serde_json::to_string(event).unwrap_or_default());
            out.push('\n');
        }
    } else if events.is_empty() {
        out.push_str("Nothing was refused.\n");
    } else {
        let rows: Vec<_> = events
            .iter()
            .map(|event| {
                let shown = |text: &str| text.escape_debug().to_string();
                [
                    text(&event.received_at),
                    shown(&event.replica_id),
                    shown(&event.event_id),
                    shown(&event.reason),
                ]
            })
            .collect();
        out = table(["received", "replica", "event", "reason"], &rows);
    }
    let _ = std::io::stdout().write_all(out.as_bytes());
    Ok(())
}
