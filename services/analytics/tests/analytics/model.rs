//! The questions answered a second time, over a list of events in memory, in the
//! plainest way there is; and the statement that both answers are the same.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Timelike as _, Utc};
use modash_analytics::rebuild_rollups;
use modash_histogram::Histogram;
use modash_proto::{
    TimeRange, micros_from_duration, micros_from_timestamp,
    v1::{
        BreakdownOrder, BreakdownRequest, Cost, CostSource, Dimension, ErrorBreakdownRequest,
        Exclusion, Filter, GroupBy, ModelBreakdownRequest, ModelOrder, Operation, Outcome,
        RecentRequestsRequest, SessionOrder, SessionRequest, SessionRow, SessionsRequest,
        ThroughputTimeseriesRequest, UsageEvent, UsageSummaryRequest, UsageTimeseriesRequest,
        group_by::By,
    },
};

use crate::{
    costs::{self, PricesFile},
    harness::{TestAnalytics, assert_near, at, config},
    random::Random,
};

/// Questions of each kind.
const QUESTIONS: usize = 40;

fn started(event: &UsageEvent) -> i64 {
    micros_from_timestamp(event.started_at.as_ref().unwrap()).unwrap()
}

fn lasted(event: &UsageEvent) -> i64 {
    event.duration.as_ref().map_or(0, |duration| micros_from_duration(duration).unwrap())
}

fn failed(event: &UsageEvent) -> bool {
    ![Outcome::Ok.into(), Outcome::ClientClosed.into()].contains(&event.outcome)
}

fn without_usage(event: &UsageEvent) -> bool {
    event.outcome == 1
        && [1, 2, 3].contains(&event.operation)
        && [4, 5].contains(&event.usage_source)
}

/// Whether it names no model and needs none.
fn calls_no_model(event: &UsageEvent) -> bool {
    event.model.is_none() && [11, 12].contains(&event.operation)
}

fn passes(event: &UsageEvent, filter: Option<&Filter>) -> bool {
    let Some(filter) = filter else { return true };
    let text = |wanted: &[String], value: Option<&str>| {
        wanted.is_empty() || wanted.iter().any(|wanted| wanted == value.unwrap_or(""))
    };
    text(&filter.models, event.model.as_deref())
        && (filter.models.is_empty() || !calls_no_model(event))
        && text(&filter.upstreams, Some(&event.upstream))
        && text(&filter.dialects, Some(&event.dialect))
        && text(&filter.client_keys, event.client_key.as_deref())
        && text(&filter.users, event.user.as_deref())
        && (filter.sessions.is_empty()
            || event.session.as_ref().is_some_and(|session| filter.sessions.contains(session)))
        && text(&filter.trace_ids, event.trace_id.as_deref())
        && (filter.operations.is_empty() || filter.operations.contains(&event.operation))
        && (filter.outcomes.is_empty() || filter.outcomes.contains(&event.outcome))
        && filter.tags.iter().all(|(name, value)| event.tags.get(name) == Some(value))
        && filter.stream.is_none_or(|stream| stream == event.stream)
        && filter.min_prompt_tokens.is_none_or(|least| event.prompt_tokens >= Some(least))
        && filter
            .max_prompt_tokens
            .is_none_or(|most| event.prompt_tokens.is_some_and(|tokens| tokens <= most))
        && !filter.exclude.as_ref().is_some_and(|excluded| is_excluded(event, excluded))
}

fn is_excluded(event: &UsageEvent, by: &Exclusion) -> bool {
    let text = |excluded: &[String], value: &Option<String>| {
        excluded.contains(value.as_ref().unwrap_or(&String::new()))
    };
    text(&by.models, &event.model) && !calls_no_model(event)
        || by.upstreams.contains(&event.upstream)
        || by.dialects.contains(&event.dialect)
        || by.operations.contains(&event.operation)
        || by.outcomes.contains(&event.outcome)
        || text(&by.client_keys, &event.client_key)
        || text(&by.users, &event.user)
        || event.session.as_ref().is_some_and(|session| by.sessions.contains(session))
        || by.tags.iter().any(|(name, value)| event.tags.get(name) == Some(value))
}

/// The group of an event; `None`: it belongs to no group.
fn key(event: &UsageEvent, group_by: Option<&GroupBy>) -> Option<String> {
    let value = match group_by.and_then(|group_by| group_by.by.as_ref()) {
        None => None,
        Some(By::Tag(tag)) => event.tags.get(tag).cloned(),
        Some(By::Dimension(dimension)) => match Dimension::try_from(*dimension).unwrap() {
            Dimension::Model if calls_no_model(event) => return None,
            Dimension::Model => event.model.clone(),
            Dimension::Upstream => Some(event.upstream.clone()),
            Dimension::Outcome => Some(Outcome::try_from(event.outcome).map_or_else(
                |_| event.outcome.to_string(),
                |outcome| outcome.as_str_name().to_owned(),
            )),
            Dimension::ClientKey => event.client_key.clone(),
            Dimension::User => event.user.clone(),
            Dimension::Operation => Some(Operation::try_from(event.operation).map_or_else(
                |_| event.operation.to_string(),
                |operation| operation.as_str_name().to_owned(),
            )),
            Dimension::UserAgent => event.user_agent_family.clone(),
            Dimension::Dialect => Some(event.dialect.clone()),
            Dimension::Session => event.session.clone(),
            Dimension::ErrorType => event.error_type.clone(),
            Dimension::Unspecified => None,
        },
    };
    Some(value.unwrap_or_default())
}

