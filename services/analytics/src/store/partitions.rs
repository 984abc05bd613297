//! Daily partitions of `requests`: made ahead of time and when an event needs
//! one, dropped when all their requests are older than the retention.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::{Error, pool::Pool, traced::Traced as _};

/// Days whose partitions are made ahead of time, today not counted.
const DAYS_AHEAD: u64 = 2;

/// Why a request has no place among the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misplaced {
    /// Its day is or will shortly be dropped.
    #[error("started_at is older than the retention")]
    TooOld,
    /// A clock is wrong: more than a day ahead.
    #[error("started_at is more than a day ahead")]
    TooNew,
}

/// What is known of the partitions.
#[derive(Debug)]
pub(super) struct Partitions {
    retention_days: u32,
    known: Mutex<BTreeSet<NaiveDate>>,
}

impl Partitions {
    pub(super) fn new(retention_days: u32) -> Self {
        Self { retention_days, known: Mutex::default() }
    }

    /// Days for which requests are kept.
    pub(super) fn retention_days(&self) -> u32 {
        self.retention_days
    }

    /// The oldest day that is kept.
    pub(super) fn oldest(&self, now: DateTime<Utc>) -> NaiveDate {
        let today = now.date_naive();
        today.checked_sub_days(Days::new(self.retention_days.into())).unwrap_or(today)
    }

    /// Since when requests are kept.
    pub(super) fn kept_since(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.oldest(now).and_time(NaiveTime::MIN).and_utc()
    }

    /// Whether a request of this start can be stored.
    pub(super) fn place(
        &self,
        started_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), Misplaced> {
        if started_at.date_naive() < self.oldest(now) {
            Err(Misplaced::TooOld)
        } else if started_at > now + TimeDelta::days(1) {
            Err(Misplaced::TooNew)
        } else {
            Ok(())
        }
    }

    /// Makes the partitions of these days unless they are known to be there.
    pub(super) async fn ensure(
        &self,
        pool: &Pool,
        days: impl IntoIterator<Item = NaiveDate>,
    ) -> Result<(), Error> {
        let missing: BTreeSet<NaiveDate> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            days.into_iter().filter(|day| !known.contains(day)).collect()
        };
        for day in missing {
            sqlx::query(include_str!("queries/create_partition.sql"))
                .bind(day)
                .execute(pool)
                .traced("create_partition")
                .await?;
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(day);
        }
        Ok(())
    }

    /// Forgets what is known: a partition was gone against expectation.
    pub(super) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Makes the partitions of the coming days and drops those of the days
    /// before the retention, with the bookings of that time; gives how many were dropped.
    pub(super) async fn maintain(&self, pool: &Pool, now: DateTime<Utc>) -> Result<i32, Error> {
        let today = now.date_naive();
        let ahead = (0..=DAYS_AHEAD).filter_map(|days| today.checked_add_days(Days::new(days)));
        self.ensure(pool, ahead).await?;
        let oldest = self.oldest(now);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|day| *day >= oldest);
        let dropped = sqlx::query_scalar(include_str!("queries/drop_partitions.sql"))
            .bind(oldest)
            .fetch_one(pool)
            .await?;
        sqlx::query(include_str!("queries/forget_booked_responses.sql"))
            .bind(self.kept_since(now))
            .execute(pool)
            .await?;
        Ok(dropped)
    }
}
