//! Many requests at once by binary COPY, without rollups: those are computed
//! afterwards.

use chrono::{DateTime, Utc};
use sqlx::{
    Postgres,
    pool::PoolConnection,
    postgres::{PgCopyIn, PgPoolCopyExt as _},
};

use super::{Error, Row, Store, columns, copy::CopyRows, pool::Pool};

/// A COPY that runs; all of its rows or none are there after `finish`.
pub(crate) struct Bulk {
    copy: PgCopyIn<PoolConnection<Postgres>>,
    rows: CopyRows,
}

impl Store {
    /// Begins to add requests in bulk.
    pub(crate) async fn begin_bulk(&self) -> Result<Bulk, Error> {
        let copy = begin(&self.write).await?;
        Ok(Bulk { copy, rows: CopyRows::new(columns::COLUMNS, 0) })
    }

    /// Makes the partitions of all days of a range.
    pub(crate) async fn ensure_days(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<(), Error> {
        let days = from.date_naive().iter_days().take_while(|day| *day <= until.date_naive());
        self.partitions.ensure(&self.write, days).await
    }

    /// Adds rows of days whose partitions are there. Their series are written
    /// first, in transactions of their own.
    pub(crate) async fn add_bulk(&self, bulk: &mut Bulk, rows: &[Row]) -> Result<(), Error> {
        for (row, shared) in rows.iter().zip(self.shared(rows).await?) {
            columns::encode(&mut bulk.rows, row, &shared);
        }
        bulk.copy.send(bulk.rows.take()).await?;
        Ok(())
    }
}

/// Only commands do this, and they use connections of their own.
async fn begin(pool: &Pool) -> Result<PgCopyIn<PoolConnection<Postgres>>, Error> {
    Ok(pool.connections().copy_in_raw(columns::COPY).await?)
}

impl Bulk {
    /// Commits.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        self.copy.send(self.rows.finish()).await?;
        self.copy.finish().await?;
        Ok(())
    }
}
