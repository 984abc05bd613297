//! Who answers queries: the read replica, if there is one and it keeps up, else the
//! primary. A replica that is away or far behind would make answers fail, or lack what
//! was committed long ago; readers notice neither.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior};

use super::{Error, pool::Pool};

/// How often the replica is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// The pools of the queries.
#[derive(Debug)]
pub(super) struct Reads {
    primary: Pool,
    replica: Option<Replica>,
}

#[derive(Debug)]
struct Replica {
    pool: Pool,
    max_lag: Duration,
    usable: AtomicBool,
    lag_micros: AtomicU64,
}

/// Where the primary's log was, and when.
type Mark = (Instant, i64);

impl Reads {
    /// `replica`: its pool, and how far behind it may be.
    pub(super) fn new(primary: Pool, replica: Option<(Pool, Duration)>) -> Self {
        let replica = replica.map(|(pool, max_lag)| Replica {
            pool,
            max_lag,
            usable: AtomicBool::new(true),
            lag_micros: AtomicU64::new(0),
        });
        Self { primary, replica }
    }

    /// The pool that answers now.
    pub(super) fn pool(&self) -> &Pool {
        self.used().map_or(&self.primary, |replica| &replica.pool)
    }

    /// The primary's.
    pub(super) fn primary(&self) -> &Pool {
        &self.primary
    }

    /// After a pool was not reachable: the other one, if that is the primary.
    pub(super) fn instead(&self, error: &Error) -> Option<&Pool> {
        let replica = self.used()?;
        matches!(error, Error::Unreachable(_)).then(|| {
            replica.use_it(false, "is not reachable");
            &self.primary
        })
    }

    /// Whether the replica answers, and how far behind it is; `None`: there is none.
    pub(super) fn replica(&self) -> Option<(bool, Duration)> {
        let replica = self.replica.as_ref()?;
        let lag = Duration::from_micros(replica.lag_micros.load(Ordering::Relaxed));
        Some((replica.usable.load(Ordering::Relaxed), lag))
    }

    /// All pools.
    pub(super) fn pools(&self) -> impl Iterator<Item = &Pool> {
        std::iter::once(&self.primary).chain(self.replica.iter().map(|replica| &replica.pool))
    }

    /// Watches the replica, for ever; without one, there is nothing to do.
    pub(super) async fn watch(&self) {
        let Some(replica) = &self.replica else { return };
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut marks = VecDeque::new();
        loop {
            looks.tick().await;
            let look = tokio::time::timeout(LOOK_TIMEOUT, self.look(replica, &mut marks));
            match look.await {
                Ok(Ok(lag)) => replica.note(lag),
                Ok(Err(_)) | Err(_) => replica.use_it(false, "is not reachable"),
            }
        }
    }

    fn used(&self) -> Option<&Replica> {
        self.replica.as_ref().filter(|replica| replica.usable.load(Ordering::Relaxed))
    }

    /// How far the replica is behind. Where the primary is away, nothing is written that
    /// the replica could lack.
    async fn look(&self, replica: &Replica, marks: &mut VecDeque<Mark>) -> Result<Duration, Error> {
        let replayed = sqlx::query_scalar(include_str!("queries/replayed_log.sql"));
        let replayed: Option<i64> = replayed.fetch_one(&replica.pool).await?;
        let written = sqlx::query_scalar(include_str!("queries/written_log.sql"));
        let written: Result<Option<i64>, _> = written.fetch_one(&self.primary).await;
        if let Ok(Some(written)) = written {
            marks.push_back((Instant::now(), written));
        }
        Ok(replayed.map_or(Duration::ZERO, |replayed| lag(marks, replayed)))
    }
}

/// How long ago the primary wrote the oldest that is not replayed. Marks that were
/// reached are forgotten, but for the newest.
fn lag(marks: &mut VecDeque<Mark>, replayed: i64) -> Duration {
    while marks.front().is_some_and(|(_, written)| *written <= replayed) {
        marks.pop_front();
    }
    marks.truncate(MOST_MARKS);
    marks.front().map_or(Duration::ZERO, |(at, _)| at.elapsed())
}

/// The oldest marks tell the lag; those of more than an hour are not needed for it.
const MOST_MARKS: usize = 3_600;

impl Replica {
    fn note(&self, lag: Duration) {
        let micros = u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
        self.lag_micros.store(micros, Ordering::Relaxed);
        self.use_it(lag <= self.max_lag, "is too far behind");
    }

    fn use_it(&self, usable: bool, why_not: &str) {
        if self.usable.swap(usable, Ordering::Relaxed) == usable {
            return;
        }
        if usable {
            tracing::info!("queries go to the read replica again");
        } else {
            let lag_micros = self.lag_micros.load(Ordering::Relaxed);
            tracing::warn!(lag_micros, "queries go to the primary: the read replica {why_not}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_lag_is_the_age_of_the_oldest_that_was_not_replayed() {
        let mut marks = VecDeque::new();
        assert_eq!(lag(&mut marks, 5), Duration::ZERO);
        for written in [10, 20, 30] {
            marks.push_back((Instant::now(), written));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(lag(&mut marks, 9), Duration::from_secs(3));
        assert_eq!(lag(&mut marks, 10), Duration::from_secs(2));
        assert_eq!(lag(&mut marks, 25), Duration::from_secs(1));
        assert_eq!(lag(&mut marks, 30), Duration::ZERO);
    }
}