/// The percentile at the nearest rank.
fn percentile(values: impl Iterator<Item = f64>, share: f64) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil().max(1.0);
    values.get(rank as usize - 1).copied()
}

fn sum(events: &[&UsageEvent], get: impl Fn(&UsageEvent) -> Option<u64>) -> u64 {
    events.iter().filter_map(|event| get(event)).sum()
}

fn milliseconds(
    events: &[&UsageEvent],
    get: impl Fn(&UsageEvent) -> Option<prost_types::Duration>,
    share: f64,
) -> Option<f64> {
    let micros = events.iter().filter_map(|event| get(event)?.pipe(|d| micros_from_duration(&d)));
    percentile(micros.map(|micros| micros as f64 / 1000.0), share)
}

fn rate(
    events: &[&UsageEvent],
    get: impl Fn(&UsageEvent) -> Option<f64>,
    share: f64,
) -> Option<f64> {
    percentile(events.iter().filter_map(|event| get(event)), share)
}

trait Pipe: Sized {
    fn pipe<T>(self, next: impl FnOnce(Self) -> T) -> T {
        next(self)
    }
}
impl Pipe for prost_types::Duration {}

#[track_caller]
fn same(found: Option<f64>, expected: Option<f64>) {
    let near = match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        (found, expected) => found == expected,
    };
    assert!(near, "found {found:?} for {expected:?}");
}

/// NaN stands for unknown.
#[track_caller]
fn near_column(found: f64, expected: Option<f64>) {
    assert_near(Some(found).filter(|found| !found.is_nan()), expected);
}

fn micros(range: &TimeRange) -> (i64, i64) {
    (range.start.timestamp_micros(), range.end.timestamp_micros())
}

/// Events that count.
fn selected<'a>(
    events: &'a [UsageEvent],
    range: &TimeRange,
    filter: Option<&Filter>,
) -> Vec<&'a UsageEvent> {
    let (start, end) = micros(range);
    events
        .iter()
        .filter(|event| (start..end).contains(&started(event)) && passes(event, filter))
        .collect()
}

fn checked(range: Option<&modash_proto::v1::TimeRange>) -> TimeRange {
    TimeRange::from_wire(range, Utc::now()).unwrap()
}

/// Starts of the answer's buckets and the end of the last one, after a check that
/// they cover the range and are where the zone has them.
fn buckets(
    starts: &[prost_types::Timestamp],
    width: u32,
    zone: &str,
    range: &TimeRange,
) -> Vec<i64> {
    let zone: chrono_tz::Tz = if zone.is_empty() { "UTC" } else { zone }.parse().unwrap();
    let (start, end) = micros(range);
    let starts: Vec<i64> =
        starts.iter().map(|start| micros_from_timestamp(start).unwrap()).collect();
    assert!(starts[0] <= start && starts[starts.len() - 1] < end);
    assert!(starts.len() == 1 || starts[1] > start);
    let local = |micros: i64| DateTime::from_timestamp_micros(micros).unwrap().with_timezone(&zone);
    for window in starts.windows(2) {
        let (from, to) = (local(window[0]), local(window[1]));
        let seconds = (window[1] - window[0]) / 1_000_000;
        if width < 86_400 {
            let new_day =
                to.date_naive() != from.date_naive() && to.num_seconds_from_midnight() == 0;
            assert!(seconds == i64::from(width) || (new_day && seconds < i64::from(width)));
        } else {
            let days = (to.date_naive() - from.date_naive()).num_days();
            assert_eq!((days, to.num_seconds_from_midnight()), (i64::from(width / 86_400), 0));
        }
    }
    starts
}

fn place(starts: &[i64], event: &UsageEvent) -> usize {
    starts.partition_point(|start| *start <= started(event)) - 1
}

async fn prepared(seed: u64) -> (TestAnalytics, Vec<UsageEvent>, Random) {
    println!("seed {seed}");
    let prices = PricesFile::new(
        "[[price]]\nupstream = \"cloud\"\nmodel = [\"a\", \"b\"]\nprompt = 3\n\
         cached_prompt = 0.3\ncache_write = 3.75\ncompletion = 15\n",
    );
    let analytics = TestAnalytics::start_with(|config| config.prices = prices.read()).await;
    let mut random = Random::new(seed);
    let mut events: Vec<UsageEvent> = (0..600).map(|_| random.event()).collect();
    analytics.store(events.clone()).await;
    let costs = costs::of_rows(&analytics).await;
    for event in &mut events {
        event.cost = costs.get(&event.event_id).cloned();
    }
    (analytics, events, random)
}

/// What events cost together.
fn cost(events: &[&UsageEvent]) -> Cost {
    let costs = || events.iter().filter_map(|event| event.cost.as_ref());
    let from = |source: CostSource| costs().filter(|cost| cost.source() == source).count() as u64;
    Cost {
        nano_usd: costs().filter_map(|cost| cost.nano_usd).sum(),
        cache_saving_nano_usd: costs().filter_map(|cost| cost.cache_saving_nano_usd).sum(),
        known_requests: costs().filter(|cost| cost.nano_usd.is_some()).count() as u64,
        unknown_requests: from(CostSource::Unknown),
        estimated_requests: from(CostSource::Estimated),
    }
}

