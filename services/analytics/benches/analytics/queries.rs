//! The queries of the dashboard, each asked many times through gRPC.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use modash_proto::{
    TimeRange,
    v1::{
        self, BreakdownRequest, Dimension, ErrorBreakdownRequest, Filter, GroupBy,
        ModelBreakdownRequest, Outcome, RecentRequestsRequest, SessionOrder, SessionsRequest,
        ThroughputTimeseriesRequest, UsageSummaryRequest, UsageTimeseriesRequest,
        analytics_service_client::AnalyticsServiceClient, group_by::By,
    },
};
use tonic::transport::Channel;

use crate::{
    Result,
    data_set::{DataSet, Running},
    processors,
};

/// Questions before those that count.
const WARM_UP: usize = 3;

const ZONE: &str = "Europe/Berlin";

/// One query's times in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Timing {
    pub(crate) name: String,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    /// The first answer of a process that just started, which remembers nothing.
    pub(crate) first: f64,
}

/// A question.
#[derive(Debug, Clone)]
enum Ask {
    Summary(UsageSummaryRequest),
    Usage(UsageTimeseriesRequest),
    Throughput(ThroughputTimeseriesRequest),
    Models(ModelBreakdownRequest),
    Recent(RecentRequestsRequest),
    Groups(BreakdownRequest),
    Errors(ErrorBreakdownRequest),
    Sessions(SessionsRequest),
}

pub(crate) async fn measure(data: &DataSet, rounds: usize, only: &str) -> Result<Vec<Timing>> {
    let analytics = Running::start(&data.url).await?;
    let mut client = connect(&analytics).await?;
    let (model, key) = busiest(&mut client, data.until).await?;
    let mut timings = Vec::new();
    let asked = questions(&model, &key).into_iter().filter(|(name, _)| name.contains(only));
    for (name, make) in asked {
        let mut times = Vec::with_capacity(rounds);
        let mut processors = None;
        for round in 0..WARM_UP + rounds {
            // No two ranges are alike, as those of a page that is open are not.
            let until = data.until - TimeDelta::seconds(17 * i64::try_from(round)?);
            let ask = make(until);
            if round == WARM_UP {
                processors = processors::spent();
            }
            let begun = Instant::now();
            send(&mut client, ask).await.map_err(|status| format!("{name}: {status}"))?;
            if round >= WARM_UP {
                times.push(begun.elapsed());
            }
        }
        // Processes that end take their time with them.
        let spent = processors::spent().zip(processors);
        let spent = spent.map(|(after, before)| after.saturating_sub(before));
        let first = first_answer(data, name, make(data.until)).await?;
        let timing = timing(name, times, first);
        let each = spent.map_or(0.0, |spent| spent.as_secs_f64() * 1e3 / rounds as f64);
        eprintln!(
            "{:<52} p50 {:8.1} ms  p95 {:8.1} ms  processors {each:8.1} ms  first {:8.1} ms",
            timing.name, timing.p50, timing.p95, timing.first
        );
        timings.push(timing);
    }
    analytics.stop().await?;
    Ok(timings)
}

/// Milliseconds until a process that just started answers its first question.
async fn first_answer(data: &DataSet, name: &str, ask: Ask) -> Result<f64> {
    let analytics = Running::start(&data.url).await?;
    let mut client = connect(&analytics).await?;
    let begun = Instant::now();
    send(&mut client, ask).await.map_err(|status| format!("{name}: {status}"))?;
    let elapsed = begun.elapsed();
    analytics.stop().await?;
    Ok(elapsed.as_secs_f64() * 1e3)
}

async fn connect(analytics: &Running) -> Result<AnalyticsServiceClient<Channel>> {
    let channel = Channel::from_shared(format!("http://{}", analytics.address))?.connect().await?;
    Ok(AnalyticsServiceClient::new(channel).max_decoding_message_size(64 * 1024 * 1024))
}

