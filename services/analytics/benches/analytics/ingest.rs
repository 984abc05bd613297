//! Events a second from gRPC to committed and acknowledged, and what the bare
//! database takes: the same rows by one binary COPY into a table without indexes.
//! Once with events as they come at that rate, and once with those of a whole day
//! at once, as after an outage: more of them have minutes of their own then, and
//! rows of rollups.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use modash_analytics::data::{Workload, WorkloadConfig};
use modash_proto::{
    event_id, micros_from_duration, timestamp_from_micros,
    v1::{
        EventBatch, Hello, StreamUsageRequest, UsageEvent,
        ingest_service_client::IngestServiceClient, stream_usage_request::Message as Up,
        stream_usage_response::Message as Down,
    },
};
use sqlx::{Connection as _, PgConnection};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    Result,
    data_set::{Running, Server},
};

/// Proxies that send at the same time.
const STREAMS: usize = 4;

/// Events of one batch.
const BATCH: usize = 1_000;

/// When the requests of the events ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// One after the other, as many a second as are to be taken in.
    AsTheyCome,
    /// In the course of a day.
    ADayAtOnce,
}

/// Events a second that end with [`Pace::AsTheyCome`].
const ENDING: f64 = 50_000.0;

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ingest {
    pub(crate) pace: Pace,
    pub(crate) events: usize,
    pub(crate) streams: usize,
    /// Events a second, committed.
    pub(crate) rate: f64,
    /// The same, until what they add is in all levels of rollups.
    pub(crate) folded_rate: f64,
    /// Rows a second of the bare COPY.
    pub(crate) copy_rate: f64,
}

pub(crate) async fn measure(server: &Server, events: usize, pace: Pace) -> Result<Ingest> {
    let url = server.fresh("ingest")?;
    let analytics = Running::start(&url).await?;
    let address = format!("http://{}", analytics.address);
    // The first commits make partitions, series and caches.
    let (first, rest) = batches(events, pace);
    send(&address, first).await?;
    let mut connection = PgConnection::connect(&url).await?;
    folded(&mut connection).await?;
    sqlx::query("CHECKPOINT").execute(&mut connection).await?;
    let begun = Instant::now();
    send(&address, rest).await?;
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    folded(&mut connection).await?;
    let folded_rate = events as f64 / begun.elapsed().as_secs_f64();
    analytics.stop().await?;
    let copy_rate = copy(&mut connection, events).await?;
    Ok(Ingest { pace, events, streams: STREAMS, rate, folded_rate, copy_rate })
}

/// Waits until no change waits to be moved into the rollups.
async fn folded(connection: &mut PgConnection) -> Result<()> {
    let waiting = "SELECT EXISTS (SELECT FROM rollup_changes)";
    while sqlx::query_scalar(waiting).fetch_one(&mut *connection).await? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Batches for each stream: some to begin with, and `events` to measure, in the
/// order of time.
fn batches(events: usize, pace: Pace) -> (Vec<Vec<UsageEvent>>, Vec<Vec<UsageEvent>>) {
    let now = Utc::now();
    let warm = STREAMS * BATCH * 5;
    let config = WorkloadConfig {
        rows: (events + warm) as u64,
        days: 1,
        models: 40,
        uniform_models: 0,
        keys: 200,
        seed: 7,
        until: now,
    };
    let first_end = now - TimeDelta::microseconds(((events + warm) as f64 / ENDING * 1e6) as i64);
    let workload = Workload::new(config);
    let mut requests = workload.requests().enumerate().map(|(at, mut event)| {
        if pace == Pace::AsTheyCome {
            let end = first_end + TimeDelta::microseconds((at as f64 / ENDING * 1e6) as i64);
            let lasted = event.duration.as_ref().and_then(micros_from_duration).unwrap_or(0);
            let start = end.timestamp_micros() - lasted;
            event.started_at = Some(timestamp_from_micros(start));
            let id = event_id(start.try_into().unwrap_or_default(), rand::random());
            event.event_id = uuid::Uuid::from_u128(id).to_string();
        }
        event
    });
    let mut take = |count: usize| {
        let mut streams: Vec<Vec<UsageEvent>> = vec![Vec::new(); STREAMS];
        for (at, event) in requests.by_ref().take(count).enumerate() {
            streams[at % STREAMS].push(event);
        }
        streams
    };
    (take(warm), take(events))
}

/// Sends each list by a stream of its own; returns when all is acknowledged.
async fn send(address: &str, streams: Vec<Vec<UsageEvent>>) -> Result<()> {
    let mut tasks = JoinSet::new();
    for (at, events) in streams.into_iter().enumerate() {
        let client = IngestServiceClient::connect(address.to_owned()).await?;
        tasks.spawn(stream(client, format!("bench-{at}"), events));
    }
    while let Some(sent) = tasks.join_next().await {
        sent??;
    }
    Ok(())
}

async fn stream(
    mut client: IngestServiceClient<tonic::transport::Channel>,
    replica_id: String,
    mut events: Vec<UsageEvent>,
) -> Result<()> {
    events.iter_mut().for_each(|event| event.replica_id.clone_from(&replica_id));
    let last = events.len() as u64;
    let (up, requests) = mpsc::channel(4);
    let hello =
        Hello { replica_id, version: "bench".to_owned(), next_sequence: 1, ..Hello::default() };
    up.send(StreamUsageRequest { message: Some(Up::Hello(hello)) }).await?;
    let sending = tokio::spawn(async move {
        let mut first_sequence = 1;
        let mut events = events.into_iter();
        loop {
            let events: Vec<UsageEvent> = events.by_ref().take(BATCH).collect();
            let count = events.len() as u64;
            if count == 0 {
                return up;
            }
            let batch = Up::Batch(EventBatch { first_sequence, events, ..Default::default() });
            first_sequence += count;
            if up.send(StreamUsageRequest { message: Some(batch) }).await.is_err() {
                return up;
            }
        }
    });
    let mut answers = client.stream_usage(ReceiverStream::new(requests)).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        match answer.message {
            Some(Down::Ack(ack)) if ack.sequence >= last => {
                drop(sending.await?);
                return Ok(());
            }
            Some(Down::Reject(reject)) => return Err(format!("rejected: {reject:?}").into()),
            _ => {}
        }
    }
    Err("analytics ended the stream".into())
}

/// Rows a second of one COPY of the stored requests into a plain table.
async fn copy(connection: &mut PgConnection, events: usize) -> Result<f64> {
    let statement =
        format!("COPY (SELECT * FROM requests LIMIT {events}) TO STDOUT (FORMAT binary)");
    let bytes: Vec<_> = connection.copy_out_raw(&statement).await?.try_collect().await?;
    sqlx::raw_sql("CREATE TABLE bare (LIKE requests); CHECKPOINT")
        .execute(&mut *connection)
        .await?;
    let begun = Instant::now();
    let mut copy = connection.copy_in_raw("COPY bare FROM STDIN (FORMAT binary)").await?;
    for bytes in bytes {
        copy.send(bytes).await?;
    }
    let rows = copy.finish().await?;
    Ok(rows as f64 / begun.elapsed().as_secs_f64())
}