#[tokio::test]
async fn usage_summary_is_that_of_the_model() {
    let (analytics, events, mut random) = prepared(1).await;
    let mut client = analytics.client().await;
    for _ in 0..QUESTIONS {
        let request = UsageSummaryRequest {
            range: Some(random.range()),
            filter: random.filter(),
            time_zone: random.zone(),
            compare_previous: true,
        };
        println!("{request:?}");
        let answer = client.usage_summary(request.clone()).await.unwrap().into_inner();
        let range = checked(request.range.as_ref());
        let previous = answer.previous.clone().unwrap();
        for (answer, range) in [(answer, range), (*previous, range.previous())] {
            let events = selected(&events, &range, request.filter.as_ref());
            let count = |holds: fn(&UsageEvent) -> bool| {
                events.iter().filter(|event| holds(event)).count() as u64
            };
            assert_eq!(answer.requests, events.len() as u64);
            assert_eq!(answer.failed_requests, count(failed));
            assert_eq!(answer.client_closed_requests, count(|event| event.outcome == 6));
            assert_eq!(answer.requests_without_usage, count(without_usage));
            assert_eq!(
                answer.requests_with_estimated_usage,
                count(|event| event.usage_source == 3)
            );
            assert_eq!(answer.prompt_tokens, sum(&events, |event| event.prompt_tokens));
            assert_eq!(
                answer.cached_prompt_tokens,
                sum(&events, |event| event.cached_prompt_tokens)
            );
            assert_eq!(answer.cache_write_tokens, sum(&events, |event| event.cache_write_tokens));
            assert_eq!(answer.completion_tokens, sum(&events, |event| event.completion_tokens));
            assert_eq!(answer.reasoning_tokens, sum(&events, |event| event.reasoning_tokens));
            assert_eq!(answer.total_tokens, sum(&events, |event| event.total_tokens));
            assert_eq!(answer.cost, Some(cost(&events)));
            let durations = answer.duration_ms.unwrap();
            let duration = |share| milliseconds(&events, |event| event.duration, share);
            assert_near(durations.p50, duration(0.5));
            assert_near(durations.p95, duration(0.95));
            assert_near(durations.p99, duration(0.99));
            let waits = answer.time_to_first_token_ms.unwrap();
            assert_near(waits.p95, milliseconds(&events, |event| event.first_token, 0.95));
            let decode = answer.decode_tokens_per_second.unwrap();
            assert_near(decode.p5, rate(&events, |event| event.decode_tokens_per_second, 0.05));
            assert_near(decode.p95, rate(&events, |event| event.decode_tokens_per_second, 0.95));
            let prefill = answer.prefill_tokens_per_second.unwrap();
            assert_near(prefill.p50, rate(&events, |event| event.prefill_tokens_per_second, 0.5));
        }
    }
}

#[tokio::test]
async fn usage_timeseries_is_that_of_the_model() {
    let (analytics, events, mut random) = prepared(2).await;
    let mut client = analytics.client().await;
    for _ in 0..QUESTIONS {
        let request = UsageTimeseriesRequest {
            range: Some(random.range()),
            filter: random.filter(),
            time_zone: random.zone(),
            bucket_seconds: random.bucket_seconds(),
            group_by: random.group_by(),
            top: random.top(),
        };
        println!("{request:?}");
        let answer = client.usage_timeseries(request.clone()).await.unwrap().into_inner();
        let range = checked(request.range.as_ref());
        let starts =
            buckets(&answer.bucket_starts, answer.bucket_seconds, &request.time_zone, &range);
        let group_by = request.group_by.as_ref();
        let mut groups: BTreeMap<String, Vec<&UsageEvent>> = BTreeMap::new();
        let mut rest = Vec::new();
        for event in selected(&events, &range, request.filter.as_ref()) {
            match key(event, group_by) {
                Some(key) => groups.entry(key).or_default().push(event),
                None => rest.push(event),
            }
        }
        if group_by.is_none() {
            groups.entry(String::new()).or_default();
        }
        let mut groups: Vec<(String, bool, Vec<&UsageEvent>)> =
            groups.into_iter().map(|(key, events)| (key, false, events)).collect();
        let tokens = |events: &[&UsageEvent]| sum(events, |event| event.total_tokens);
        groups.sort_by_key(|(_, _, events)| std::cmp::Reverse((tokens(events), events.len())));
        let top = if request.top == 0 { 5 } else { request.top as usize };
        assert_eq!(answer.other_groups, groups.len().saturating_sub(top) as u64);
        let beyond = groups.split_off(groups.len().min(top));
        rest.extend(beyond.into_iter().flat_map(|(_, _, events)| events));
        if !rest.is_empty() {
            groups.push((String::new(), true, rest));
        }
        assert_eq!(answer.series.len(), groups.len());
        for (series, (key, other, events)) in answer.series.iter().zip(&groups) {
            assert_eq!((&series.key, series.other), (key, *other));
            for bucket in 0..starts.len() {
                let events: Vec<_> = events
                    .iter()
                    .copied()
                    .filter(|event| place(&starts, event) == bucket)
                    .collect();
                assert_eq!(series.requests[bucket], events.len() as u64);
                let failed = events.iter().filter(|event| failed(event)).count();
                assert_eq!(series.failed_requests[bucket], failed as u64);
                assert_eq!(series.prompt_tokens[bucket], sum(&events, |e| e.prompt_tokens));
                assert_eq!(
                    series.cached_prompt_tokens[bucket],
                    sum(&events, |e| e.cached_prompt_tokens)
                );
                assert_eq!(series.completion_tokens[bucket], sum(&events, |e| e.completion_tokens));
                assert_eq!(series.reasoning_tokens[bucket], sum(&events, |e| e.reasoning_tokens));
                assert_eq!(series.total_tokens[bucket], tokens(&events));
                let cost = cost(&events);
                assert_eq!(series.cost_nano_usd[bucket], cost.nano_usd);
                assert_eq!(series.cache_saving_nano_usd[bucket], cost.cache_saving_nano_usd);
                assert_eq!(series.unknown_cost_requests[bucket], cost.unknown_requests);
            }
        }
    }
}

