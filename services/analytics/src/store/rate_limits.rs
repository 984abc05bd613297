//! Rate limits as responses stated them: noted when requests are written, folded into
//! buckets in the background, and read by upstream and key.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use modash_proto::{
    TimeRange, micros_from_duration, micros_from_timestamp,
    v1::{RateLimit, UsageEvent},
};

use super::{
    Error, Row, Snapshot, Store, columns::count, copy::CopyRows, pool::Transaction,
    rollups::minutes, row::from_row, traced::Traced as _,
};
use crate::filter::Filter;

/// Columns of a change.
const COLUMNS: i16 = 14;

/// Changes that are moved in one transaction.
const CHANGES: i64 = 100_000;

/// Most limits: of upstream, key, kind and window.
const MOST_LIMITS: i64 = 10_000;

/// Minutes of a bucket of changes, and of the wider ones.
const FINE: i32 = 5;
const COARSE: i32 = 60;

/// Ranges beyond this read the wider buckets.
const LONG: TimeDelta = TimeDelta::days(1);

/// Stands for refusals, whatever limit they are of.
const REFUSALS: i16 = 0;

/// Statuses by which upstreams refuse: too many requests, overloaded (529 is Anthropic's).
const REFUSED: u32 = 429;
const OVERLOADED: [u32; 2] = [503, 529];

/// Upstream, client key, kind, window and bucket.
type Key<'a> = (&'a str, &'a str, i16, &'a str, i32);

/// What responses stated of a limit in a bucket.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    seen_at: DateTime<Utc>,
    resets_at: Option<DateTime<Utc>>,
    allowed: Option<i64>,
    remaining: Option<i64>,
    headroom: Option<f64>,
    lowest: Lowest,
    refused: i64,
}

/// The least that was left.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Lowest {
    at: DateTime<Utc>,
    remaining: Option<i64>,
    headroom: Option<f64>,
}

/// A limit in a range.
#[derive(Debug, Clone)]
pub(crate) struct LimitSums {
    pub(crate) upstream: String,
    pub(crate) client_key: String,
    pub(crate) kind: i16,
    pub(crate) window_name: String,
    pub(crate) seen_at: DateTime<Utc>,
    pub(crate) resets_at: Option<DateTime<Utc>>,
    pub(crate) allowed: Option<i64>,
    pub(crate) remaining: Option<i64>,
    pub(crate) headroom: Option<f64>,
    pub(crate) lowest_at: Option<DateTime<Utc>>,
    pub(crate) lowest_remaining: Option<i64>,
    pub(crate) lowest_headroom: Option<f64>,
    pub(crate) refused: i64,
    /// Places among 24, with the lowest headroom of each.
    pub(crate) parts: Option<Vec<i32>>,
    pub(crate) headrooms: Option<Vec<f64>>,
    /// Limits there are, or refusals, the same in each row.
    pub(crate) total: i64,
    /// Rows that were read, the same in each row.
    read: i64,
}

from_row!(LimitSums {
    upstream,
    client_key,
    kind,
    window_name,
    seen_at,
    resets_at,
    allowed,
    remaining,
    headroom,
    lowest_at,
    lowest_remaining,
    lowest_headroom,
    refused,
    parts,
    headrooms,
    total,
    read
});

impl LimitSums {
    /// Whether it stands for refusals.
    pub(crate) fn is_of_refusals(&self) -> bool {
        self.kind == REFUSALS
    }
}

/// The share of a limit that is left.
fn headroom(limit: &RateLimit) -> Option<f64> {
    match (limit.used_share, limit.remaining, limit.limit) {
        (Some(used), ..) => Some((1.0 - used).clamp(0.0, 1.0)),
        // Nothing is nothing, of whatever.
        (None, Some(0), _) => Some(0.0),
        (None, Some(remaining), Some(limit)) => Some((remaining as f64 / limit as f64).min(1.0)),
        _ => None,
    }
}

fn moment(timestamp: &prost_types::Timestamp) -> Option<DateTime<Utc>> {
    micros_from_timestamp(timestamp).and_then(DateTime::from_timestamp_micros)
}

/// The start of the bucket of a moment.
fn bucket(at: DateTime<Utc>) -> i32 {
    let minutes = minutes(at);
    minutes - minutes.rem_euclid(FINE)
}

impl Change {
    fn of(limit: &RateLimit, seen_at: DateTime<Utc>) -> Self {
        let (remaining, headroom) = (count(limit.remaining), headroom(limit));
        Self {
            seen_at,
            resets_at: limit.resets_at.as_ref().and_then(moment),
            allowed: count(limit.limit),
            remaining,
            headroom,
            lowest: Lowest { at: seen_at, remaining, headroom },
            refused: 0,
        }
    }

