//! Another sender of the proxy's events: reads them from its spool, as the docs
//! describe it, and sends them twice, in another order, by streams of its own.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use modash_proto::v1::{
    EventBatch, Hello, StreamUsageRequest, UsageEvent, ingest_service_client::IngestServiceClient,
    stream_usage_request::Message,
};
use prost::Message as _;
use rand::{Rng as _, rngs::StdRng, seq::SliceRandom as _};

/// Bytes at the beginning of a file, and before the payload of a record.
const FILE_HEADER: usize = 20;
const RECORD_HEADER: usize = 16;

/// Longest time that this takes.
const LONGEST: Duration = Duration::from_secs(2);

/// Sends what the spool holds; gives how many events it sent.
pub(crate) async fn send(spool: &Path, analytics: SocketAddr, draw: &mut StdRng) -> usize {
    let mut events = events(spool);
    events.extend_from_within(..);
    events.shuffle(draw);
    let mut sent = 0;
    let begun = Instant::now();
    while !events.is_empty() && begun.elapsed() < LONGEST {
        let rest = events.split_off(events.len().min(draw.random_range(1..400)));
        let stream = stream(analytics, std::mem::replace(&mut events, rest));
        // Analytics or its database may be away.
        if let Ok(Ok(count)) = tokio::time::timeout(LONGEST, stream).await {
            sent += count;
        }
    }
    sent
}

async fn stream(analytics: SocketAddr, events: Vec<UsageEvent>) -> Result<usize, tonic::Status> {
    let unavailable =
        |error: tonic::transport::Error| tonic::Status::unavailable(error.to_string());
    let mut client =
        IngestServiceClient::connect(format!("http://{analytics}")).await.map_err(unavailable)?;
    // The same replica, in a life of which analytics knows nothing.
    let replica_id = events.first().map(|event| event.replica_id.clone()).unwrap_or_default();
    let hello = Hello { replica_id, next_sequence: 1, ..Hello::default() };
    let count = events.len();
    let batch = EventBatch { first_sequence: 1, events, ..Default::default() };
    let messages = [Message::Hello(hello), Message::Batch(batch)]
        .map(|message| StreamUsageRequest { message: Some(message) });
    let mut answers = client.stream_usage(tokio_stream::iter(messages)).await?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(count)
}

/// All whole records.
fn events(spool: &Path) -> Vec<UsageEvent> {
    let files = fs::read_dir(spool).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut events = Vec::new();
    for file in files.filter(|path| path.extension().is_some_and(|kind| kind == "events")) {
        let bytes = fs::read(&file).unwrap_or_default();
        let mut rest = bytes.get(FILE_HEADER..).unwrap_or_default();
        while let Some((header, after)) = rest.split_at_checked(RECORD_HEADER) {
            let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
            // The last record may be in the making.
            let Some((payload, next)) = after.split_at_checked(length as usize) else { break };
            let Ok(event) = UsageEvent::decode(payload) else { break };
            events.push(event);
            rest = next;
        }
    }
    events
}
