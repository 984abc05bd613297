//! Weeks are summed up from their days. While days are rebuilt, their weeks are put aside:
//! the level counts as incomplete until the end of the last one, so that readers take
//! days, also if the rebuild breaks off there.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;

use super::{
    Error,
    pool::{Pool, Transaction},
    rebuild::Part,
    rollups::{self, Levels, minutes},
    writes,
};
use crate::rollup::{DAY, Horizon, LEVELS, Level, Rollups, Sets, WEEK};

/// The weeks that some days belong to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weeks {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    /// From when on weeks were complete before.
    complete_from: DateTime<Utc>,
}

fn complete_from(horizon: &Horizon, level: Level) -> DateTime<Utc> {
    let place = LEVELS.iter().position(|other| *other == level).unwrap_or_default();
    horizon.complete_from[place]
}

impl Weeks {
    /// The weeks of parts of a rebuild.
    pub(super) fn of(parts: &[Part], before: &Horizon) -> Self {
        let start = parts.iter().map(|part| part.start).min().unwrap_or_default();
        let end = parts.iter().map(|part| part.end).max().unwrap_or_default();
        let (start, end) = (WEEK.floor(start), WEEK.ceil(end));
        Self { start, end, complete_from: complete_from(before, WEEK) }
    }

    /// When the first one begins.
    pub(super) fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// Lets readers take days in place of them. Committed at once.
    pub(super) async fn put_aside(&self, pool: &Pool) -> Result<(), Error> {
        if self.complete_from < self.end {
            let mut transaction = pool.begin().await?;
            set_complete_from(&mut transaction, self.end).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// Whether some are not complete although their days are.
    pub(super) fn are_lacking(&self, after: &Horizon) -> bool {
        let first = self.first_complete(after);
        first < self.complete_from && first < self.end && self.complete_from <= self.end
    }

    /// The first of them whose days are complete.
    fn first_complete(&self, after: &Horizon) -> DateTime<Utc> {
        self.start.max(WEEK.ceil(complete_from(after, DAY)))
    }

    /// Sums them up, in a transaction of its own. The caller holds the lock of the rollups,
    /// and has committed the days.
    pub(super) async fn sum_up(
        &self,
        pool: &Pool,
        levels: &Levels,
        after: &Horizon,
        kept_from: DateTime<Utc>,
    ) -> Result<(), Error> {
        let first = self.first_complete(after).max(WEEK.ceil(kept_from));
        let mut transaction = pool.begin().await?;
        writes::hold(&mut transaction, self.start).await?;
        sqlx::query(include_str!("queries/no_statement_timeout.sql"))
            .execute(&mut transaction)
            .await?;
        let mut made = std::collections::HashSet::new();
        if first < self.end {
            sqlx::query(include_str!("queries/delete_weeks.sql"))
                .bind(minutes(first))
                .bind(minutes(self.end))
                .execute(&mut transaction)
                .await?;
            for week in days_by_week(&mut transaction, first, self.end).await? {
                made.extend(levels.ensure(&mut transaction, WEEK, Sets::Narrow, &week).await?);
                rollups::add_to_level(&mut transaction, WEEK, Sets::Narrow, &week).await?;
            }
        }
        // Older ones are as they were; those that were not complete are so now if they
        // reach up to those that were.
        let lacked = self.complete_from > first && self.complete_from <= self.end;
        let from = if lacked { first } else { self.complete_from };
        set_complete_from(&mut transaction, from).await?;
        transaction.commit().await?;
        levels.remember(made);
        Ok(())
    }
}

/// The sums of each week that has days.
async fn days_by_week(
    connection: &mut Transaction,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Result<Vec<Rollups>, Error> {
    let mut days = sqlx::query(include_str!("queries/rollups_of_days.sql"))
        .bind(minutes(start))
        .bind(minutes(end))
        .fetch(connection);
    let mut weeks: Vec<Rollups> = Vec::new();
    let mut last = None;
    while let Some(row) = days.try_next().await? {
        for (mut key, measures) in rollups::decode(&row, 0)? {
            key.bucket = WEEK.floor(key.bucket);
            if last.replace(key.bucket) != Some(key.bucket) {
                weeks.push(Rollups::new());
            }
            if let Some(week) = weeks.last_mut() {
                week.entry(key).or_default().merge(&measures);
            }
        }
    }
    Ok(weeks)
}

async fn set_complete_from(connection: &mut Transaction, from: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query(include_str!("queries/set_complete_from.sql"))
        .bind(WEEK.number(Sets::Narrow))
        .bind(from)
        .execute(connection)
        .await?;
    Ok(())
}
