//! Costs of requests that are stored already.

use chrono::{DateTime, Utc};
use modash_proto::{
    micros_from_timestamp,
    v1::{CostSource, UsageEvent},
};
use sqlx::types::Uuid;

use super::{
    Error, Store,
    columns::{cost, cost_source, count},
    row::from_row,
};

/// A model as it was used at an upstream.
#[derive(Debug, Clone)]
pub(crate) struct PricedModel {
    pub(crate) model: String,
    pub(crate) upstream: String,
    pub(crate) provider: Option<String>,
    pub(crate) requests: i64,
    pub(crate) last_started_at: DateTime<Utc>,
}

from_row!(PricedModel { model, upstream, provider, requests, last_started_at });

impl Store {
    /// The models that consumed something, most used first.
    pub(crate) async fn priced_models(&self) -> Result<Vec<PricedModel>, Error> {
        Ok(sqlx::query_as(include_str!("queries/priced_models.sql"))
            .bind(CostSource::NotDue as i16)
            .fetch_all(self.reads.pool())
            .await?)
    }

    /// Writes the costs of events that are stored. Rollups are to be rebuilt afterwards.
    pub(crate) async fn update_costs(&self, events: &[UsageEvent]) -> Result<(), Error> {
        let kinds = self.kinds.resolve(&self.write, events).await?;
        // Texts that the kind has are left out.
        let own = |text: fn(&UsageEvent) -> Option<&str>| -> Vec<Option<&str>> {
            let rows = events.iter().zip(&kinds);
            rows.map(|(event, kind)| text(event).filter(|_| kind.is_none())).collect()
        };
        let started_at = |event: &UsageEvent| {
            let micros = event.started_at.as_ref().and_then(micros_from_timestamp);
            micros.and_then(DateTime::<Utc>::from_timestamp_micros)
        };
        let each = || events.iter();
        sqlx::query(include_str!("queries/update_costs.sql"))
            .bind(each().map(started_at).collect::<Vec<_>>())
            .bind(each().map(|event| Uuid::try_parse(&event.event_id).ok()).collect::<Vec<_>>())
            .bind(
                each()
                    .map(|event| cost(event).and_then(|cost| count(cost.nano_usd)))
                    .collect::<Vec<_>>(),
            )
            .bind(
                each()
                    .map(|event| cost(event).and_then(|cost| cost.cache_saving_nano_usd))
                    .collect::<Vec<_>>(),
            )
            .bind(each().map(cost_source).collect::<Vec<_>>())
            .bind(&kinds)
            .bind(own(|event| cost(event).and_then(|cost| cost.provider.as_deref())))
            .bind(own(|event| cost(event).and_then(|cost| cost.price_version.as_deref())))
            .bind(own(|event| Some(&event.replica_id)))
            .bind(own(|event| Some(&event.method)))
            .bind(own(|event| Some(&event.path)))
            .bind(own(|event| event.model_requested.as_deref()))
            .bind(own(|event| event.finish_reason.as_deref()))
            .bind(own(|event| event.service_tier.as_deref()))
            .execute(&self.write)
            .await?;
        Ok(())
    }
}
