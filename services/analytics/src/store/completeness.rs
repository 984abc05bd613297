//! The account of every proxy: its own reports, and what became of its events
//! here, counted in the transaction that stores them.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use modash_proto::v1::ReplicaStats;
use prost::Message as _;
use sqlx::types::Uuid;

use super::{Error, Refused, Row, Store, pool::Transaction, row::from_row, traced::Traced as _};

/// One life of a proxy's process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Run {
    /// Name of the replica.
    pub(crate) replica_id: Arc<str>,
    /// When the process started; 1970 for a proxy that does not say.
    pub(crate) process_started_at: DateTime<Utc>,
}

/// What a proxy said last.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) version: String,
    pub(crate) reported_at: DateTime<Utc>,
    pub(crate) stats: ReplicaStats,
}

/// The account of one life.
#[derive(Debug, Clone)]
pub(crate) struct RunRow {
    pub(crate) replica_id: String,
    pub(crate) process_started_at: DateTime<Utc>,
    pub(crate) version: String,
    pub(crate) reported_at: DateTime<Utc>,
    reported: Vec<u8>,
    pub(crate) committed: i64,
    pub(crate) duplicate: i64,
    pub(crate) rejected: i64,
}

from_row!(RunRow {
    replica_id,
    process_started_at,
    version,
    reported_at,
    reported,
    committed,
    duplicate,
    rejected
});

impl RunRow {
    /// What it said last; `None` before it said anything.
    pub(crate) fn stats(&self) -> Option<ReplicaStats> {
        let said = !self.reported.is_empty();
        said.then(|| ReplicaStats::decode(self.reported.as_slice()).ok()).flatten()
    }
}

/// What became of events of one life.
#[derive(Default)]
struct Counted {
    committed: i64,
    duplicate: i64,
    rejected: i64,
}

/// Counts rows, of which these were inserted, and refused events for their
/// proxies. The last statement of its transaction: others wait for these rows.
pub(super) async fn count(
    connection: &mut Transaction,
    rows: &[Row],
    inserted: &[Uuid],
    refused: &[Refused],
) -> Result<(), Error> {
    let mut runs: BTreeMap<&Run, Counted> = BTreeMap::new();
    let mut new: HashSet<&Uuid> = inserted.iter().collect();
    for row in rows {
        let Some(run) = &row.run else { continue };
        let counted = runs.entry(run).or_default();
        // Twice in one batch is a repeat, too.
        if new.remove(&row.id) {
            counted.committed += 1;
        } else {
            counted.duplicate += 1;
        }
    }
    for run in refused.iter().filter_map(|refused| refused.run.as_deref()) {
        runs.entry(run).or_default().rejected += 1;
    }
    if runs.is_empty() {
        return Ok(());
    }
    let column = |get: fn(&Counted) -> i64| runs.values().map(get).collect::<Vec<_>>();
    sqlx::query(include_str!("queries/count_for_replicas.sql"))
        .bind(runs.keys().map(|run| &*run.replica_id).collect::<Vec<_>>())
        .bind(runs.keys().map(|run| run.process_started_at).collect::<Vec<_>>())
        .bind(column(|counted| counted.committed))
        .bind(column(|counted| counted.duplicate))
        .bind(column(|counted| counted.rejected))
        .execute(connection)
        .traced("count_for_replicas")
        .await?;
    Ok(())
}

impl Store {
    /// Keeps what proxies said last.
    pub(crate) async fn write_reports(&self, reports: &[(Run, Report)]) -> Result<(), Error> {
        let of = |get: fn(&Report) -> DateTime<Utc>| {
            reports.iter().map(|(_, report)| get(report)).collect::<Vec<_>>()
        };
        sqlx::query(include_str!("queries/write_replica_reports.sql"))
            .bind(reports.iter().map(|(run, _)| &*run.replica_id).collect::<Vec<_>>())
            .bind(reports.iter().map(|(run, _)| run.process_started_at).collect::<Vec<_>>())
            .bind(reports.iter().map(|(_, report)| report.version.as_str()).collect::<Vec<_>>())
            .bind(of(|report| report.reported_at))
            .bind(
                reports.iter().map(|(_, report)| report.stats.encode_to_vec()).collect::<Vec<_>>(),
            )
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// The accounts of all lives of proxies, those heard of last first.
    pub(crate) async fn replica_runs(&self) -> Result<Vec<RunRow>, Error> {
        let runs = sqlx::query_as(include_str!("queries/replica_runs.sql"))
            .fetch_all(self.reader()?)
            .traced("replica_runs")
            .await?;
        Ok(runs)
    }

    /// Forgets the lives that were not heard of since a moment.
    pub(super) async fn forget_runs(&self, since: DateTime<Utc>) -> Result<(), Error> {
        sqlx::query(include_str!("queries/forget_replica_runs.sql"))
            .bind(since)
            .execute(&self.write)
            .await?;
        Ok(())
    }
}