const MINUTE: i64 = 60_000_000;

/// Microseconds of the steps over which concurrency is told; `None` where single
/// requests are looked at.
fn step(range: &TimeRange, filter: Option<&Filter>, starts: &[i64], width: u32) -> Option<i64> {
    let of_requests = filter.is_some_and(|filter| {
        !filter.sessions.is_empty()
            || !filter.trace_ids.is_empty()
            || filter.min_prompt_tokens.is_some()
            || filter.max_prompt_tokens.is_some()
            || filter.exclude.as_ref().is_some_and(|exclude| !exclude.sessions.is_empty())
    });
    if of_requests || width < 60 || starts.iter().any(|start| start % MINUTE != 0) {
        return None;
    }
    let seconds = (range.end - range.start).num_seconds();
    let steps = [60, 900, 3_600, 21_600, 86_400, 604_800];
    Some(steps.into_iter().find(|step| seconds / step <= 2_500).unwrap() * 1_000_000)
}

/// Mean and highest mean of a step between two moments, whole minutes of it.
fn concurrency_by_step(
    events: &[&UsageEvent],
    from: i64,
    to: i64,
    step: i64,
) -> Option<(f64, u64)> {
    let from = from + (MINUTE - from % MINUTE) % MINUTE;
    let to = to - to % MINUTE;
    let busy = |from: i64, to: i64| -> i64 {
        let ended = |event: &UsageEvent| started(event) + lasted(event).min(86_400_000_000);
        let within = |event: &&UsageEvent| ended(event).min(to) - started(event).max(from);
        events.iter().map(within).filter(|busy| *busy > 0).sum()
    };
    let mut bounds: Vec<i64> = (from / step..=to / step).map(|at| at * step).collect();
    bounds.retain(|bound| (from + 1..to).contains(bound));
    bounds.insert(0, from);
    bounds.push(to);
    let highest = bounds.windows(2).filter(|pair| pair[0] < pair[1]).map(|pair| {
        let mean = busy(pair[0], pair[1]) as f64 / (pair[1] - pair[0]) as f64;
        (mean - 1e-9).ceil() as u64
    });
    let highest = highest.max().unwrap_or(0);
    (from < to).then(|| (busy(from, to) as f64 / (to - from) as f64, highest))
}

/// Mean and maximum of requests in flight between two moments.
fn concurrency(events: &[&UsageEvent], from: i64, to: i64) -> (f64, u64) {
    let spans: Vec<(i64, i64)> = events
        .iter()
        .map(|event| (started(event).max(from), (started(event) + lasted(event)).min(to)))
        .filter(|(start, end)| start < end)
        .collect();
    let busy: i64 = spans.iter().map(|(start, end)| end - start).sum();
    // The maximum is reached where one of them begins.
    let at = |moment: i64| spans.iter().filter(|(a, b)| (*a..*b).contains(&moment)).count() as u64;
    let most = spans.iter().map(|(start, _)| at(*start)).max().unwrap_or(0);
    (busy as f64 / (to - from) as f64, most)
}