fn timing(name: &str, mut times: Vec<Duration>, first: f64) -> Timing {
    times.sort_unstable();
    let at = |share: f64| {
        let rank = (share * times.len() as f64).ceil().max(1.0) as usize;
        times.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    Timing { name: name.to_owned(), p50: at(0.5), p95: at(0.95), first }
}

async fn send(
    client: &mut AnalyticsServiceClient<Channel>,
    ask: Ask,
) -> std::result::Result<(), tonic::Status> {
    match ask {
        Ask::Summary(ask) => drop(client.usage_summary(ask).await?),
        Ask::Usage(ask) => drop(client.usage_timeseries(ask).await?),
        Ask::Throughput(ask) => drop(client.throughput_timeseries(ask).await?),
        Ask::Models(ask) => drop(client.model_breakdown(ask).await?),
        Ask::Recent(ask) => drop(client.recent_requests(ask).await?),
        Ask::Groups(ask) => drop(client.breakdown(ask).await?),
        Ask::Errors(ask) => drop(client.error_breakdown(ask).await?),
        Ask::Sessions(ask) => drop(client.sessions(ask).await?),
    }
    Ok(())
}

/// The model and the key with the most tokens of the last week.
async fn busiest(
    client: &mut AnalyticsServiceClient<Channel>,
    until: DateTime<Utc>,
) -> Result<(String, String)> {
    let mut found = Vec::new();
    for dimension in [Dimension::Model, Dimension::ClientKey] {
        let answer = client.usage_timeseries(usage(until, 7, Some(dimension))).await?.into_inner();
        found.push(answer.series.first().map(|series| series.key.clone()).unwrap_or_default());
    }
    let key = found.pop().unwrap_or_default();
    Ok((found.pop().unwrap_or_default(), key))
}

type Make = Box<dyn Fn(DateTime<Utc>) -> Ask + Send>;

/// All questions, by name.
fn questions(model: &str, key: &str) -> Vec<(&'static str, Make)> {
    let by_model = Filter { models: vec![model.to_owned()], ..Filter::default() };
    let by_key = Filter { client_keys: vec![key.to_owned()], ..Filter::default() };
    let failed = [Outcome::HttpError, Outcome::StreamError, Outcome::UpstreamTimeout];
    let by_outcome = Filter { outcomes: failed.map(i32::from).to_vec(), ..Filter::default() };
    let by_both = Filter { client_keys: by_key.client_keys.clone(), ..by_model.clone() };
    let by_tag = Filter { tags: [("team".into(), "research".into())].into(), ..Filter::default() };
    let all = Filter::default;
    let mut list: Vec<(&'static str, Make)> = Vec::new();
    let mut add = |name, make: Make| list.push((name, make));
    add("UsageSummary, 24 h and the 24 h before", summary(1, all()));
    add("UsageSummary, 7 days and before", summary(7, all()));
    add("UsageSummary, 90 days and before", summary(90, all()));
    add("UsageSummary, 7 days, one model", summary(7, by_model.clone()));
    add("UsageSummary, 7 days, one key", summary(7, by_key.clone()));
    add("UsageSummary, 7 days, failed ones", summary(7, by_outcome.clone()));
    add("UsageSummary, 90 days, one model and key", summary(90, by_both));
    add("UsageSummary, 90 days, one tag", summary(90, by_tag));
    add("UsageTimeseries, 24 h", Box::new(|until| Ask::Usage(usage(until, 1, None))));
    add("UsageTimeseries, 90 days", Box::new(|until| Ask::Usage(usage(until, 90, None))));
    for (name, days, by) in [
        ("UsageTimeseries, 24 h by model", 1, Dimension::Model),
        ("UsageTimeseries, 7 days by model", 7, Dimension::Model),
        ("UsageTimeseries, 90 days by model", 90, Dimension::Model),
        ("UsageTimeseries, 7 days by key", 7, Dimension::ClientKey),
        ("UsageTimeseries, 90 days by key", 90, Dimension::ClientKey),
    ] {
        add(name, Box::new(move |until| Ask::Usage(usage(until, days, Some(by)))));
    }
    add("ThroughputTimeseries, 24 h", throughput(1, all()));
    add("ThroughputTimeseries, 7 days", throughput(7, all()));
    add("ThroughputTimeseries, 90 days", throughput(90, all()));
    add("ThroughputTimeseries, 7 days, one model", throughput(7, by_model));
    add("ModelBreakdown, 24 h", models(1));
    add("ModelBreakdown, 90 days", models(90));
    add("RecentRequests, page 1 of 24 h", recent(1, 1, all()));
    add("RecentRequests, page 1 of 90 days", recent(90, 1, all()));
    add("RecentRequests, page 200 of 90 days", recent(90, 200, all()));
    add("RecentRequests, 90 days, one key", recent(90, 1, by_key));
    add("RecentRequests, 7 days, failed ones", recent(7, 1, by_outcome));
    add("Breakdown, 90 days by key", groups(90, By::Dimension(Dimension::ClientKey.into())));
    add("Breakdown, 90 days by tag", groups(90, By::Tag("team".to_owned())));
    add("ErrorBreakdown, 7 days", errors(7));
    add("ErrorBreakdown, 90 days", errors(90));
    add("Sessions, 24 h", sessions(1, SessionOrder::LastSeen));
    add("Sessions, 7 days", sessions(7, SessionOrder::LastSeen));
    add("Sessions, 7 days by cost", sessions(7, SessionOrder::Cost));
    list
}

fn groups(days: i64, by: By) -> Make {
    Box::new(move |until| {
        Ask::Groups(BreakdownRequest {
            range: range(until, days),
            group_by: Some(GroupBy { by: Some(by.clone()) }),
            ..BreakdownRequest::default()
        })
    })
}

fn errors(days: i64) -> Make {
    Box::new(move |until| {
        let range = range(until, days);
        Ask::Errors(ErrorBreakdownRequest { range, ..ErrorBreakdownRequest::default() })
    })
}

fn sessions(days: i64, order: SessionOrder) -> Make {
    Box::new(move |until| {
        let range = range(until, days);
        Ask::Sessions(SessionsRequest { range, order: order.into(), ..SessionsRequest::default() })
    })
}

fn summary(days: i64, filter: Filter) -> Make {
    Box::new(move |until| {
        Ask::Summary(UsageSummaryRequest {
            range: range(until, days),
            filter: Some(filter.clone()),
            time_zone: ZONE.to_owned(),
            compare_previous: true,
        })
    })
}

fn usage(until: DateTime<Utc>, days: i64, by: Option<Dimension>) -> UsageTimeseriesRequest {
    UsageTimeseriesRequest {
        range: range(until, days),
        time_zone: ZONE.to_owned(),
        group_by: by.map(|by| GroupBy { by: Some(By::Dimension(by.into())) }),
        ..UsageTimeseriesRequest::default()
    }
}

fn throughput(days: i64, filter: Filter) -> Make {
    Box::new(move |until| {
        Ask::Throughput(ThroughputTimeseriesRequest {
            range: range(until, days),
            filter: Some(filter.clone()),
            time_zone: ZONE.to_owned(),
            ..ThroughputTimeseriesRequest::default()
        })
    })
}

fn models(days: i64) -> Make {
    Box::new(move |until| {
        Ask::Models(ModelBreakdownRequest {
            range: range(until, days),
            time_zone: ZONE.to_owned(),
            ..ModelBreakdownRequest::default()
        })
    })
}

fn recent(days: i64, page: u32, filter: Filter) -> Make {
    Box::new(move |until| {
        Ask::Recent(RecentRequestsRequest {
            page,
            page_size: 50,
            range: range(until, days),
            filter: Some(filter.clone()),
            ..RecentRequestsRequest::default()
        })
    })
}

fn range(until: DateTime<Utc>, days: i64) -> Option<v1::TimeRange> {
    Some(TimeRange { start: until - TimeDelta::days(days), end: until }.into())
}
