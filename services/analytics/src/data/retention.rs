//! What the retention keeps and what it drops: shown, or done now instead of at
//! the next upkeep.

use std::io::Write as _;

use chrono::Utc;
use clap::Args;

use super::{
    DataError,
    table::{bytes, grouped, table},
};
use crate::{AnalyticsConfig, store::Store};

/// Whether to show it or to do it.
#[derive(Debug, Clone, Args)]
pub struct RetentionOptions {
    /// Drop it now; without this, it is only shown
    #[arg(long)]
    pub apply: bool,
}

pub(super) async fn run(
    store: &Store,
    config: &AnalyticsConfig,
    options: &RetentionOptions,
) -> Result<(), DataError> {
    if !store.has_tables().await? {
        return Err(DataError::Empty);
    }
    let now = Utc::now();
    let oldest = store.oldest_day(now);
    let days = store.request_days(false).await?;
    let (dropped, kept): (Vec<_>, Vec<_>) = days.into_iter().partition(|day| day.day < oldest);
    let row = |what: &str, days: &[crate::store::RequestDay]| {
        let sum = |of: fn(&crate::store::RequestDay) -> i64| {
            days.iter().map(of).sum::<i64>().max(0).cast_unsigned()
        };
        let range = match (days.first(), days.last()) {
            (Some(first), Some(last)) => format!("{} to {}", first.day, last.day),
            _ => "–".to_owned(),
        };
        [
            what.to_owned(),
            range,
            grouped(days.len() as u64),
            grouped(sum(|day| day.rows)),
            bytes(sum(|day| day.bytes)),
        ]
    };
    let mut text = format!(
        "requests are kept for {} days (MODASH_ANALYTICS_RETENTION_DAYS): since {oldest}\n\n",
        config.retention_days
    );
    let rows = [row("kept", &kept), row("dropped", &dropped)];
    text.push_str(&table(["requests", "days", "partitions", "rows", "size"], &rows));
    if options.apply {
        store.maintain(now).await?;
        text.push_str("\nThe retention was applied.\n");
    } else if !dropped.is_empty() {
        text.push_str("\nNothing was dropped yet: a running modash does so within ten minutes, --apply now.\n");
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}
