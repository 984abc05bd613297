//! One row for each group, the largest first, with a sparkline each.

use std::{collections::HashMap, ops::RangeInclusive};

use chrono::{DateTime, Utc};
use modash_access::Scope;
use modash_proto::{
    TimeRange, timestamp_from_micros,
    v1::{BreakdownOrder, BreakdownRequest, BreakdownResponse, BreakdownRow},
};

use super::{
    Queries,
    arguments::Arguments,
    cost::{cost, subtract},
    groups::{self, Group},
    percentiles::{milliseconds, rate},
};
use crate::{
    error::Failure,
    filter::Filter,
    rollup::{LEVELS, Level, Measures, Sums, Token},
    store::{Cells, Depth, Grouping},
};

/// Parts of the range in a sparkline: as many of [`SPARKLINE_PARTS`] as divide it best.
const SPARKLINE_PARTS: RangeInclusive<i32> = 18..=32;

/// Parts of a sparkline where several numbers divide the range as well.
const BEST_PARTS: i32 = 24;

/// Buckets of a level in a part of a sparkline, at least. Ends of the range that lie within
/// a bucket make the first and the last part shorter or longer by up to half a bucket.
const BUCKETS_PER_PART: i32 = 3;

/// Which groups are asked for.
pub(super) struct Ask {
    pub(super) range: TimeRange,
    pub(super) filter: Filter,
    pub(super) grouping: Grouping,
    pub(super) order: BreakdownOrder,
    /// Groups that are left out, those on the pages before.
    pub(super) skip: usize,
    /// Groups at most.
    pub(super) limit: usize,
}

/// Rows in the order asked for, how many groups there are, and all other requests.
pub(super) struct Rows {
    pub(super) rows: Vec<BreakdownRow>,
    pub(super) total: u64,
    pub(super) other: Option<BreakdownRow>,
}

impl Queries {
    pub(super) async fn answer_breakdown(
        &self,
        request: BreakdownRequest,
        scope: Scope,
    ) -> Result<BreakdownResponse, Failure> {
        let mut arguments =
            Arguments::new(request.range.as_ref(), request.filter, &request.time_zone, &scope);
        let page_size = arguments.limit("page_size", request.page_size, 100, 1_000);
        let page = request.page.max(1);
        let order = BreakdownOrder::try_from(request.order).unwrap_or_else(|_| {
            arguments.violations.add("order", "is not known to this version");
            BreakdownOrder::Unspecified
        });
        let grouping = arguments.grouping(request.group_by);
        if grouping == Grouping::None {
            arguments.violations.add("group_by", "must name a dimension or a tag");
        }
        let (range, filter, ()) = arguments.finish(Some(()))?;
        let limit = page_size as usize;
        let skip = (page as usize - 1).saturating_mul(limit);
        let ask = Ask { range, filter, grouping, order, skip, limit };
        let Rows { rows, total, other } = self.break_down(ask).await?;
        Ok(BreakdownResponse { rows, total, other, page, page_size })
    }

    /// Ranks the groups, and gives some of them as rows.
    pub(super) async fn break_down(&self, ask: Ask) -> Result<Rows, Failure> {
        let Ask { range, filter, grouping, order, skip, limit } = ask;
        let mut snapshot = self.store.snapshot().await?;
        let selection = snapshot.select(range, &filter).await?;
        let mut members = snapshot.members(&filter, &grouping).await?;
        // Histograms are most of the bytes: with many groups, read them only for those
        // that are shown. A second look at a third of them would cost more than they do.
        let few = members.groups() <= 3 * limit && !members.reads_requests();
        let depth = if few { Depth::Distributions } else { Depth::Sums };
        let size = |all: &Measures| (Rank::new(&all.sums, order), all.sums.requests);
        let mut groups =
            groups::by_size(&mut snapshot, &selection, &mut members, depth, size).await?;
        let total = snapshot.count_groups(&selection, &members, groups.len()).await?;
        groups.drain(..skip.min(groups.len()));
        groups.truncate(limit);
        let numbers: Vec<i32> = groups.iter().map(|group| group.number).collect();
        let mut members = members.only(&numbers);
        if !few {
            let depth = Depth::Distributions;
            groups = groups::by_size(&mut snapshot, &selection, &mut members, depth, size).await?;
            groups.retain(|group| numbers.contains(&group.number));
        }
        let parts = parts(range);
        let (cells, all) = if total > groups.len() as u64 || members.may_leave_some_out() {
            let mut all = snapshot.members(&filter, &Grouping::None).await?;
            let depth = Depth::Sums;
            let (cells, all) =
                snapshot.cells_and_all(&selection, &mut members, &mut all, &parts, depth).await?;
            (cells, Some(all))
        } else {
            let cells = snapshot.cells(&selection, &mut members, &parts, Depth::Sums).await?;
            (cells, None)
        };
        let parts = parts.len() - 1;
        let mut rows = rows(cells, &groups, parts);
        let rest = all.map(|all| without(row_of_all(all, parts), &rows));
        let mut other = rest.filter(|rest| rest.requests > 0);
        let all_requests: u64 = rows.iter().chain(&other).map(|row| row.requests).sum();
        for row in rows.iter_mut().chain(&mut other) {
            row.share = share(row.requests, all_requests);
        }
        Ok(Rows { rows, total, other })
    }
}