#[tokio::test]
async fn throughput_timeseries_is_that_of_the_model() {
    let (analytics, events, mut random) = prepared(3).await;
    let mut client = analytics.client().await;
    for _ in 0..QUESTIONS {
        let request = ThroughputTimeseriesRequest {
            range: Some(random.range()),
            filter: random.filter(),
            time_zone: random.zone(),
            bucket_seconds: random.bucket_seconds(),
            group_by: random.group_by(),
            top: random.top(),
        };
        println!("{request:?}");
        let answer = client.throughput_timeseries(request.clone()).await.unwrap().into_inner();
        let range = checked(request.range.as_ref());
        let (range_start, range_end) = micros(&range);
        let starts =
            buckets(&answer.bucket_starts, answer.bucket_seconds, &request.time_zone, &range);
        let group_by = request.group_by.as_ref();
        let filter = request.filter.as_ref();
        let mut groups: BTreeMap<String, Vec<&UsageEvent>> = BTreeMap::new();
        for event in selected(&events, &range, filter) {
            if let Some(key) = key(event, group_by) {
                groups.entry(key).or_default().push(event);
            }
        }
        if group_by.is_none() {
            groups.entry(String::new()).or_default();
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, events)| std::cmp::Reverse(events.len()));
        groups.truncate(if request.top == 0 { 5 } else { request.top as usize });
        let sizes = |sizes: Vec<u64>| sizes;
        assert_eq!(
            sizes(answer.series.iter().map(|series| series.requests.iter().sum()).collect()),
            sizes(groups.iter().map(|(_, events)| events.len() as u64).collect())
        );
        for series in &answer.series {
            let in_group: Vec<&UsageEvent> = events
                .iter()
                .filter(|event| passes(event, filter))
                .filter(|event| {
                    group_by.is_none() || key(event, group_by).as_ref() == Some(&series.key)
                })
                .collect();
            for (bucket, start) in starts.iter().enumerate() {
                let end = starts.get(bucket + 1).copied().unwrap_or(range_end);
                let (from, to) = ((*start).max(range_start), end.min(range_end));
                let (mean, most) = match step(&range, filter, &starts, answer.bucket_seconds) {
                    Some(step) => concurrency_by_step(&in_group, from, to, step).unzip(),
                    None => {
                        let (mean, most) = concurrency(&in_group, from, to);
                        (Some(mean), Some(most))
                    }
                };
                let found = Some(series.concurrency_mean[bucket]).filter(|mean| !mean.is_nan());
                same(found, mean);
                assert_eq!(series.concurrency_max[bucket], most.unwrap_or(0));
                let began: Vec<&UsageEvent> = in_group
                    .iter()
                    .copied()
                    .filter(|event| (range_start..range_end).contains(&started(event)))
                    .filter(|event| place(&starts, event) == bucket)
                    .collect();
                check_throughput(series, bucket, &began);
                if let Some(next) = starts.get(bucket + 1) {
                    let seconds = (next - start) as f64 / 1e6;
                    let tokens = sum(&began, |event| event.completion_tokens) as f64;
                    same(Some(series.tokens_per_second[bucket]), Some(tokens / seconds));
                }
            }
        }
    }
}

fn check_throughput(
    series: &modash_proto::v1::ThroughputSeries,
    bucket: usize,
    events: &[&UsageEvent],
) {
    let having =
        |has: fn(&UsageEvent) -> bool| events.iter().filter(|event| has(event)).count() as u64;
    assert_eq!(series.requests[bucket], events.len() as u64);
    assert_eq!(
        series.requests_with_decode[bucket],
        having(|event| event.decode_tokens_per_second.is_some())
    );
    assert_eq!(
        series.requests_with_prefill[bucket],
        having(|event| event.prefill_tokens_per_second.is_some())
    );
    assert_eq!(
        series.requests_with_first_token[bucket],
        having(|event| event.first_token.is_some())
    );
    let decode = |share| rate(events, |event| event.decode_tokens_per_second, share);
    near_column(series.decode_p5[bucket], decode(0.05));
    near_column(series.decode_p50[bucket], decode(0.5));
    near_column(series.decode_p95[bucket], decode(0.95));
    let prefill = rate(events, |event| event.prefill_tokens_per_second, 0.5);
    near_column(series.prefill_p50[bucket], prefill);
    let wait = |share| milliseconds(events, |event| event.first_token, share);
    near_column(series.time_to_first_token_ms_p50[bucket], wait(0.5));
    near_column(series.time_to_first_token_ms_p95[bucket], wait(0.95));
    near_column(series.time_to_first_token_ms_p99[bucket], wait(0.99));
    let gaps = Histogram::from_buckets(
        events
            .iter()
            .filter_map(|event| event.token_gaps.as_ref())
            .flat_map(|gaps| gaps.indexes.iter().copied().zip(gaps.counts.iter().copied())),
    );
    near_column(series.token_gap_ms_p50[bucket], gaps.quantile(0.5).map(|gap| gap / 1000.0));
    near_column(series.token_gap_ms_p99[bucket], gaps.quantile(0.99).map(|gap| gap / 1000.0));
}

