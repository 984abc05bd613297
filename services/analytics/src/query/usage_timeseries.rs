//! Requests and tokens over time, as columns; buckets without requests are 0.

use modash_proto::v1::{UsageSeries, UsageTimeseriesRequest, UsageTimeseriesResponse};

use super::{
    Queries,
    arguments::{Arguments, Split},
    group_key,
};
use crate::{
    error::Failure,
    store::{Grouping, UsageCell},
};

impl Queries {
    pub(super) async fn answer_usage_timeseries(
        &self,
        request: UsageTimeseriesRequest,
    ) -> Result<UsageTimeseriesResponse, Failure> {
        let mut arguments =
            Arguments::new(request.range.as_ref(), request.filter, &request.time_zone);
        let split = arguments.split(request.bucket_seconds, request.group_by, request.top);
        let (range, filter, Split { grid, grouping, top }) = arguments.finish(split)?;
        let selection = self.store.select(range, &filter).await?;
        let cells = self.store.usage_timeseries(&selection, &grid.starts, &grouping, top).await?;
        Ok(UsageTimeseriesResponse {
            bucket_seconds: grid.bucket_seconds,
            bucket_starts: grid.wire_starts(),
            series: columns(&cells, &grouping, top, grid.starts.len()),
        })
    }
}

/// Cells in the order of rank, as columns.
fn columns(cells: &[UsageCell], grouping: &Grouping, top: u32, buckets: usize) -> Vec<UsageSeries> {
    let mut columns: Vec<UsageSeries> = Vec::new();
    // A chart of everything has its line also where nothing happened.
    if *grouping == Grouping::None {
        columns.push(empty(String::new(), false, buckets));
    }
    for cell in cells {
        let place = usize::try_from(cell.rank - 1).unwrap_or_default();
        if place == columns.len() {
            let other = cell.rank > i64::from(top);
            let key = if other { String::new() } else { group_key(grouping, &cell.key) };
            columns.push(empty(key, other, buckets));
        }
        let bucket = usize::try_from(cell.bucket - 1).unwrap_or_default();
        let Some(series) = columns.get_mut(place) else { continue };
        for (column, value) in [
            (&mut series.requests, cell.requests),
            (&mut series.failed_requests, cell.failed_requests),
            (&mut series.prompt_tokens, cell.prompt_tokens),
            (&mut series.cached_prompt_tokens, cell.cached_prompt_tokens),
            (&mut series.completion_tokens, cell.completion_tokens),
            (&mut series.reasoning_tokens, cell.reasoning_tokens),
            (&mut series.total_tokens, cell.total_tokens),
        ] {
            if let Some(slot) = column.get_mut(bucket) {
                *slot = value.cast_unsigned();
            }
        }
    }
    columns
}

fn empty(key: String, other: bool, buckets: usize) -> UsageSeries {
    let zeros = || vec![0; buckets];
    UsageSeries {
        key,
        other,
        requests: zeros(),
        failed_requests: zeros(),
        prompt_tokens: zeros(),
        cached_prompt_tokens: zeros(),
        completion_tokens: zeros(),
        reasoning_tokens: zeros(),
        total_tokens: zeros(),
    }
}