    fn refusal(seen_at: DateTime<Utc>, retry_at: Option<DateTime<Utc>>, refused: bool) -> Self {
        let lowest = Lowest { at: seen_at, remaining: None, headroom: None };
        let (allowed, remaining, headroom) = (None, None, None);
        let refused = refused.into();
        Self { seen_at, resets_at: retry_at, allowed, remaining, headroom, lowest, refused }
    }

    /// Adds what was stated in the same bucket. Orders as `fold_rate_limits.sql`.
    fn add(&mut self, other: Self) {
        let refused = self.refused.saturating_add(other.refused);
        let lowest =
            if other.lowest.order() < self.lowest.order() { other.lowest } else { self.lowest };
        let newer = |change: &Self| (change.seen_at, -change.remaining.unwrap_or(0));
        if newer(&other) > newer(self) {
            *self = other;
        }
        (self.refused, self.lowest) = (refused, lowest);
    }
}

impl Lowest {
    /// What is unknown comes last; of two alike the later one counts.
    fn order(&self) -> (u64, i64, i64) {
        // Bits of numbers that are not negative are in their order.
        let headroom = self.headroom.map_or(u64::MAX, f64::to_bits);
        (headroom, self.remaining.unwrap_or(i64::MAX), -self.at.timestamp_micros())
    }
}

/// What an event states, by its key.
fn changes_of(row: &Row) -> impl Iterator<Item = (Key<'_>, Change)> {
    let event: &UsageEvent = &row.event;
    let limits = event.rate_limits.as_ref();
    // A clock of another machine stands behind neither.
    let observed = limits
        .and_then(|limits| moment(limits.observed_at.as_ref()?))
        .filter(|at| (row.started_at..row.started_at + TimeDelta::days(1)).contains(at));
    let seen_at = observed.unwrap_or(row.started_at);
    let retry_at = limits
        .and_then(|limits| micros_from_duration(limits.retry_after.as_ref()?))
        .map(|after| seen_at + TimeDelta::microseconds(after));
    let status = event.status.unwrap_or(0);
    let refused = status == REFUSED;
    let refusal = (refused || retry_at.is_some() && OVERLOADED.contains(&status))
        .then(|| (REFUSALS, "", Change::refusal(seen_at, retry_at, refused)));
    let stated = limits.into_iter().flat_map(|limits| &limits.limits).filter_map(move |limit| {
        let kind = i16::try_from(limit.kind).ok()?;
        Some((kind, limit.window.as_str(), Change::of(limit, seen_at)))
    });
    let client_key = event.client_key.as_deref().unwrap_or_default();
    stated.chain(refusal).map(move |(kind, window, change)| {
        ((event.upstream.as_str(), client_key, kind, window, bucket(seen_at)), change)
    })
}