#[tokio::test]
async fn breakdown_is_that_of_the_model_by_every_dimension_and_page() {
    let (analytics, events, mut random) = prepared(6).await;
    let mut client = analytics.client().await;
    for _ in 0..2 * QUESTIONS {
        let Some(group_by) = random.group_by() else { continue };
        let request = BreakdownRequest {
            range: Some(random.range()),
            filter: random.filter(),
            time_zone: random.zone(),
            group_by: Some(group_by.clone()),
            order: BreakdownOrder::Cost.into(),
            page: random.top(),
            page_size: random.top(),
        };
        println!("{request:?}");
        let answer = client.breakdown(request.clone()).await.unwrap().into_inner();
        let range = checked(request.range.as_ref());
        let selected = selected(&events, &range, request.filter.as_ref());
        let mut groups: BTreeMap<String, Vec<&UsageEvent>> = BTreeMap::new();
        for event in &selected {
            if let Some(key) = key(event, Some(&group_by)) {
                groups.entry(key).or_default().push(event);
            }
        }
        assert_eq!(answer.total, groups.len() as u64);
        let mut groups: Vec<_> = groups.into_iter().collect();
        let dear = |events: &[&UsageEvent]| cost(events).nano_usd;
        groups.sort_by_key(|(_, events)| std::cmp::Reverse((dear(events), events.len())));
        let size = if request.page_size == 0 { 100 } else { request.page_size as usize };
        let page = request.page.max(1);
        assert_eq!((answer.page, answer.page_size as usize), (page, size));
        let shown: Vec<_> = groups.iter().skip((page as usize - 1) * size).take(size).collect();
        let found: Vec<_> = answer.rows.iter().map(|row| (&row.key, row.requests)).collect();
        let expected: Vec<_> = shown.iter().map(|(key, all)| (key, all.len() as u64)).collect();
        assert_eq!(found, expected);
        for (row, (_, events)) in answer.rows.iter().zip(&shown) {
            assert_eq!(row.cost, Some(cost(events)));
            assert_eq!(row.total_tokens, sum(events, |event| event.total_tokens));
            assert_eq!(row.sparkline.iter().sum::<u64>(), row.requests);
            assert_near(
                row.decode_tokens_per_second_p50,
                rate(events, |event| event.decode_tokens_per_second, 0.5),
            );
        }
        let rest = selected.len() as u64 - expected.iter().map(|(_, count)| count).sum::<u64>();
        let other = answer.other.unwrap_or_default();
        assert_eq!(other.requests, rest);
        // Those of everything would be told as those of the rest.
        let percentiles = [
            other.decode_tokens_per_second_p50,
            other.prefill_tokens_per_second_p50,
            other.time_to_first_token_ms_p50,
            other.time_to_first_token_ms_p95,
        ];
        assert_eq!(percentiles, [None; 4]);
    }
}

/// The sessions of events, as far as a filter tells them apart.
fn sessions_of<'a>(
    events: &'a [UsageEvent],
    filter: Option<&Filter>,
) -> BTreeMap<&'a str, Vec<&'a UsageEvent>> {
    let mut sessions: BTreeMap<&str, Vec<&UsageEvent>> = BTreeMap::new();
    for event in events.iter().filter(|event| passes(event, filter)) {
        if let Some(session) = event.session.as_deref() {
            sessions.entry(session).or_default().push(event);
        }
    }
    sessions
}

fn assert_session(row: &SessionRow, events: &[&UsageEvent]) {
    assert_eq!(row.requests, events.len() as u64);
    assert_eq!(row.failed_requests, events.iter().filter(|event| failed(event)).count() as u64);
    assert_eq!(row.prompt_tokens, sum(events, |event| event.prompt_tokens));
    assert_eq!(row.cached_prompt_tokens, sum(events, |event| event.cached_prompt_tokens));
    assert_eq!(row.completion_tokens, sum(events, |event| event.completion_tokens));
    assert_eq!(row.total_tokens, sum(events, |event| event.total_tokens));
    assert_eq!(row.cost, Some(cost(events)));
    let time = |at: &Option<prost_types::Timestamp>| micros_from_timestamp(at.as_ref().unwrap());
    let starts = || events.iter().map(|event| started(event));
    assert_eq!(time(&row.first_started_at), starts().min());
    assert_eq!(time(&row.last_started_at), starts().max());
    let ends = events.iter().map(|event| started(event) + lasted(event));
    assert_eq!(time(&row.last_ended_at), ends.max());
    let lasted: i64 = events.iter().map(|event| lasted(event)).sum();
    assert_eq!(row.model_time.as_ref().and_then(micros_from_duration), Some(lasted));
    let mut models: BTreeMap<&str, i64> = BTreeMap::new();
    for event in events.iter().filter(|event| !calls_no_model(event)) {
        *models.entry(event.model.as_deref().unwrap_or("")).or_default() -= 1;
    }
    let mut models: Vec<_> = models.into_iter().map(|(model, count)| (count, model)).collect();
    models.sort_unstable();
    assert_eq!(row.models, models.iter().map(|(_, model)| *model).collect::<Vec<_>>());
}

