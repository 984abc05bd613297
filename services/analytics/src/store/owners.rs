//! Which token speaks for which replica. All replicas of analytics keep it together.

use chrono::{DateTime, Utc};

use super::{Error, Store};

impl Store {
    /// Gives a replica to a token, if it is nobody's or already the token's, or if
    /// `instead_of` is its owner. Gives the name of its owner then.
    pub(crate) async fn claim_replica(
        &self,
        replica_id: &str,
        token: &str,
        instead_of: Option<&str>,
    ) -> Result<String, Error> {
        let owner = sqlx::query_scalar(include_str!("queries/claim_replica.sql"))
            .bind(replica_id)
            .bind(token)
            .bind(instead_of)
            .bind(Utc::now())
            .fetch_one(&self.write)
            .await?;
        Ok(owner)
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
