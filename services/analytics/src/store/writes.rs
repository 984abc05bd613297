//! Which rollups were written to, and in which order: what was read of others before still
//! holds.

use chrono::{DateTime, Utc};

use super::{
    Error,
    pool::{Pool, Transaction},
    rollups::minutes,
};
use crate::rollup::LEVELS;

/// What a snapshot knows of the writes to rollups.
#[derive(Debug, Clone, Default)]
pub(super) struct Writes {
    /// Numbers of writes and the oldest bucket that each wrote to, in minutes since 1970.
    /// One that a later write to the same or an older bucket covers is left out. The number
    /// of a write that has begun and not ended is greater than all others.
    pub(super) known: Vec<(i64, i32)>,
    /// Tells databases apart whose writes are not those of one another: when the server was
    /// started, and the file of the table of writes.
    pub(super) lineage: (i64, i64),
}

/// Number of a write that has begun and not ended.
const OPEN: i64 = i64::MAX;

/// For how long writes are remembered by the database, in microseconds, which numbers are.
const WEEK: i64 = 604_800_000_000;

impl Writes {
    /// The number of the last write that has ended.
    pub(super) fn last(&self) -> i64 {
        self.ended().map(|(number, _)| number).max().unwrap_or(0)
    }

    /// Whether what a snapshot read whose last write was `number` holds in this one, for
    /// buckets before `end`.
    pub(super) fn hold(&self, number: i64, end: DateTime<Utc>) -> bool {
        let (end, last) = (minutes(end), self.last());
        number <= last
            && last - number < WEEK
            && !self.known.iter().any(|(write, oldest)| *write > number && *oldest < end)
    }

    /// Whether buckets before `end` are older than all that the last write wrote to.
    pub(super) fn are_after(&self, end: DateTime<Utc>) -> bool {
        let end = minutes(end);
        let last = self.last();
        !self.known.iter().any(|(write, oldest)| *write >= last && *oldest < end)
    }

    fn ended(&self) -> impl Iterator<Item = (i64, i32)> {
        self.known.iter().copied().filter(|(number, _)| *number != OPEN)
    }
}

/// Notes a write to rollups, the oldest of them of this moment, in the transaction that wrote
/// and holds their lock. Ends a write that had begun.
pub(super) async fn note(connection: &mut Transaction, oldest: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query(include_str!("queries/note_rollup_write.sql"))
        .bind(coarse(oldest))
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that rollups will be written to by several transactions: from now until the next
/// [`note`], nobody takes them for what they were. The caller holds their lock.
pub(super) async fn note_beginning(pool: &Pool, oldest: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query(include_str!("queries/note_rollup_write_begins.sql"))
        .bind(coarse(oldest))
        .execute(pool)
        .await?;
    Ok(())
}

/// Keeps a write that has begun from being ended by anybody else until this transaction has
/// ended.
///
/// # Errors
/// [`Error::Conflict`] if it was ended: whoever began it has lost the lock of the rollups
/// meanwhile.
pub(super) async fn hold(connection: &mut Transaction, oldest: DateTime<Utc>) -> Result<(), Error> {
    let goes_on: Option<bool> = sqlx::query_scalar(include_str!("queries/hold_rollup_write.sql"))
        .bind(minutes(oldest))
        .fetch_optional(connection)
        .await?;
    goes_on.map(drop).ok_or(Error::Conflict(sqlx::Error::RowNotFound))
}

/// Writes of the same six hours are told by one row.
fn coarse(at: DateTime<Utc>) -> i32 {
    minutes(LEVELS[3].floor(at))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn of(known: &[(i64, i32)]) -> Writes {
        Writes { known: known.to_vec(), lineage: (0, 0) }
    }

    #[test]
    fn what_was_read_holds_until_an_older_bucket_or_one_of_it_is_written_to() {
        let writes = of(&[(5, 100), (9, 400)]);
        assert_eq!(writes.last(), 9);
        assert!(writes.hold(9, at(900)), "nothing was written since");
        assert!(writes.hold(5, at(400)), "the bucket at 400 is later");
        assert!(!writes.hold(5, at(401)));
        assert!(writes.hold(4, at(100)));
        assert!(!writes.hold(4, at(101)));
    }

    #[test]
    fn what_a_later_snapshot_read_does_not_hold_in_an_earlier_one() {
        let writes = of(&[(5, 100)]);
        assert!(!writes.hold(6, at(0)));
        assert!(!Writes::default().hold(1, at(0)));
        assert!(Writes::default().hold(0, at(900)), "nothing was ever written");
    }

    #[test]
    fn what_was_read_longer_ago_than_writes_are_known_does_not_hold() {
        let writes = of(&[(WEEK + 9, 400)]);
        assert!(writes.hold(10, at(100)) && !writes.hold(9, at(100)));
    }

    #[test]
    fn nothing_from_the_first_bucket_on_holds_while_a_write_goes_on() {
        let writes = of(&[(9, 400), (OPEN, 199)]);
        assert_eq!(writes.last(), 9);
        assert!(writes.hold(9, at(199)) && !writes.hold(9, at(201)));
        assert!(writes.are_after(at(199)) && !writes.are_after(at(201)));
        let writes = of(&[(5, 100), (9, 400)]);
        assert!(writes.are_after(at(400)) && !writes.are_after(at(401)));
    }
}
