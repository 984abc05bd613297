//! Events a second from gRPC to committed and acknowledged, and what the bare
//! database takes: the same rows by one binary COPY into a table without indexes.

use std::time::Instant;

use chrono::Utc;
use futures_util::TryStreamExt as _;
use modash_analytics::data::{Workload, WorkloadConfig};
use modash_proto::v1::{
    EventBatch, Hello, StreamUsageRequest, UsageEvent, ingest_service_client::IngestServiceClient,
    stream_usage_request::Message as Up, stream_usage_response::Message as Down,
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

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ingest {
    pub(crate) events: usize,
    pub(crate) streams: usize,
    /// Events a second, committed.
    pub(crate) rate: f64,
    /// Rows a second of the bare COPY.
    pub(crate) copy_rate: f64,
}

pub(crate) async fn measure(server: &Server, events: usize) -> Result<Ingest> {
    let url = server.fresh("ingest")?;
    let analytics = Running::start(&url).await?;
    let address = format!("http://{}", analytics.address);
    // The first commits make partitions, series and caches.
    let (first, rest) = batches(events);
    send(&address, first).await?;
    let mut connection = PgConnection::connect(&url).await?;
    sqlx::query("CHECKPOINT").execute(&mut connection).await?;
    let begun = Instant::now();
    send(&address, rest).await?;
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    analytics.stop().await?;
    let copy_rate = copy(&mut connection, events).await?;
    Ok(Ingest { events, streams: STREAMS, rate, copy_rate })
}

/// Batches for each stream: some to begin with, and `events` to measure. All
/// began within the last hours, in the order of time.
fn batches(events: usize) -> (Vec<Vec<UsageEvent>>, Vec<Vec<UsageEvent>>) {
    let warm = STREAMS * BATCH * 5;
    let config = WorkloadConfig {
        rows: (events + warm) as u64,
        days: 1,
        models: 40,
        keys: 200,
        seed: 7,
        until: Utc::now(),
    };
    let workload = Workload::new(config);
    let mut requests = workload.requests();
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
    events: Vec<UsageEvent>,
) -> Result<()> {
    let last = events.len() as u64;
    let (up, requests) = mpsc::channel(4);
    let hello = Hello {
        replica_id,
        version: "bench".to_owned(),
        next_sequence: 1,
        process_started_at: None,
    };
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
            let batch = Up::Batch(EventBatch { first_sequence, events });
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
