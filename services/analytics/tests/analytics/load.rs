//! What subscribers cost ingest, through real gRPC with PostgreSQL. A measurement
//! for docs/performance.md, started by name:
//! `cargo test -p modash-analytics --test analytics -- --ignored --nocapture load`.

use std::time::{Duration, Instant};

use modash_proto::v1::{
    Filter, SubscribeRequest, UsageEvent, analytics_service_client::AnalyticsServiceClient,
};
use modash_test_support::event;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::harness::{TestAnalytics, TestProxy};

const SUBSCRIBERS: usize = 1_000;
const STREAMS: usize = 4;
const BATCHES: usize = 20;
const BATCH: usize = 1_000;
const MODELS: usize = 50;

/// Subscribers that read all they are sent, 100 on each connection.
async fn subscribe(analytics: &TestAnalytics, filters: usize) -> JoinSet<()> {
    let mut readers = JoinSet::new();
    for group in 0..SUBSCRIBERS / 100 {
        let url = format!("http://{}", analytics.address);
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        for reader in 0..100 {
            let model = format!("model-{}", (group * 100 + reader) % filters);
            let models = if filters == 1 { Vec::new() } else { vec![model] };
            let filter = Some(Filter { models, ..Filter::default() });
            let request = SubscribeRequest { filter, topics: Vec::new() };
            let mut client = AnalyticsServiceClient::new(channel.clone());
            let mut stream = client.subscribe(request).await.unwrap().into_inner();
            readers.spawn(async move { while let Ok(Some(_)) = stream.message().await {} });
        }
    }
    readers
}

/// Events a second, from the first batch sent to the last one acknowledged.
async fn ingest(analytics: &TestAnalytics) -> f64 {
    let mut batches = Vec::new();
    for number in 0..STREAMS * BATCHES {
        let events = (0..BATCH).map(|index| UsageEvent {
            model: Some(format!("model-{}", (number + index) % MODELS)),
            ..event()
        });
        batches.push(events.collect::<Vec<_>>());
    }
    let mut batches = batches.into_iter();
    let mut proxies = Vec::new();
    for number in 0..STREAMS {
        let proxy = TestProxy::connect(analytics, &format!("replica-{number}")).await;
        proxies.push((proxy, batches.by_ref().take(BATCHES).collect::<Vec<_>>()));
    }
    let begun = Instant::now();
    let mut sending = JoinSet::new();
    for (mut proxy, batches) in proxies {
        sending.spawn(async move {
            let mut last = 0;
            for events in batches {
                last = proxy.send(events).await;
            }
            proxy.acknowledged(last).await;
        });
    }
    sending.join_all().await;
    (STREAMS * BATCHES * BATCH) as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn subscribers_and_ingest() {
    for filters in [0, 1, MODELS] {
        let analytics = TestAnalytics::start().await;
        ingest(&analytics).await;
        let readers =
            if filters == 0 { JoinSet::new() } else { subscribe(&analytics, filters).await };
        let subscribers = readers.len();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut rates = Vec::new();
        for _ in 0..3 {
            rates.push(ingest(&analytics).await as u64);
        }
        rates.sort_unstable();
        println!("{subscribers} subscribers, {filters} filters: {} events/s ({rates:?})", rates[1]);
        drop(readers);
        analytics.stop().await;
    }
}
