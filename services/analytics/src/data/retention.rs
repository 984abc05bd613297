//! What the retention keeps and what it drops: shown, or done now instead of at
//! the next upkeep.

use std::io::Write as _;

use chrono::{NaiveDate, Utc};
use clap::Args;

use super::{
    DataError,
    table::{bytes, grouped, table},
};
use crate::store::{DayPartition, Kept, Store};

/// Whether to show it or to do it.
#[derive(Debug, Clone, Args)]
pub struct RetentionOptions {
    /// Drop it now; without this, it is only shown
    #[arg(long)]
    pub apply: bool,
}

pub(super) async fn run(store: &Store, options: &RetentionOptions) -> Result<(), DataError> {
    if !store.has_tables().await? {
        return Err(DataError::Empty);
    }
    let now = Utc::now();
    let mut rows = Vec::new();
    let mut any_dropped = false;
    for Kept { what, table, since, days, setting } in store.kept(now) {
        let partitions = store.partitions_of(&table, false).await?;
        let (dropped, kept): (Vec<_>, Vec<_>) =
            partitions.into_iter().partition(|partition| partition.day < since);
        any_dropped |= !dropped.is_empty();
        rows.push([
            what.to_owned(),
            format!("{days} days, {setting}"),
            since.to_string(),
            oldest(&kept),
            size(&kept),
            dropped.len().to_string(),
            size(&dropped),
        ]);
    }
    let headings = ["what", "kept for", "since", "oldest", "size", "partitions to drop", "size"];
    let mut text = table(headings, &rows);
    if options.apply {
        store.maintain(now).await?;
        text.push_str("\nThe retention was applied.\n");
    } else if any_dropped {
        text.push_str(
            "\nNothing was dropped yet: a running modash does so within ten minutes, --apply now.\n",
        );
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn oldest(partitions: &[DayPartition]) -> String {
    let day: Option<NaiveDate> = partitions.first().map(|partition| partition.day);
    day.map_or_else(|| "–".to_owned(), |day| day.to_string())
}

fn size(partitions: &[DayPartition]) -> String {
    let sum = |of: fn(&DayPartition) -> i64| {
        partitions.iter().map(of).sum::<i64>().max(0).cast_unsigned()
    };
    format!("{} rows, {}", grouped(sum(|part| part.rows)), bytes(sum(|part| part.bytes)))
}