#[tokio::test]
async fn sessions_are_those_of_the_model_folded_or_not_and_after_a_rebuild() {
    let (analytics, mut events, mut random) = prepared(7).await;
    let mut client = analytics.client().await;
    for question in 0..QUESTIONS {
        match question {
            // Some in the table and some that wait, of the same sessions.
            10 => {
                let more: Vec<UsageEvent> = (0..200).map(|_| random.event()).collect();
                analytics.store(more.clone()).await;
                let costs = costs::of_rows(&analytics).await;
                events.extend(more.into_iter().map(|event| {
                    let cost = costs.get(&event.event_id).cloned();
                    UsageEvent { cost, ..event }
                }));
            }
            20 => {
                let url = analytics.database.url();
                let (from, to) = (at("2025-10-01T00:00:00Z"), at("2025-12-01T00:00:00Z"));
                rebuild_rollups(config(&url), from, to, |_| {}).await.unwrap();
            }
            _ => {}
        }
        let filter = random.filter().map(|filter| Filter {
            outcomes: Vec::new(),
            trace_ids: Vec::new(),
            min_prompt_tokens: None,
            max_prompt_tokens: None,
            exclude: filter.exclude.map(|exclude| Exclusion {
                outcomes: Vec::new(),
                sessions: Vec::new(),
                ..exclude
            }),
            ..filter
        });
        let request = SessionsRequest {
            range: Some(random.range()),
            filter,
            order: SessionOrder::Cost.into(),
            page: 0,
            page_size: random.top(),
        };
        println!("{request:?}");
        let answer = client.sessions(request.clone()).await.unwrap().into_inner();
        let (start, end) = micros(&checked(request.range.as_ref()));
        let mut sessions: Vec<_> = sessions_of(&events, request.filter.as_ref())
            .into_iter()
            .filter(|(_, events)| {
                let starts = || events.iter().map(|event| started(event));
                starts().min() < Some(end) && starts().max() >= Some(start)
            })
            .collect();
        assert_eq!(answer.total, sessions.len() as u64);
        let last = |events: &[&UsageEvent]| events.iter().map(|event| started(event)).max();
        sessions
            .sort_by_key(|(_, events)| std::cmp::Reverse((cost(events).nano_usd, last(events))));
        let size = if request.page_size == 0 { 50 } else { request.page_size as usize };
        sessions.truncate(size);
        assert_eq!(answer.rows.len(), sessions.len());
        for (row, (session, events)) in answer.rows.iter().zip(&sessions) {
            assert_eq!(row.session, *session);
            assert_session(row, events);
        }
    }
    for (session, mut of_session) in sessions_of(&events, None) {
        of_session.sort_by_key(|event| (started(event), &event.event_id));
        let request = SessionRequest { session: session.into(), ..Default::default() };
        let answer = client.session(request).await.unwrap().into_inner();
        assert_session(answer.session.as_ref().unwrap(), &of_session);
        let expected: Vec<UsageEvent> = of_session
            .iter()
            .map(|event| UsageEvent { token_gaps: None, ..(*event).clone() })
            .collect();
        assert_eq!(answer.requests, expected);
    }
    let nobody = SessionRequest { session: "nobody".into(), ..Default::default() };
    let answer = client.session(nobody).await.unwrap().into_inner();
    assert_eq!((answer.session, answer.requests), (None, vec![]));
}

#[tokio::test]
async fn model_breakdown_is_that_of_the_model() {
    let (analytics, events, mut random) = prepared(4).await;
    let mut client = analytics.client().await;
    for _ in 0..QUESTIONS {
        let request = ModelBreakdownRequest {
            range: Some(random.range()),
            filter: random.filter(),
            time_zone: random.zone(),
            order: ModelOrder::TotalTokens.into(),
            limit: random.top(),
        };
        println!("{request:?}");
        let answer = client.model_breakdown(request.clone()).await.unwrap().into_inner();
        let range = checked(request.range.as_ref());
        let (start, end) = micros(&range);
        let selected = selected(&events, &range, request.filter.as_ref());
        let mut models: BTreeMap<&str, Vec<&UsageEvent>> = BTreeMap::new();
        for event in selected.iter().filter(|event| !calls_no_model(event)) {
            models.entry(event.model.as_deref().unwrap_or("")).or_default().push(event);
        }
        assert_eq!(answer.total, models.len() as u64);
        let mut models: Vec<_> = models.into_iter().collect();
        let tokens = |events: &[&UsageEvent]| sum(events, |event| event.total_tokens);
        models.sort_by_key(|(_, events)| std::cmp::Reverse((tokens(events), events.len())));
        models.truncate(if request.limit == 0 { 100 } else { request.limit as usize });
        assert_eq!(answer.rows.len(), models.len());
        let shown: usize = models.iter().map(|(_, events)| events.len()).sum();
        let rest = (selected.len() - shown) as u64;
        assert_eq!(answer.other.as_ref().map_or(0, |other| other.requests), rest);
        assert_eq!(answer.other.is_some(), rest > 0);
        let shares = answer.rows.iter().chain(&answer.other).filter_map(|row| row.cost.as_ref());
        assert_eq!(shares.map(|cost| cost.nano_usd).sum::<u64>(), cost(&selected).nano_usd);
        for (row, (model, events)) in answer.rows.iter().zip(&models) {
            let failed = events.iter().filter(|event| failed(event)).count();
            let lacking = events.iter().filter(|event| without_usage(event)).count();
            assert_eq!((row.model.as_str(), row.requests), (*model, events.len() as u64));
            assert_eq!(row.failed_requests, failed as u64);
            same(Some(row.share), Some(events.len() as f64 / selected.len() as f64));
            same(Some(row.error_share), Some(failed as f64 / events.len() as f64));
            assert_eq!(row.total_tokens, tokens(events));
            assert_eq!(row.cache_write_tokens, sum(events, |event| event.cache_write_tokens));
            assert_eq!(row.requests_without_usage, lacking as u64);
            assert_eq!(row.cost, Some(cost(events)));
            assert_near(
                row.decode_tokens_per_second_p50,
                rate(events, |event| event.decode_tokens_per_second, 0.5),
            );
            assert_near(
                row.time_to_first_token_ms_p95,
                milliseconds(events, |event| event.first_token, 0.95),
            );
            let last = events.iter().map(|event| started(event)).max();
            assert_eq!(row.last_seen_at.as_ref().and_then(micros_from_timestamp), last);
            // Parts of as many whole buckets of which a 24th of the range has three, but for
            // those at its ends.
            let mut sparkline = vec![0; row.sparkline.len()];
            let parts = i64::try_from(sparkline.len()).unwrap();
            let wide = [86_400, 21_600, 3_600, 900, 60]
                .into_iter()
                .map(|width| width * 1_000_000)
                .find(|width| width * 3 * 24 <= end - start);
            let first_of = |part: i64| match (part, wide) {
                (0, _) => start,
                (_, None) => start + (end - start) / parts * part,
                (_, Some(wide)) => {
                    let nearest = |at: i64| (at + wide / 2) / wide;
                    let buckets = nearest(end) - nearest(start);
                    (nearest(end) - (buckets + parts / 2) / parts * (parts - part)) * wide
                }
            };
            for event in events {
                let at = (0..parts).rev().find(|at| first_of(*at) <= started(event)).unwrap();
                sparkline[at as usize] += 1;
            }
            assert_eq!(row.sparkline, sparkline);
        }
    }
}

