//! Messages of `Subscribe` in gRPC-Web: the contract's, with requests that are encoded
//! already. On the wire a repeated message and repeated bytes are the same (protobuf
//! encoding, length-delimited records).

use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use modash_proto::{
    timestamp_from_micros,
    v1::{KeepAlive, Missed, UsageUpdated},
};
use prost::Message as _;
use prost_types::Timestamp;
use tonic::Status;

use super::{
    fold::{Requests, Told, Usage},
    frame::Frame,
    live::Live,
    log::milliseconds_since_1970,
};

/// Largest list of requests in `connected`: gRPC clients refuse messages of more than 4 MiB.
const MAX_SNAPSHOT_BYTES: usize = 3 * 1024 * 1024;

/// First byte of a frame that holds trailers (gRPC-Web protocol, "Message framing").
const TRAILERS: u8 = 0x80;

/// The contract's `SubscribeResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(oneof = "Say", tags = "1, 2, 3, 4, 5")]
    say: Option<Say>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Say {
    #[prost(message, tag = "1")]
    Connected(Connected),
    #[prost(message, tag = "2")]
    UsageUpdated(UsageUpdated),
    #[prost(message, tag = "3")]
    RequestStateUpdated(RequestStateUpdated),
    #[prost(message, tag = "4")]
    Missed(Missed),
    #[prost(message, tag = "5")]
    KeepAlive(KeepAlive),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Connected {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(message, optional, tag = "2")]
    now: Option<Timestamp>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    requests: Vec<Bytes>,
    #[prost(bool, tag = "4")]
    truncated: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestStateUpdated {
    #[prost(message, optional, tag = "1")]
    now: Option<Timestamp>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    requests: Vec<Bytes>,
    #[prost(bool, tag = "3")]
    truncated: bool,
}

/// How things are: the newest requests that fit, newest first as analytics has them.
pub(crate) fn connected(version: &str, in_flight: &[Live], truncated: bool) -> Frame {
    let mut bytes = 0;
    let requests: Vec<Bytes> = in_flight
        .iter()
        .rev()
        .map(|live| live.message.clone())
        .take_while(|message| {
            bytes += message.len() + 8;
            bytes <= MAX_SNAPSHOT_BYTES
        })
        .collect();
    let truncated = truncated || requests.len() < in_flight.len();
    frame(Say::Connected(Connected {
        version: version.to_owned(),
        now: timestamp(milliseconds_since_1970()),
        requests,
        truncated,
    }))
}

/// A change. A list of all that is in flight is told by `connected` instead.
pub(crate) fn told(told: &Told) -> Frame {
    match told {
        Told::Usage(usage) => frame(Say::UsageUpdated(usage_updated(usage))),
        Told::Requests(Requests { now, newest, truncated, .. }) => {
            let requests = newest.values().map(|live| live.message.clone()).collect();
            let (now, truncated) = (timestamp(*now), *truncated);
            let update = RequestStateUpdated { now, requests, truncated };
            frame(Say::RequestStateUpdated(update))
        }
    }
}

/// So many messages were left out.
pub(crate) fn missed(messages: u64) -> Frame {
    frame(Say::Missed(Missed { messages }))
}

/// Shows that the stream is alive.
pub(crate) fn keep_alive() -> Frame {
    frame(Say::KeepAlive(KeepAlive { now: timestamp(milliseconds_since_1970()) }))
}

/// How the stream ended.
pub(crate) fn end(status: &Status) -> Frame {
    let mut headers = HeaderMap::new();
    // What cannot be a header is said by its code alone.
    if status.add_header(&mut headers).is_err() {
        headers.clear();
        headers.insert("grpc-status", (status.code() as i32).into());
    }
    let mut lines = Vec::new();
    for (name, value) in &headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
    framed(TRAILERS, &lines)
}

fn usage_updated(usage: &Usage) -> UsageUpdated {
    // Where the start is not known, anything may have changed.
    let micros = usage.oldest_started_at.map_or(0, |milliseconds| (milliseconds * 1e3) as i64);
    UsageUpdated {
        now: timestamp(usage.now),
        requests: usage.requests.unwrap_or_default(),
        oldest_started_at: Some(timestamp_from_micros(micros)),
    }
}

fn timestamp(milliseconds: u64) -> Option<Timestamp> {
    let micros = i64::try_from(milliseconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
    Some(timestamp_from_micros(micros))
}

fn frame(say: Say) -> Frame {
    framed(0, &Response { say: Some(say) }.encode_to_vec())
}

/// One byte of flags, four of the length, and the bytes.
fn framed(flags: u8, bytes: &[u8]) -> Frame {
    let mut frame = BytesMut::with_capacity(5 + bytes.len());
    frame.put_u8(flags);
    frame.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    frame.put_slice(bytes);
    Frame(frame.freeze())
}

#[cfg(test)]
mod tests {
    use modash_proto::v1::{LiveRequest, SubscribeResponse, subscribe_response::Message};
    use tonic::Code;

    use super::*;
    use crate::contract::Contract;

    fn live(id: &str) -> Live {
        let descriptor = Contract::new().unwrap().live_request();
        Live::new(&descriptor, &request(id)).unwrap()
    }

    fn request(id: &str) -> LiveRequest {
        LiveRequest { event_id: id.to_owned(), content_events: 3, ..LiveRequest::default() }
    }

    fn message(frame: &Frame) -> Message {
        assert_eq!(frame.0[..5], [&[0][..], &(frame.0.len() as u32 - 5).to_be_bytes()].concat());
        SubscribeResponse::decode(&frame.0[5..]).unwrap().message.unwrap()
    }

    #[test]
    fn what_is_said_is_what_the_contract_says() {
        let Message::Connected(said) = message(&connected("1.2.3", &[live("a"), live("b")], false))
        else {
            panic!("another message")
        };
        assert_eq!((said.version.as_str(), said.truncated), ("1.2.3", false));
        assert_eq!(said.requests, [request("b"), request("a")]);
        assert!(said.now.is_some());

        let newest = [("a".into(), live("a"))].into();
        let changed = Requests { now: 1_500, newest, truncated: true, ..Requests::default() };
        let Message::RequestStateUpdated(said) = message(&told(&Told::Requests(changed))) else {
            panic!("another message")
        };
        assert_eq!((said.requests, said.truncated), (vec![request("a")], true));
        assert_eq!(said.now, Some(Timestamp { seconds: 1, nanos: 500_000_000 }));

        let usage =
            Usage { requests: Some(7), oldest_started_at: Some(2_000.5), ..Usage::default() };
        let Message::UsageUpdated(said) = message(&told(&Told::Usage(usage))) else {
            panic!("another message")
        };
        assert_eq!(said.requests, 7);
        assert_eq!(said.oldest_started_at, Some(Timestamp { seconds: 2, nanos: 500_000 }));
        assert_eq!(message(&missed(4)), Message::Missed(Missed { messages: 4 }));
        assert!(matches!(message(&keep_alive()), Message::KeepAlive(_)));
    }

    #[test]
    fn a_list_that_is_too_large_has_the_newest_and_says_so() {
        let large = Live { message: vec![0; 1024 * 1024].into(), ..live("a") };
        let frame = connected("1", &[large.clone(), large.clone(), large], false);
        assert!(frame.0.len() < MAX_SNAPSHOT_BYTES);
        let Some(Say::Connected(said)) = Response::decode(&frame.0[5..]).unwrap().say else {
            panic!("another message")
        };
        assert_eq!((said.requests.len(), said.truncated), (2, true));
    }

    #[test]
    fn the_end_is_a_frame_of_trailers() {
        let frame = end(&Status::new(Code::Unavailable, "away; try again"));
        assert_eq!(frame.0[0], TRAILERS);
        let lines = String::from_utf8(frame.0[5..].to_vec()).unwrap();
        assert!(lines.contains("grpc-status: 14\r\n"), "{lines}");
        assert!(lines.contains("grpc-message: away"), "{lines}");
    }
}
