//! Rollups computed anew from the requests of a range.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use modash_runtime::{Boxed, Mistakes, ServiceContext};

use super::{DataError, Progress, moment};
use crate::{
    AnalyticsConfig,
    store::{Store, Which},
};

/// Commands about rollups.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum RollupsCommand {
    /// Compute the rollups of the days that a range touches anew from their
    /// requests; safe while modash runs
    Rebuild {
        /// Beginning of the range: a day, or a moment of RFC 3339
        #[arg(long, value_parser = moment)]
        from: DateTime<Utc>,

        /// End of the range, not included
        #[arg(long, value_parser = moment)]
        to: DateTime<Utc>,
    },
}

impl RollupsCommand {
    /// Checks what the flags say together and notes every mistake.
    pub fn check(&self, mistakes: &mut Mistakes) {
        let Self::Rebuild { from, to } = self;
        mistakes.require(from < to, "--to", "must be after --from");
    }

    /// Does it.
    ///
    /// # Errors
    /// If there is no database, it cannot be used, or a stop was asked for: days
    /// that are done stay done.
    pub fn run(
        self,
        config: AnalyticsConfig,
        context: ServiceContext,
    ) -> Boxed<'static, Result<(), DataError>> {
        Box::pin(async move {
            let Self::Rebuild { from, to } = self;
            super::with_store(&config, context, async |store| {
                if !store.has_tables().await? {
                    return Err(DataError::Empty);
                }
                store.migrate().await.map_err(|error| DataError::Schema(error.detail()))?;
                // After an upgrade, what was never summed up comes first.
                store.backfill_rollups().await?;
                rebuild(store, from, to).await
            })
            .await
        })
    }
}

/// Rebuilds the days that a range touches and says how far it is.
pub(super) async fn rebuild(
    store: &Store,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<(), DataError> {
    let days = store.partitions_of("requests", false).await?;
    let requests = days
        .iter()
        .filter(|day| (from.date_naive()..=to.date_naive()).contains(&day.day))
        .map(|day| day.rows.max(0).cast_unsigned())
        .sum();
    let progress = Progress::new("summing up", "requests", Some(requests));
    store.rebuild_rollups(from, to, Which::All, |part| progress.add(part.requests)).await?;
    progress.finish();
    Ok(())
}
