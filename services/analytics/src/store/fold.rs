//! Moves what commits noted into the rollups of all levels, by one process at a
//! time: nobody else changes them meanwhile.

use std::collections::HashSet;

use sqlx::Row as _;

use super::{
    Error,
    activity::{Activity, Noted},
    chains, client_keys,
    copy::CopyRows,
    pool::{Pool, Transaction},
    rate_limits,
    rollups::{BothSets, COLUMNS, Levels, decode, encode, horizons, minutes, widen},
    sessions, writes,
};
use crate::rollup::{Level, Rollups, Sets};

/// Changes that are moved in one transaction: some 30 MB at a time.
const CHANGES: i64 = 100_000;

/// Rows of all levels, gathered so that each is written once.
struct Rows {
    /// Where there was none.
    new: CopyRows,
    /// In place of one that was there.
    merged: CopyRows,
}

impl Levels {
    /// Moves changes into the levels, unless another process does; gives how
    /// many changes there were.
    pub(super) async fn fold(&self, pool: &Pool) -> Result<usize, Error> {
        let mut transaction = pool.begin().await?;
        let ours: bool = sqlx::query_scalar(include_str!("queries/try_lock_rollups.sql"))
            .fetch_one(&mut transaction)
            .await?;
        if !ours {
            return Ok(0);
        }
        // What it adds to sessions is moved at once.
        let joined = chains::fold(&mut transaction).await?;
        let mut moved = sessions::fold(&mut transaction).await?;
        let (limits, dropped) = rate_limits::fold(&mut transaction).await?;
        moved += limits;
        if dropped > 0 {
            tracing::warn!(changes = dropped, "too many rate limits; new ones are left out");
        }
        let (changes, mut rollups) = take_changes(&mut transaction).await?;
        if changes == 0 {
            if moved > 0 || joined > 0 {
                transaction.commit().await?;
            }
            return Ok(0);
        }
        client_keys::number(pool, &mut rollups.narrow).await?;
        let mut activity = Activity::default();
        activity.add(&rollups.narrow);
        activity.note(&mut transaction, Noted::New).await?;
        let horizons = horizons(&mut transaction).await?;
        let oldest = rollups.each().into_iter().flat_map(|(_, of)| of.keys()).map(|key| key.bucket);
        let oldest = oldest.min();
        let mut made = HashSet::new();
        let mut rows = Rows::new(changes);
        for sets in Sets::ALL {
            let mut rollups = std::mem::take(rollups.of_mut(sets));
            let levels = sets.levels().iter().copied().zip(horizons.of(sets).complete_from);
            let mut levels = levels.peekable();
            while let Some((level, complete_from)) = levels.next() {
                // Made now, since adding takes what it is made of.
                let wider = levels.peek().map(|(wider, _)| widen(&rollups, *wider));
                rollups.retain(|key, _| key.bucket >= complete_from);
                made.extend(self.ensure(&mut transaction, level, sets, &rollups).await?);
                rows.add(&mut transaction, level, sets, rollups).await?;
                rollups = wider.unwrap_or_default();
            }
        }
        rows.write(&mut transaction).await.inspect_err(|_| {
            // Perhaps a partition was dropped by another process.
            self.partitions().clear();
        })?;
        if let Some(oldest) = oldest {
            writes::note(&mut transaction, oldest).await?;
        }
        transaction.commit().await?;
        self.remember(made);
        Ok(changes)
    }
}

/// Takes changes away; gives how many, and their sums by minute.
async fn take_changes(connection: &mut Transaction) -> Result<(usize, BothSets), Error> {
    let changes = sqlx::query(include_str!("queries/take_rollup_changes.sql"))
        .bind(CHANGES)
        .fetch_all(connection)
        .await?;
    let mut rollups = BothSets::default();
    for change in &changes {
        let sets = if change.try_get::<i32, _>(0)? < 0 { Sets::Full } else { Sets::Narrow };
        let into = rollups.of_mut(sets);
        for (key, measures) in decode(change, 1)? {
            into.entry(key).or_default().merge(&measures);
        }
    }
    Ok((changes.len(), rollups))
}

impl Rows {
    /// No rows yet; so many changes are to be moved.
    fn new(changes: usize) -> Self {
        Self { new: CopyRows::new(COLUMNS, changes), merged: CopyRows::new(COLUMNS, changes) }
    }

    /// Adds rollups of a level, together with what the database has under their keys.
    async fn add(
        &mut self,
        connection: &mut Transaction,
        level: Level,
        sets: Sets,
        mut rollups: Rollups,
    ) -> Result<(), Error> {
        let (number, with_errors) = (level.number(sets), level.has_errors());
        let mut keys: Vec<_> =
            rollups.keys().map(|key| (key.series_id, minutes(key.bucket))).collect();
        keys.sort_unstable();
        keys.dedup();
        let (series, buckets): (Vec<i64>, Vec<i32>) = keys.into_iter().unzip();
        let (Some(first), Some(last)) = (buckets.iter().min(), buckets.iter().max()) else {
            return Ok(());
        };
        let there = sqlx::query(include_str!("queries/read_rollups.sql"))
            .bind(&series)
            .bind(&buckets)
            .bind(number)
            .bind(first)
            .bind(last)
            .fetch_all(connection)
            .await?;
        let mut keys_there = HashSet::with_capacity(there.len());
        for row in there {
            keys_there.insert((row.try_get(0)?, row.try_get(1)?));
            for (key, measures) in decode(&row, 0)? {
                rollups.entry(key).or_default().merge(&measures);
            }
        }
        let (merged, new) = rollups
            .into_iter()
            .partition(|(key, _)| keys_there.contains(&(key.series_id, minutes(key.bucket))));
        encode(&mut self.merged, &merged, number, with_errors);
        encode(&mut self.new, &new, number, with_errors);
        Ok(())
    }

    /// Writes all of them.
    async fn write(self, connection: &mut Transaction) -> Result<(), Error> {
        self.new.send(connection, include_str!("queries/copy_rollups.sql")).await?;
        sqlx::raw_sql(include_str!("queries/create_merged_rollups.sql"))
            .execute(&mut *connection)
            .await?;
        self.merged.send(connection, include_str!("queries/copy_merged_rollups.sql")).await?;
        sqlx::query(include_str!("queries/write_merged_rollups.sql")).execute(connection).await?;
        Ok(())
    }
}
