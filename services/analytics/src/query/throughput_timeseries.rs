//! Speeds, waiting times and concurrency over time, as columns; NaN is unknown.

use std::collections::HashMap;

use modash_proto::v1::{
    ThroughputSeries, ThroughputTimeseriesRequest, ThroughputTimeseriesResponse,
};

use super::{
    Queries,
    arguments::{Arguments, Split},
    grid::Grid,
    group_key,
    percentiles::{at, milliseconds},
};
use crate::{
    error::Failure,
    store::{Cells, ConcurrencyCell, GapCell, Grouping, ThroughputCell},
};

impl Queries {
    pub(super) async fn answer_throughput_timeseries(
        &self,
        request: ThroughputTimeseriesRequest,
    ) -> Result<ThroughputTimeseriesResponse, Failure> {
        let mut arguments =
            Arguments::new(request.range.as_ref(), request.filter, &request.time_zone);
        let split = arguments.split(request.bucket_seconds, request.group_by, request.top);
        let (range, filter, Split { grid, grouping, top }) = arguments.finish(split)?;
        let store = &self.store;
        let selection = store.select(range, &filter).await?;
        let keys = match grouping {
            Grouping::None => vec![String::new()],
            _ => store.largest_groups(&selection, &grouping, top).await?,
        };
        let cells = Cells {
            selection: &selection,
            bucket_starts: &grid.starts,
            grouping: &grouping,
            keys: &keys,
        };
        let (throughput, concurrency, gaps) = tokio::try_join!(
            store.throughput(&cells),
            store.concurrency(&cells),
            store.token_gaps(&cells),
        )?;
        let mut columns = Columns::new(&grid, &grouping, &keys);
        throughput.iter().for_each(|cell| columns.add_throughput(cell));
        concurrency.iter().for_each(|cell| columns.add_concurrency(cell));
        gaps.iter().for_each(|cell| columns.add_gaps(cell));
        Ok(ThroughputTimeseriesResponse {
            bucket_seconds: grid.bucket_seconds,
            bucket_starts: grid.wire_starts(),
            series: columns.series,
        })
    }
}

/// The answer while it is filled.
struct Columns<'a> {
    series: Vec<ThroughputSeries>,
    places: HashMap<&'a str, usize>,
    bucket_seconds: Vec<f64>,
}

impl<'a> Columns<'a> {
    fn new(grid: &Grid, grouping: &Grouping, keys: &'a [String]) -> Self {
        let buckets = grid.starts.len();
        Self {
            series: keys.iter().map(|key| empty(group_key(grouping, key), buckets)).collect(),
            places: keys.iter().enumerate().map(|(at, key)| (key.as_str(), at)).collect(),
            bucket_seconds: grid.seconds().collect(),
        }
    }

    /// The series of a key; the place and the seconds of a bucket, which counts
    /// from 1.
    fn place(&mut self, key: &str, bucket: i32) -> Option<(&mut ThroughputSeries, usize, f64)> {
        let place = *self.places.get(key)?;
        let bucket = usize::try_from(bucket - 1).ok()?;
        let seconds = *self.bucket_seconds.get(bucket)?;
        Some((&mut self.series[place], bucket, seconds))
    }

    fn add_throughput(&mut self, cell: &ThroughputCell) {
        let Some((series, bucket, seconds)) = self.place(&cell.key, cell.bucket) else { return };
        let decode = cell.decode_rate.as_ref();
        let first_token = cell.first_token_us.as_ref();
        series.tokens_per_second[bucket] = cell.completion_tokens as f64 / seconds;
        series.requests[bucket] = cell.requests.cast_unsigned();
        series.requests_with_decode[bucket] = cell.requests_with_decode.cast_unsigned();
        series.requests_with_prefill[bucket] = cell.requests_with_prefill.cast_unsigned();
        series.requests_with_first_token[bucket] = cell.requests_with_first_token.cast_unsigned();
        for (column, value) in [
            (&mut series.decode_p5, at(decode, 0)),
            (&mut series.decode_p50, at(decode, 1)),
            (&mut series.decode_p95, at(decode, 2)),
            (&mut series.prefill_p50, cell.prefill_rate),
            (&mut series.time_to_first_token_ms_p50, at(first_token, 0).map(milliseconds)),
            (&mut series.time_to_first_token_ms_p95, at(first_token, 1).map(milliseconds)),
            (&mut series.time_to_first_token_ms_p99, at(first_token, 2).map(milliseconds)),
        ] {
            column[bucket] = value.unwrap_or(f64::NAN);
        }
    }

    fn add_concurrency(&mut self, cell: &ConcurrencyCell) {
        let Some((series, bucket, _)) = self.place(&cell.key, cell.bucket) else { return };
        series.concurrency_mean[bucket] = cell.mean;
        series.concurrency_max[bucket] = cell.most.cast_unsigned();
    }

    fn add_gaps(&mut self, cell: &GapCell) {
        let Some((series, bucket, _)) = self.place(&cell.key, cell.bucket) else { return };
        let quantile = |quantile| cell.gaps.quantile(quantile).map_or(f64::NAN, milliseconds);
        series.token_gap_ms_p50[bucket] = quantile(0.5);
        series.token_gap_ms_p99[bucket] = quantile(0.99);
    }
}

fn empty(key: String, buckets: usize) -> ThroughputSeries {
    let unknown = || vec![f64::NAN; buckets];
    let none = || vec![0; buckets];
    ThroughputSeries {
        key,
        tokens_per_second: vec![0.0; buckets],
        decode_p5: unknown(),
        decode_p50: unknown(),
        decode_p95: unknown(),
        prefill_p50: unknown(),
        time_to_first_token_ms_p50: unknown(),
        time_to_first_token_ms_p95: unknown(),
        time_to_first_token_ms_p99: unknown(),
        token_gap_ms_p50: unknown(),
        token_gap_ms_p99: unknown(),
        concurrency_mean: vec![0.0; buckets],
        concurrency_max: none(),
        requests: none(),
        requests_with_decode: none(),
        requests_with_prefill: none(),
        requests_with_first_token: none(),
    }
}