/// The rows of groups, without their shares; `parts`: those of a sparkline.
fn rows(cells: Cells, groups: &[Group], parts: usize) -> Vec<BreakdownRow> {
    let mut sparklines: HashMap<i32, Vec<u64>> = HashMap::new();
    for ((part, group), measures) in cells {
        let line = sparklines.entry(group).or_insert_with(|| vec![0; parts]);
        if let Some(slot) = usize::try_from(part).ok().and_then(|part| line.get_mut(part)) {
            *slot += measures.sums.requests.cast_unsigned();
        }
    }
    let row = |group: &Group| {
        let sparkline = sparklines.remove(&group.number);
        response(group, sparkline.unwrap_or_else(|| vec![0; parts]))
    };
    groups.iter().map(row).collect()
}

/// The row of all requests, by parts of the range.
fn row_of_all(cells: HashMap<i32, Measures>, parts: usize) -> BreakdownRow {
    let mut all = Group::default();
    let mut sparkline = vec![0; parts];
    for (part, measures) in cells {
        if let Some(slot) = usize::try_from(part).ok().and_then(|part| sparkline.get_mut(part)) {
            *slot += measures.sums.requests.cast_unsigned();
        }
        all.measures.merge(&measures);
    }
    response(&all, sparkline)
}

/// The row of all requests minus those in `rows`.
fn without(mut rest: BreakdownRow, rows: &[BreakdownRow]) -> BreakdownRow {
    for row in rows {
        for (left, part) in [
            (&mut rest.requests, row.requests),
            (&mut rest.failed_requests, row.failed_requests),
            (&mut rest.prompt_tokens, row.prompt_tokens),
            (&mut rest.cached_prompt_tokens, row.cached_prompt_tokens),
            (&mut rest.cache_write_tokens, row.cache_write_tokens),
            (&mut rest.completion_tokens, row.completion_tokens),
            (&mut rest.reasoning_tokens, row.reasoning_tokens),
            (&mut rest.total_tokens, row.total_tokens),
            (&mut rest.requests_without_usage, row.requests_without_usage),
        ] {
            *left = left.saturating_sub(part);
        }
        if let (Some(left), Some(part)) = (&mut rest.cost, &row.cost) {
            subtract(left, part);
        }
        for (left, part) in rest.sparkline.iter_mut().zip(&row.sparkline) {
            *left = left.saturating_sub(*part);
        }
    }
    rest.error_share = share(rest.failed_requests, rest.requests);
    // The newest request may belong to a group that is shown.
    rest.last_seen_at = None;
    rest
}

/// A part of a whole that may be nothing.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// What groups are ordered by, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Number(i64),
    Moment(Option<i64>),
    /// Failed requests and all of them.
    Share(Share),
}