/// What tells errors apart.
type ErrorKey = (i32, Option<String>, String, String);

#[tokio::test]
async fn error_breakdown_is_that_of_the_model() {
    let (analytics, mut events, mut random) = prepared(6).await;
    let mut client = analytics.client().await;
    for question in 0..QUESTIONS {
        match question {
            // Some in the rollups and some that wait, of the same errors.
            10 => {
                analytics.folded().await;
                let more: Vec<UsageEvent> = (0..200).map(|_| random.event()).collect();
                analytics.store(more.clone()).await;
                events.extend(more);
            }
            20 => {
                let url = analytics.database.url();
                let (from, to) = (at("2025-10-01T00:00:00Z"), at("2025-12-01T00:00:00Z"));
                rebuild_rollups(config(&url), from, to, |_| {}).await.unwrap();
            }
            _ => {}
        }
        let request = ErrorBreakdownRequest {
            range: Some(random.range()),
            filter: random.filter(),
            limit: random.top(),
        };
        println!("{request:?}");
        let answer = client.error_breakdown(request.clone()).await.unwrap().into_inner();
        let range = checked(request.range.as_ref());
        let mut failures = selected(&events, &range, request.filter.as_ref());
        failures.retain(|event| failed(event));
        assert_eq!(answer.failed_requests, failures.len() as u64);
        let mut groups: BTreeMap<ErrorKey, Vec<&UsageEvent>> = BTreeMap::new();
        for event in &failures {
            let key = (
                event.outcome,
                event.error_type.clone(),
                event.model.clone().unwrap_or_default(),
                event.upstream.clone(),
            );
            groups.entry(key).or_default().push(*event);
        }
        assert_eq!(answer.total, groups.len() as u64);
        let limit = if request.limit == 0 { 100 } else { request.limit as usize };
        assert_eq!(answer.rows.len(), groups.len().min(limit));
        assert!(answer.rows.is_sorted_by_key(|row| std::cmp::Reverse(row.requests)));
        let least = answer.rows.last().map_or(0, |row| row.requests);
        for row in answer.rows {
            let key = (row.outcome, row.error_type, row.model, row.upstream);
            let group = groups.remove(&key).unwrap_or_else(|| panic!("{key:?} twice or not there"));
            assert_eq!(row.requests, group.len() as u64);
            same(Some(row.share), Some(group.len() as f64 / failures.len() as f64));
            let starts = || group.iter().map(|event| started(event));
            let (first, last) = (row.first_started_at.unwrap(), row.last_started_at.unwrap());
            assert_eq!(micros_from_timestamp(&first), starts().min());
            assert_eq!(micros_from_timestamp(&last), starts().max());
            let keys: BTreeSet<_> = group.iter().filter_map(|e| e.client_key.as_ref()).collect();
            assert_eq!(row.client_keys, keys.len() as u64);
            let sample = group.iter().find(|event| event.event_id == row.sample_event_id);
            assert_eq!(sample.map(|event| started(event)), starts().max());
        }
        if request.limit != 0 {
            assert!(groups.values().all(|left| left.len() as u64 <= least));
        }
    }
}

#[tokio::test]
async fn recent_requests_are_those_of_the_model() {
    let (analytics, events, mut random) = prepared(5).await;
    let mut client = analytics.client().await;
    for _ in 0..QUESTIONS {
        let mut request = RecentRequestsRequest {
            page: 1,
            page_size: random.page_size(),
            range: Some(random.range()),
            filter: random.filter(),
            page_token: String::new(),
        };
        println!("{request:?}");
        let range = checked(request.range.as_ref());
        let mut expected = selected(&events, &range, request.filter.as_ref());
        expected.sort_by_key(|event| std::cmp::Reverse((started(event), &event.event_id)));
        let mut pages = expected.chunks(request.page_size as usize);
        loop {
            let answer = client.recent_requests(request.clone()).await.unwrap().into_inner();
            assert_eq!(answer.total, expected.len() as u64);
            let rows: Vec<&UsageEvent> = answer.rows.iter().collect();
            assert_eq!(rows, pages.next().unwrap_or_default());
            if answer.next_page_token.is_empty() {
                assert!(pages.next().is_none());
                break;
            }
            request.page += 1;
            // Some by number, some by token.
            if random.top() > 2 {
                request.page_token = answer.next_page_token;
            } else {
                request.page_token.clear();
            }
        }
    }
}
