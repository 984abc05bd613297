//! Which token speaks for which replica. All replicas of analytics keep it together.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Error, Store};

/// Proxies report every second: one that did not for so long is gone, and the analytics
/// that held its stream as well.
const SILENT_FOR: Duration = Duration::from_secs(15);

/// A stream that wants to speak for a replica.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    /// The replica.
    pub(crate) replica_id: &'a str,
    /// Name of the stream's token.
    pub(crate) token: &'a str,
    /// The stream.
    pub(crate) stream: Uuid,
}

impl Store {
    /// Gives a replica to a stream, if it is nobody's or already its token's, if
    /// `instead_of` is its owner, or if its owner is gone. Gives the name of its owner then.
    pub(crate) async fn claim_replica(
        &self,
        claim: &Claim<'_>,
        instead_of: Option<&str>,
    ) -> Result<String, Error> {
        let now = Utc::now();
        let owner = sqlx::query_scalar(include_str!("queries/claim_replica.sql"))
            .bind(claim.replica_id)
            .bind(claim.token)
            .bind(claim.stream)
            .bind(now)
            .bind(instead_of)
            .bind(now - SILENT_FOR)
            .fetch_one(&self.write)
            .await?;
        Ok(owner)
    }

    /// Frees a replica whose stream has ended.
    pub(crate) async fn release_replica(
        &self,
        replica_id: &str,
        stream: Uuid,
    ) -> Result<(), Error> {
        sqlx::query(include_str!("queries/release_replica.sql"))
            .bind(replica_id)
            .bind(stream)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Forgets the owners of replicas that were not heard of since a moment.
    pub(super) async fn forget_owners(&self, since: DateTime<Utc>) -> Result<(), Error> {
        sqlx::query(include_str!("queries/forget_replica_owners.sql"))
            .bind(since)
            .execute(&self.write)
            .await?;
        Ok(())
    }
}
