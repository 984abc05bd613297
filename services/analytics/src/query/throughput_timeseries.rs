//! Speeds, waiting times and concurrency over time, as columns; NaN is unknown.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use modash_access::Scope;
use modash_histogram::Histogram;
use modash_proto::{
    TimeRange,
    v1::{ThroughputSeries, ThroughputTimeseriesRequest, ThroughputTimeseriesResponse},
};

use super::{
    Queries,
    arguments::{Arguments, Split},
    grid::Grid,
    groups,
    percentiles::{milliseconds, rate},
};
use crate::{
    error::Failure,
    rollup::{LEVELS, Level, Measures, Token},
    store::{Cells, Depth, Grouping, Members, Selection, Snapshot},
};

/// Most steps over which concurrency is averaged.
const MOST_STEPS: i64 = 2_500;

impl Queries {
    pub(super) async fn answer_throughput_timeseries(
        &self,
        request: ThroughputTimeseriesRequest,
        scope: Scope,
    ) -> Result<ThroughputTimeseriesResponse, Failure> {
        let mut arguments =
            Arguments::new(request.range.as_ref(), request.filter, &request.time_zone, &scope);
        let split = arguments.split(request.bucket_seconds, request.group_by, request.top);
        let (range, filter, Split { grid, grouping, top }) = arguments.finish(split)?;
        let mut snapshot = self.store.snapshot().await?;
        let selection = snapshot.select(range, &filter).await?;
        let mut members = snapshot.members(&filter, &grouping).await?;
        let mut columns = Columns::new(&grid);
        let mut other_groups = 0;
        if grouping == Grouping::None {
            columns.open(0, String::new(), String::new());
        } else {
            let size = |all: &Measures| all.sums.requests;
            let mut ranked =
                groups::by_size(&mut snapshot, &selection, &mut members, Depth::Sums, size).await?;
            let total = snapshot.count_groups(&selection, &members, ranked.len()).await?;
            ranked.truncate(top as usize);
            other_groups = total - ranked.len() as u64;
            for group in &ranked {
                columns.open(group.number, group.key.clone(), group.name.clone());
            }
            let numbers: Vec<i32> = ranked.iter().map(|group| group.number).collect();
            members = members.only(&numbers);
        }
        let bounds = grid.bounds(range);
        let cells = snapshot.cells(&selection, &mut members, &bounds, Depth::Distributions).await?;
        for ((bucket, group), measures) in &cells {
            columns.add(*bucket, *group, measures);
        }
        match steps(&snapshot, &selection, &members, &grid, range) {
            Some(level) => {
                let steps = Steps::new(&grid, range, level);
                let cells = steps.cells(&mut snapshot, &selection, &mut members).await?;
                columns.add_steps(&steps, &cells);
            }
            None => {
                let keys = &columns.keys;
                let cells = snapshot.concurrency(&selection, &grid.starts, &grouping, keys).await?;
                for cell in cells {
                    columns.add_concurrency(&cell.key, cell.bucket - 1, cell.mean, cell.most);
                }
            }
        }
        Ok(ThroughputTimeseriesResponse {
            bucket_seconds: grid.bucket_seconds,
            bucket_starts: grid.wire_starts(),
            series: columns.series,
            other_groups,
        })
    }
}

/// The level by whose buckets concurrency is told; `None` where only single
/// requests tell it.
fn steps(
    snapshot: &Snapshot,
    selection: &Selection,
    members: &Members,
    grid: &Grid,
    range: TimeRange,
) -> Option<Level> {
    let minute = LEVELS[0];
    let whole_minutes = grid.starts.iter().all(|start| minute.floor(*start) == *start);
    let of_requests = selection.reads_requests() || members.reads_requests();
    if of_requests || !whole_minutes || grid.bucket_seconds < 60 {
        return None;
    }
    snapshot.step(members, range.start, range.end, MOST_STEPS)
}

/// Parts of a range: the buckets of a level, cut where buckets of the answer
/// begin. Of a minute in which the range begins or ends nothing counts.
struct Steps {
    bounds: Vec<DateTime<Utc>>,
    /// Place of the answer's bucket for each step.
    places: Vec<i32>,
}

impl Steps {
    fn new(grid: &Grid, range: TimeRange, level: Level) -> Self {
        let (start, end) = (LEVELS[0].ceil(range.start), LEVELS[0].floor(range.end));
        let mut bounds: Vec<_> = grid.starts.iter().copied().chain([start, end]).collect();
        let mut bound = level.ceil(start);
        while bound < end {
            bounds.push(bound);
            bound += level.length();
        }
        bounds.retain(|bound| (start..=end).contains(bound));
        bounds.sort_unstable();
        bounds.dedup();
        let place = |at: &DateTime<Utc>| grid.starts.partition_point(|start| start <= at);
        let places = bounds.iter().map(|at| i32::try_from(place(at)).unwrap_or(0) - 1).collect();
        Self { bounds, places }
    }