/// Notes what rows that were not there before state of rate limits.
pub(super) async fn add_changes<'a>(
    connection: &mut Transaction,
    rows: impl IntoIterator<Item = &'a Row>,
) -> Result<(), Error> {
    let mut changes: BTreeMap<Key<'_>, Change> = BTreeMap::new();
    for row in rows {
        for (key, change) in changes_of(row) {
            match changes.get_mut(&key) {
                Some(known) => known.add(change),
                None => _ = changes.insert(key, change),
            }
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    let mut copy = CopyRows::new(COLUMNS, changes.len());
    for ((upstream, client_key, kind, window, bucket), change) in &changes {
        copy.row()
            .text(Some(upstream))
            .text(Some(client_key))
            .smallint(Some(*kind))
            .text(Some(window))
            .integer(*bucket)
            .moment(Some(change.seen_at))
            .moment(change.resets_at)
            .bigint(change.allowed)
            .bigint(change.remaining)
            .double(change.headroom)
            .moment(Some(change.lowest.at))
            .bigint(change.lowest.remaining)
            .double(change.lowest.headroom)
            .bigint(Some(change.refused));
    }
    copy.send(connection, include_str!("queries/copy_rate_limit_changes.sql"))
        .traced("copy_rate_limit_changes")
        .await
}

/// Moves changes into the buckets, at most [`CHANGES`]; gives how many, and how many of
/// them were dropped because there are too many limits. Only for the one process that
/// holds the lock of the rollups.
pub(super) async fn fold(connection: &mut Transaction) -> Result<(i64, i64), Error> {
    Ok(sqlx::query_as(include_str!("queries/fold_rate_limits.sql"))
        .bind(CHANGES)
        .bind(MOST_LIMITS)
        .fetch_one(connection)
        .await?)
}

impl Store {
    /// Forgets what was stated before a moment.
    pub(super) async fn forget_rate_limits(&self, before: DateTime<Utc>) -> Result<(), Error> {
        let mut transaction = self.session().begin().await?;
        // A fold in between would add to a limit that goes.
        super::rollups::lock(&mut transaction).await?;
        sqlx::query(include_str!("queries/forget_rate_limits.sql"))
            .bind(minutes(before))
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Buckets of a range: the first, the first and the end of whole hours, the end.
fn buckets(range: TimeRange) -> [i32; 4] {
    let (first, end) = (bucket(range.start), bucket(range.end - TimeDelta::microseconds(1)) + FINE);
    if range.end - range.start <= LONG {
        return [first, end, end, end];
    }
    let whole = |minutes: i32| minutes - minutes.rem_euclid(COARSE);
    [first, whole(first + COARSE - 1), whole(end), end]
}

impl Snapshot {
    /// The limits of a range, those with the least left first, and what was refused.
    pub(crate) async fn rate_limits(
        &mut self,
        range: TimeRange,
        filter: &Filter,
        limit: u32,
    ) -> Result<Vec<LimitSums>, Error> {
        let [first, whole, whole_end, end] = buckets(range);
        let sums: Vec<LimitSums> = sqlx::query_as(include_str!("queries/rate_limits.sql"))
            .bind(range.start)
            .bind(range.end)
            .bind(filter.upstreams.as_deref())
            .bind(filter.client_keys.as_deref())
            .bind(filter.exclude.upstreams.as_deref())
            .bind(filter.exclude.client_keys.as_deref())
            .bind(i64::from(limit))
            .bind(first)
            .bind(whole)
            .bind(whole_end)
            .bind(end)
            .bind(self.rows_left + 1)
            .fetch_all(&mut self.transaction)
            .traced("rate_limits")
            .await?;
        self.spend(sums.first().map_or(0, |sums| sums.read))?;
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn change(seconds: i64, remaining: u64) -> Change {
        let limit =
            RateLimit { limit: Some(100), remaining: Some(remaining), ..RateLimit::default() };
        Change::of(&limit, at("2026-11-29T10:00:00Z") + TimeDelta::seconds(seconds))
    }

    #[test]
    fn the_share_that_is_left_is_known_where_it_is_stated() {
        let of = |limit, remaining, used_share| {
            headroom(&RateLimit { limit, remaining, used_share, ..RateLimit::default() })
        };
        assert_eq!(of(Some(200), Some(50), None), Some(0.25));
        assert_eq!(of(Some(200), Some(900), None), Some(1.0));
        assert_eq!(of(None, Some(0), None), Some(0.0));
        assert_eq!(of(None, Some(50), None), None);
        assert_eq!(of(Some(50), None, None), None);
        assert_eq!(of(None, None, Some(0.35)), Some(0.65));
        assert_eq!(of(None, None, Some(1.5)), Some(0.0));
    }

    #[test]
    fn the_order_in_which_changes_come_makes_no_difference() {
        let all = [change(0, 40), change(1, 10), change(2, 90), change(2, 30), change(1, 10)];
        let sum = |order: &[usize]| {
            let mut sum = all[order[0]].clone();
            order[1..].iter().for_each(|at| sum.add(all[*at].clone()));
            sum
        };
        let expected = sum(&[0, 1, 2, 3, 4]);
        assert_eq!((expected.remaining, expected.lowest.remaining), (Some(30), Some(10)));
        for order in [[4, 3, 2, 1, 0], [2, 0, 3, 4, 1], [1, 3, 0, 2, 4]] {
            assert_eq!(sum(&order), expected, "{order:?}");
        }
    }

    #[test]
    fn long_ranges_read_whole_hours_where_they_can() {
        let range = |start, end| TimeRange { start: at(start), end: at(end) };
        let first = bucket(at("2026-11-28T10:05:00Z"));
        let day = buckets(range("2026-11-28T10:07:00Z", "2026-11-29T10:07:00Z"));
        assert_eq!(day, [first, first + 1_445, first + 1_445, first + 1_445]);
        let longer = buckets(range("2026-11-28T10:07:00Z", "2026-11-29T12:30:00Z"));
        assert_eq!(longer, [first, first + 55, first + 55 + 25 * 60, first + 55 + 25 * 60 + 30]);
        let whole = buckets(range("2026-11-28T10:00:00Z", "2026-11-30T10:00:00Z"));
        assert_eq!(whole[0], whole[1]);
        assert_eq!(whole[2], whole[3]);
    }
}
