//! Failed requests by error, model and upstream, from an index that holds nothing else.

use chrono::{DateTime, Utc};
use sqlx::types::Uuid;

use super::{Error, Selection, Snapshot, row::from_row, traced::Traced as _};

/// Failed requests with the same error, model and upstream.
#[derive(Debug, Clone)]
pub(crate) struct ErrorGroup {
    pub(crate) outcome: i16,
    pub(crate) error_type: Option<String>,
    pub(crate) model: String,
    pub(crate) upstream: String,
    pub(crate) requests: i64,
    pub(crate) first_started_at: DateTime<Utc>,
    pub(crate) last_started_at: DateTime<Utc>,
    pub(crate) client_keys: i64,
    /// Groups there are, the same in each row.
    pub(crate) groups: i64,
    /// Requests in all of them, the same in each row.
    pub(crate) failed_requests: i64,
    /// The newest one.
    pub(crate) event_id: Uuid,
}

from_row!(ErrorGroup {
    outcome,
    error_type,
    model,
    upstream,
    requests,
    first_started_at,
    last_started_at,
    client_keys,
    groups,
    failed_requests,
    event_id
});

impl Snapshot<'_> {
    /// The groups of a selection, those with the most requests first.
    pub(crate) async fn error_breakdown(
        &mut self,
        selection: &Selection,
        limit: u32,
    ) -> Result<Vec<ErrorGroup>, Error> {
        self.plan_for_requests().await?;
        let groups: Vec<ErrorGroup> = selection
            .query_as(include_str!("queries/error_breakdown.sql"))
            .bind(i64::from(limit))
            .bind(self.rows_left + 1)
            .fetch_all(&mut *self.transaction)
            .traced("error_breakdown")
            .await?;
        self.spend(groups.first().map_or(0, |group| group.failed_requests))?;
        Ok(groups)
    }
}