    async fn cells(
        &self,
        snapshot: &mut Snapshot,
        selection: &Selection,
        members: &mut Members,
    ) -> Result<Cells, Failure> {
        Ok(snapshot.cells(selection, members, &self.bounds, Depth::Sums).await?)
    }

    fn seconds(&self, step: usize) -> f64 {
        match self.bounds.get(step..step + 2) {
            Some([from, to]) => (*to - *from).as_seconds_f64(),
            _ => 0.0,
        }
    }
}

/// The answer while it is filled.
struct Columns {
    series: Vec<ThroughputSeries>,
    /// Values of the groups as the statements know them.
    keys: Vec<String>,
    places: HashMap<i32, usize>,
    bucket_seconds: Vec<f64>,
}

impl Columns {
    fn new(grid: &Grid) -> Self {
        Self {
            series: Vec::new(),
            keys: Vec::new(),
            places: HashMap::new(),
            bucket_seconds: grid.seconds().collect(),
        }
    }

    fn open(&mut self, group: i32, key: String, shown: String) {
        self.places.insert(group, self.series.len());
        self.keys.push(key);
        self.series.push(empty(shown, self.bucket_seconds.len()));
    }

    fn add(&mut self, bucket: i32, group: i32, all: &Measures) {
        let Some(series) = self.places.get(&group).map(|place| &mut self.series[*place]) else {
            return;
        };
        let Ok(bucket) = usize::try_from(bucket) else { return };
        let Some(seconds) = self.bucket_seconds.get(bucket) else { return };
        let count = Histogram::count;
        series.tokens_per_second[bucket] = all.sums.tokens(Token::Completion) as f64 / seconds;
        series.requests[bucket] = all.sums.requests.cast_unsigned();
        series.requests_with_decode[bucket] = count(&all.decode_rate);
        series.requests_with_prefill[bucket] = count(&all.prefill_rate);
        series.requests_with_first_token[bucket] = count(&all.first_token_us);
        for (column, value) in [
            (&mut series.decode_p5, rate(&all.decode_rate, 0.05)),
            (&mut series.decode_p50, rate(&all.decode_rate, 0.5)),
            (&mut series.decode_p95, rate(&all.decode_rate, 0.95)),
            (&mut series.prefill_p50, rate(&all.prefill_rate, 0.5)),
            (&mut series.time_to_first_token_ms_p50, milliseconds(&all.first_token_us, 0.5)),
            (&mut series.time_to_first_token_ms_p95, milliseconds(&all.first_token_us, 0.95)),
            (&mut series.time_to_first_token_ms_p99, milliseconds(&all.first_token_us, 0.99)),
            (&mut series.token_gap_ms_p50, milliseconds(&all.token_gaps, 0.5)),
            (&mut series.token_gap_ms_p99, milliseconds(&all.token_gaps, 0.99)),
        ] {
            column[bucket] = value.unwrap_or(f64::NAN);
        }
    }

    /// Mean over the steps of each bucket; as maximum the highest mean of a step.
    fn add_steps(&mut self, steps: &Steps, cells: &Cells) {
        let buckets = self.bucket_seconds.len();
        let mut seconds = vec![0.0; buckets];
        for (step, place) in steps.places.iter().enumerate() {
            if let Some(slot) = usize::try_from(*place).ok().and_then(|at| seconds.get_mut(at)) {
                *slot += steps.seconds(step);
            }
        }
        for series in &mut self.series {
            for (mean, seconds) in series.concurrency_mean.iter_mut().zip(&seconds) {
                *mean = if *seconds > 0.0 { 0.0 } else { f64::NAN };
            }
        }
        for ((step, group), all) in cells {
            let Some(series) = self.places.get(group).map(|place| &mut self.series[*place]) else {
                continue;
            };
            let Ok(step) = usize::try_from(*step) else { continue };
            let Some(bucket) = steps.places.get(step).and_then(|at| usize::try_from(*at).ok())
            else {
                continue;
            };
            let busy = all.sums.busy_us as f64 / 1e6;
            series.concurrency_mean[bucket] += busy / seconds[bucket];
            // A sum of microseconds that fills the step is no more than it.
            let highest = (busy / steps.seconds(step) - 1e-9).ceil().max(0.0) as u64;
            let most = &mut series.concurrency_max[bucket];
            *most = (*most).max(highest);
        }
    }

    fn add_concurrency(&mut self, key: &str, bucket: i32, mean: f64, most: i64) {
        let Some(place) = self.keys.iter().position(|known| known == key) else { return };
        let Ok(bucket) = usize::try_from(bucket) else { return };
        let series = &mut self.series[place];
        if let (Some(slot), Some(highest)) =
            (series.concurrency_mean.get_mut(bucket), series.concurrency_max.get_mut(bucket))
        {
            (*slot, *highest) = (mean, most.cast_unsigned());
        }
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