/// A share of requests, compared without rounding.
#[derive(Debug, Clone, Copy)]
struct Share {
    part: i64,
    whole: i64,
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let product = |a: i64, b: i64| i128::from(a) * i128::from(b);
        product(self.part, other.whole).cmp(&product(other.part, self.whole))
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Share {}

impl Rank {
    fn new(sums: &Sums, order: BreakdownOrder) -> Self {
        match order {
            BreakdownOrder::TotalTokens => Self::Number(sums.tokens(Token::Total)),
            BreakdownOrder::CompletionTokens => Self::Number(sums.tokens(Token::Completion)),
            BreakdownOrder::Cost => Self::Number(sums.cost.known.sum),
            BreakdownOrder::LastSeen => Self::Moment(sums.last_started_us),
            BreakdownOrder::ErrorShare => {
                Self::Share(Share { part: sums.failed, whole: sums.requests })
            }
            BreakdownOrder::Unspecified | BreakdownOrder::Requests => Self::Number(sums.requests),
        }
    }
}

/// Bounds of the parts of a range: of as many buckets of a level each, the widest of which
/// they have enough. Only the first and the last part may be longer or shorter.
fn parts(range: TimeRange) -> Vec<DateTime<Utc>> {
    let length = range.end - range.start;
    let fits = |level: &&Level| level.length() * BUCKETS_PER_PART * BEST_PARTS <= length;
    let Some(level) = LEVELS.iter().rev().find(fits) else {
        let bounds = (0..BEST_PARTS).map(|part| range.start + length / BEST_PARTS * part);
        return bounds.chain([range.end]).collect();
    };
    let nearest = |at: DateTime<Utc>| level.floor(at + level.length() / 2);
    let end = nearest(range.end);
    let seconds = (end - nearest(range.start)).num_seconds();
    let buckets = i32::try_from(seconds / i64::from(level.width)).unwrap_or(i32::MAX);
    let per_part = |parts: i32| (buckets + parts / 2) / parts;
    let left = |parts: i32| (buckets - parts * per_part(parts)).abs();
    let parts =
        SPARKLINE_PARTS.rev().min_by_key(|parts| (left(*parts), (parts - BEST_PARTS).abs()));
    let parts = parts.unwrap_or(BEST_PARTS);
    let inner = (1..parts).rev().map(|later| end - level.length() * per_part(parts) * later);
    [range.start].into_iter().chain(inner).chain([range.end]).collect()
}

fn response(group: &Group, sparkline: Vec<u64>) -> BreakdownRow {
    let all = &group.measures;
    let sums = &all.sums;
    let tokens = |token| sums.tokens(token).cast_unsigned();
    BreakdownRow {
        key: group.name.clone(),
        requests: sums.requests.cast_unsigned(),
        share: 0.0,
        failed_requests: sums.failed.cast_unsigned(),
        error_share: share(sums.failed.cast_unsigned(), sums.requests.cast_unsigned()),
        prompt_tokens: tokens(Token::Prompt),
        cached_prompt_tokens: tokens(Token::CachedPrompt),
        cache_write_tokens: tokens(Token::CacheWrite),
        completion_tokens: tokens(Token::Completion),
        reasoning_tokens: tokens(Token::Reasoning),
        total_tokens: tokens(Token::Total),
        requests_without_usage: sums.without_usage.cast_unsigned(),
        decode_tokens_per_second_p50: rate(&all.decode_rate, 0.5),
        prefill_tokens_per_second_p50: rate(&all.prefill_rate, 0.5),
        time_to_first_token_ms_p50: milliseconds(&all.first_token_us, 0.5),
        time_to_first_token_ms_p95: milliseconds(&all.first_token_us, 0.95),
        last_seen_at: sums.last_started_us.map(timestamp_from_micros),
        sparkline,
        cost: Some(cost(&sums.cost)),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn parts_of(start: &str, length: TimeDelta) -> Vec<DateTime<Utc>> {
        let start = start.parse().unwrap();
        parts(TimeRange { start, end: start + length })
    }

    #[test]
    fn parts_are_whole_buckets_of_a_level_and_equal() {
        for (days, level, parts, buckets) in
            [(90, 4, 30, 3), (30, 3, 24, 5), (7, 2, 24, 7), (1, 1, 24, 4)]
        {
            let bounds = parts_of("2026-11-23T10:24:30.5Z", TimeDelta::days(days));
            assert_eq!(bounds.len(), parts + 1, "{days} days");
            for inner in bounds[1..parts].windows(2) {
                assert_eq!(LEVELS[level].floor(inner[0]), inner[0], "{days} days");
                assert_eq!(inner[1] - inner[0], LEVELS[level].length() * buckets, "{days} days");
            }
        }
        let short = parts_of("2026-11-23T10:24:30.5Z", TimeDelta::seconds(24));
        assert_eq!((short.len(), short[1] - short[0]), (25, TimeDelta::seconds(1)));
    }

    #[test]
    fn the_ends_of_every_range_are_parts_too() {
        for minutes in (0..100).chain((100..800_000).step_by(331)) {
            let length = TimeDelta::seconds(minutes * 61 + 1);
            let bounds = parts_of("2026-11-23T10:20:30.5Z", length);
            assert!(bounds.is_sorted_by(|a, b| a < b), "{minutes} minutes: {bounds:?}");
            assert_eq!(*bounds.last().unwrap() - bounds[0], length);
            assert!((19..=33).contains(&bounds.len()), "{minutes} minutes: {}", bounds.len());
            let inner = bounds[2] - bounds[1];
            for end in [bounds[1] - bounds[0], length - (bounds[bounds.len() - 2] - bounds[0])] {
                assert!(end * 3 > inner && end < inner * 2, "{minutes} minutes: {end} of {inner}");
            }
        }
    }

    #[test]
    fn shares_are_compared_as_fractions() {
        let share = |part, whole| Share { part, whole };
        assert!(share(1, 3) < share(1, 2) && share(2, 4) == share(1, 2));
    }
}
