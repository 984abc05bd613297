//! What replicas of analytics leave for each other: signs of life, and the
//! requests that their proxies report.

use std::time::Duration;

use sqlx::{postgres::PgListener, types::Uuid};

use super::{Error, Store};

/// Name of the channel of NOTIFY.
const CHANNEL: &str = "modash_live";

/// A running or just ended request, for the other replicas.
#[derive(Debug, Clone)]
pub(crate) struct PublishedRequest {
    pub(crate) id: Uuid,
    pub(crate) has_ended: bool,
    /// An encoded `LiveRequest`.
    pub(crate) bytes: Vec<u8>,
}

impl Store {
    /// Hears what the replicas notify each other of.
    pub(crate) async fn listen_to_replicas(&self) -> Result<PgListener, Error> {
        let mut listener = PgListener::connect_with(self.session().connections()).await?;
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }

    /// Tells all replicas, this one included.
    pub(crate) async fn notify_replicas(&self, text: &str) -> Result<(), Error> {
        sqlx::query(include_str!("queries/notify_replicas.sql"))
            .bind(CHANNEL)
            .bind(text)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Extends the lease of a replica, forgets those whose lease ran out, and
    /// gives the others.
    pub(crate) async fn meet_replicas(
        &self,
        instance: Uuid,
        lease: Duration,
    ) -> Result<Vec<Uuid>, Error> {
        sqlx::query(include_str!("queries/extend_replica_lease.sql"))
            .bind(instance)
            .bind(lease.as_secs_f64())
            .execute(&self.write)
            .await?;
        sqlx::query(include_str!("queries/forget_live_requests.sql"))
            .bind(instance)
            .execute(&self.write)
            .await?;
        let peers = sqlx::query_scalar(include_str!("queries/other_replicas.sql"))
            .bind(instance)
            .fetch_all(&self.write)
            .await?;
        Ok(peers)
    }

    /// Writes requests, in the order of their ids, as a telling of a replica.
    pub(crate) async fn publish_requests(
        &self,
        instance: Uuid,
        version: i64,
        requests: &[PublishedRequest],
    ) -> Result<(), Error> {
        let ids: Vec<Uuid> = requests.iter().map(|request| request.id).collect();
        let ended: Vec<bool> = requests.iter().map(|request| request.has_ended).collect();
        let bytes: Vec<&[u8]> = requests.iter().map(|request| request.bytes.as_slice()).collect();
        sqlx::query(include_str!("queries/publish_live_requests.sql"))
            .bind(instance)
            .bind(version)
            .bind(ids)
            .bind(ended)
            .bind(bytes)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// What a replica wrote after a telling: ids, tellings, encoded requests.
    pub(crate) async fn read_requests(
        &self,
        instance: Uuid,
        after_version: i64,
    ) -> Result<Vec<(Uuid, i64, Vec<u8>)>, Error> {
        let requests = sqlx::query_as(include_str!("queries/read_live_requests.sql"))
            .bind(instance)
            .bind(after_version)
            .fetch_all(&self.write)
            .await?;
        Ok(requests)
    }
}
