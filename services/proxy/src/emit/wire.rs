//! What the proxy says on its stream: the contract's `StreamUsageRequest`, with
//! events that are encoded already. On the wire a repeated message and repeated
//! bytes are the same (protobuf encoding, length-delimited records).

use bytes::Bytes;
use modash_proto::v1::{Hello, LiveUpdate, Refusal, ReplicaStats, StreamUsageResponse};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, metadata::AsciiMetadataValue, transport::Channel};
use tonic_prost::ProstCodec;

/// The contract's method.
const METHOD: &str = "/modash.v1.IngestService/StreamUsage";

/// A message.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Request {
    #[prost(oneof = "Say", tags = "1, 2, 3, 4")]
    pub(super) say: Option<Say>,
}

/// What is said.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Say {
    #[prost(message, tag = "1")]
    Hello(Hello),
    #[prost(message, tag = "2")]
    Batch(Batch),
    #[prost(message, tag = "3")]
    Live(LiveUpdate),
    #[prost(message, tag = "4")]
    Stats(ReplicaStats),
}

/// The contract's `EventBatch`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Batch {
    #[prost(uint64, tag = "1")]
    pub(super) first_sequence: u64,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) events: Vec<Bytes>,
    #[prost(message, repeated, tag = "3")]
    pub(super) refusals: Vec<Refusal>,
    #[prost(string, tag = "4")]
    pub(super) traceparent: String,
}

/// Opens a stream, which says what comes from the channel; `authorization` is the
/// header of that name.
pub(super) async fn open(
    channel: Channel,
    requests: ReceiverStream<Request>,
    authorization: Option<String>,
) -> Result<Streaming<StreamUsageResponse>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Request, StreamUsageResponse>::default();
    let method = http::uri::PathAndQuery::from_static(METHOD);
    let mut request = tonic::Request::new(requests);
    if let Some(authorization) = authorization {
        let mut value: AsciiMetadataValue = authorization
            .parse()
            .map_err(|_| Status::unauthenticated("the token is no header value"))?;
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
    }
    let response = client.streaming(request, method, codec).await?;
    Ok(response.into_inner())
}

#[cfg(test)]
mod tests {
    use modash_proto::v1::{
        EventBatch, StreamUsageRequest, UsageEvent,
        ingest_service_server::SERVICE_NAME,
        stream_usage_request::Message::{self, Batch as ContractBatch},
    };
    use prost::Message as _;

    use super::*;

    fn both(ours: Say, contract: Message) {
        let ours = Request { say: Some(ours) }.encode_to_vec();
        let contract = StreamUsageRequest { message: Some(contract) };
        assert_eq!(StreamUsageRequest::decode(ours.as_slice()), Ok(contract.clone()));
        assert_eq!(ours, contract.encode_to_vec());
    }

    #[test]
    fn what_is_said_is_what_the_contract_says() {
        let hello = Hello { replica_id: "a".to_owned(), next_sequence: 7, ..Hello::default() };
        both(Say::Hello(hello.clone()), Message::Hello(hello));
        let live = LiveUpdate { snapshot: true, requests: Vec::new(), part: None };
        both(Say::Live(live.clone()), Message::Live(live));
        let stats = ReplicaStats { started: 3, ..ReplicaStats::default() };
        both(Say::Stats(stats), Message::Stats(stats));
        let event = |id: &str| UsageEvent { event_id: id.to_owned(), ..UsageEvent::default() };
        let events = vec![event("a"), event(""), event("c")];
        let encoded = events.iter().map(|event| event.encode_to_vec().into()).collect();
        let refusals = vec![Refusal { sequence: 10, reason: "r".to_owned(), event: b"e".to_vec() }];
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned();
        both(
            Say::Batch(Batch {
                first_sequence: 9,
                events: encoded,
                refusals: refusals.clone(),
                traceparent: traceparent.clone(),
            }),
            ContractBatch(EventBatch { first_sequence: 9, events, refusals, traceparent }),
        );
        assert_eq!(METHOD, format!("/{SERVICE_NAME}/StreamUsage"));
    }
}
