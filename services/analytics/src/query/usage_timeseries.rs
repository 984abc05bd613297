//! Requests and tokens over time, as columns; buckets without requests are 0.

use modash_access::Scope;
use modash_proto::v1::{UsageSeries, UsageTimeseriesRequest, UsageTimeseriesResponse};

use super::{
    Queries,
    arguments::{Arguments, Split},
    groups,
};
use crate::{
    error::Failure,
    rollup::{Sums, Token},
    store::{Depth, Grouping},
};

impl Queries {
    pub(super) async fn answer_usage_timeseries(
        &self,
        request: UsageTimeseriesRequest,
        scope: Scope,
    ) -> Result<UsageTimeseriesResponse, Failure> {
        let mut arguments =
            Arguments::new(request.range.as_ref(), request.filter, &request.time_zone, &scope);
        let split = arguments.split(request.bucket_seconds, request.group_by, request.top);
        let (range, filter, Split { grid, grouping, top }) = arguments.finish(split)?;
        let mut snapshot = self.store.snapshot().await?;
        let selection = snapshot.select(range, &filter).await?;
        let mut members = snapshot.members(&filter, &grouping).await?;
        let mut columns = Columns::new(grid.starts.len());
        let mut other_groups = 0;
        if grouping == Grouping::None {
            // A chart of everything has its line also where nothing happened.
            columns.open(String::new(), false);
            columns.places.insert(0, 0);
        } else {
            let size =
                |all: &crate::rollup::Measures| (all.sums.tokens(Token::Total), all.sums.requests);
            let ranked =
                groups::by_size(&mut snapshot, &selection, &mut members, Depth::Sums, size).await?;
            let total = snapshot.count_groups(&selection, &members, ranked.len()).await?;
            let (own, _) = ranked.split_at(ranked.len().min(top as usize));
            for group in own {
                let place = columns.open(group.name.clone(), false);
                columns.places.insert(group.number, place);
            }
            other_groups = total - own.len() as u64;
            if other_groups > 0 || members.may_leave_some_out() {
                let numbers: Vec<i32> = own.iter().map(|group| group.number).collect();
                members = members.only(&numbers);
                columns.other = Some(columns.open(String::new(), true));
            }
        }
        let bounds = grid.bounds(range);
        let (cells, all) = if columns.other.is_some() && !members.tells_all() {
            let mut all = snapshot.members(&filter, &Grouping::None).await?;
            snapshot.cells_and_all(&selection, &mut members, &mut all, &bounds, Depth::Sums).await?
        } else {
            let cells = snapshot.cells(&selection, &mut members, &bounds, Depth::Sums).await?;
            (cells, Default::default())
        };
        let (mut own, mut rest) = (Vec::new(), Vec::new());
        for ((bucket, group), measures) in cells {
            let known = columns.places.contains_key(&group);
            if known { &mut own } else { &mut rest }.push((bucket, group, measures.sums));
        }
        for (bucket, group, sums) in &own {
            if let Some(place) = columns.places.get(group) {
                add(&mut columns.series[*place], *bucket, sums);
            }
        }
        if let Some(other) = columns.other {
            if members.tells_all() {
                rest.iter().for_each(|(bucket, _, sums)| {
                    add(&mut columns.series[other], *bucket, sums);
                });
            } else {
                // What belongs to no group with a series is all without those.
                for (bucket, measures) in all {
                    add(&mut columns.series[other], bucket, &measures.sums);
                }
                for (bucket, _, sums) in &own {
                    subtract(&mut columns.series[other], *bucket, sums);
                }
            }
            if other_groups == 0 && columns.series[other].requests.iter().all(|sum| *sum == 0) {
                columns.series.remove(other);
            }
        }
        Ok(UsageTimeseriesResponse {
            bucket_seconds: grid.bucket_seconds,
            bucket_starts: grid.wire_starts(),
            series: columns.series,
            other_groups,
        })
    }
}

/// The answer while it is filled.
struct Columns {
    buckets: usize,
    series: Vec<UsageSeries>,
    /// Places of groups in `series`.
    places: std::collections::HashMap<i32, usize>,
    other: Option<usize>,
}

impl Columns {
    fn new(buckets: usize) -> Self {
        Self { buckets, series: Vec::new(), places: Default::default(), other: None }
    }

    fn open(&mut self, key: String, other: bool) -> usize {
        let zeros = || vec![0; self.buckets];
        self.series.push(UsageSeries {
            key,
            other,
            requests: zeros(),
            failed_requests: zeros(),
            prompt_tokens: zeros(),
            cached_prompt_tokens: zeros(),
            completion_tokens: zeros(),
            reasoning_tokens: zeros(),
            total_tokens: zeros(),
            cost_nano_usd: zeros(),
            cache_saving_nano_usd: vec![0; self.buckets],
            unknown_cost_requests: zeros(),
        });
        self.series.len() - 1
    }
}

fn add(series: &mut UsageSeries, bucket: i32, sums: &Sums) {
    change(series, bucket, sums, u64::saturating_add, i64::saturating_add);
}

fn subtract(series: &mut UsageSeries, bucket: i32, sums: &Sums) {
    change(series, bucket, sums, u64::saturating_sub, i64::saturating_sub);
}

/// Changes a bucket of every column: of counts by `counts`, of signed sums by `signed`.
fn change(
    series: &mut UsageSeries,
    bucket: i32,
    sums: &Sums,
    counts: fn(u64, u64) -> u64,
    signed: fn(i64, i64) -> i64,
) {
    let bucket = usize::try_from(bucket).unwrap_or(usize::MAX);
    for (column, value) in [
        (&mut series.requests, sums.requests),
        (&mut series.failed_requests, sums.failed),
        (&mut series.prompt_tokens, sums.tokens(Token::Prompt)),
        (&mut series.cached_prompt_tokens, sums.tokens(Token::CachedPrompt)),
        (&mut series.completion_tokens, sums.tokens(Token::Completion)),
        (&mut series.reasoning_tokens, sums.tokens(Token::Reasoning)),
        (&mut series.total_tokens, sums.tokens(Token::Total)),
        (&mut series.cost_nano_usd, sums.cost.known.sum),
        (&mut series.unknown_cost_requests, sums.cost.unknown),
    ] {
        if let Some(slot) = column.get_mut(bucket) {
            *slot = counts(*slot, value.cast_unsigned());
        }
    }
    if let Some(slot) = series.cache_saving_nano_usd.get_mut(bucket) {
        *slot = signed(*slot, sums.cost.cache_saving);
    }
}
