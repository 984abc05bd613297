//! Keeps the newest events that could not be stored, for whoever looks into it.

use std::sync::Arc;

use modash_proto::v1::UsageEvent;
use prost::Message as _;
use sqlx::types::Uuid;

use super::{Error, Run, Store, pool::Transaction, traced::Traced as _};
use crate::data::Quarantined;

/// An event that can never be stored.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// The life of the proxy that sent it; `None`: none did.
    pub(crate) run: Option<Arc<Run>>,
    /// The event, or its stand-in.
    pub(crate) event: UsageEvent,
    /// The encoded event, if it could not be read.
    pub(crate) unreadable: Option<Vec<u8>>,
    /// What is wrong with it, for a person.
    pub(crate) reason: String,
}

impl Store {
    /// The newest refused events.
    pub(crate) async fn quarantined(&self, limit: u16) -> Result<Vec<Quarantined>, Error> {
        Ok(sqlx::query_as(include_str!("queries/quarantined.sql"))
            .bind(i64::from(limit))
            .fetch_all(self.reads.pool())
            .await?)
    }
}

/// Longest event, encoded, that is kept whole: beyond it its end is cut.
const MAX_EVENT_BYTES: usize = 16 * 1024;

/// Adds events and drops the oldest beyond 10,000.
pub(super) async fn add(connection: &mut Transaction, refused: &[Refused]) -> Result<(), Error> {
    if refused.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = refused.iter().map(|_| Uuid::now_v7()).collect();
    let replicas: Vec<String> =
        refused.iter().map(|refused| storable(&refused.event.replica_id)).collect();
    let event_ids: Vec<String> =
        refused.iter().map(|refused| storable(&refused.event.event_id)).collect();
    let reasons: Vec<String> = refused.iter().map(|refused| storable(&refused.reason)).collect();
    let events: Vec<Vec<u8>> = refused
        .iter()
        .map(|refused| {
            let encoded = || refused.event.encode_to_vec();
            let mut bytes = refused.unreadable.clone().unwrap_or_else(encoded);
            bytes.truncate(MAX_EVENT_BYTES);
            bytes
        })
        .collect();
    sqlx::query(include_str!("queries/insert_quarantine.sql"))
        .bind(ids)
        .bind(replicas)
        .bind(event_ids)
        .bind(reasons)
        .bind(events)
        .execute(&mut *connection)
        .traced("insert_quarantine")
        .await?;
    sqlx::query(include_str!("queries/trim_quarantine.sql"))
        .execute(connection)
        .traced("trim_quarantine")
        .await?;
    Ok(())
}

/// At most 256 characters, without those that PostgreSQL has no place for.
fn storable(text: &str) -> String {
    text.chars().filter(|character| *character != '\0').take(256).collect()
}
