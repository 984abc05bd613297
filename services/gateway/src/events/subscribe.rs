//! `Subscribe` in gRPC-Web for callers who want all requests: told by the hub, so that any
//! number of browsers is one subscriber of analytics. Whatever else a caller wants (a
//! filter, a deadline, a packed message) analytics tells itself.

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE},
    request::Parts,
};
use http_body::Body as _;
use modash_access::Pass;
use modash_proto::v1::{Filter, SubscribeRequest, Topic};
use prost::Message as _;
use tonic::Status;

use super::{
    BUFFERED_EVENTS, Stream, Topics, feed, fold::Fold, hubs::Seat, outbox::Outbox, stream::Form,
};
use crate::{body, contract::SERVICE, state::App};

/// Longest request that is looked at, many times what one without a filter takes.
const MAX_REQUEST_BYTES: u64 = 1024;

/// Headers that ask for what the hub does not do.
const FOR_ANALYTICS: [HeaderName; 2] =
    [HeaderName::from_static("grpc-timeout"), HeaderName::from_static("grpc-encoding")];

/// Answers a call.
///
/// # Errors
/// Gives the call back if analytics is to be asked itself.
pub(crate) async fn serve(
    app: &App,
    head: Parts,
    body: Body,
) -> Result<Result<Response, Status>, (Parts, Body)> {
    let known_length = body.size_hint().exact().is_some_and(|bytes| bytes <= MAX_REQUEST_BYTES);
    if !is_plain_subscribe(&head) || !known_length {
        return Err((head, body));
    }
    let body = match body::read(&head.headers, body).await {
        Ok(body) => body,
        Err(error) => return Ok(Err(Status::invalid_argument(error.to_string()))),
    };
    let Some(topics) = topics(&body) else { return Err((head, body.into())) };
    let place = match app.places.events(head.extensions.get()) {
        Ok(place) => place,
        Err(status) => return Ok(Err(status)),
    };
    let Some(seat) = seat(app, &head).await else { return Err((head, body.into())) };
    let hub = seat.hub().clone();
    let (out, frames) = Outbox::new(BUFFERED_EVENTS, &hub.shared.waiting_bytes);
    let newest = hub.shared.newest.subscribe();
    let (seq, connected) = hub.connected_message(topics);
    // It is new and has room.
    let _ = out.send(connected);
    let (fold, form) = (Fold::new(seq), Form::Messages(topics));
    let stream = Stream { hub, seq, fold, newest, out, form, missed: 0 };
    let told = feed(app, &head.extensions, stream, frames, (place, seat));
    let content_type = head.headers.get(CONTENT_TYPE).cloned();
    let content_type =
        content_type.unwrap_or(HeaderValue::from_static("application/grpc-web+proto"));
    let headers =
        [(CONTENT_TYPE, content_type), (CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    Ok(Ok((headers, told).into_response()))
}

/// Whether a call is one of `Subscribe` in the binary form, without a wish that the hub
/// does not know.
fn is_plain_subscribe(head: &Parts) -> bool {
    let path = head.uri.path().strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE));
    let content_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    head.method == Method::POST
        && path == Some("/Subscribe")
        && matches!(content_type, Some(b"application/grpc-web" | b"application/grpc-web+proto"))
        && !FOR_ANALYTICS.iter().any(|name| head.headers.contains_key(name))
}

/// What a caller wants to be told of; `None` if the hub cannot tell that.
fn topics(body: &Bytes) -> Option<Topics> {
    let (&[flags, a, b, c, d], message) = body.split_first_chunk()?;
    let length = u32::from_be_bytes([a, b, c, d]);
    if flags != 0 || usize::try_from(length) != Ok(message.len()) {
        return None;
    }
    let request = SubscribeRequest::decode(message).ok()?;
    if request.filter.is_some_and(|filter| filter != Filter::default()) {
        return None;
    }
    let all = request.topics.is_empty();
    let mut wanted = Topics { usage: all, request_state: all };
    for topic in request.topics {
        match Topic::try_from(topic).ok()? {
            Topic::Usage => wanted.usage = true,
            Topic::RequestState => wanted.request_state = true,
            Topic::Unspecified => return None,
        }
    }
    Some(wanted)
}

/// A seat at a hub that is told. `None`: analytics says why there is none.
async fn seat(app: &App, head: &Parts) -> Option<Seat> {
    let pass = head.extensions.get::<Pass>();
    let authorization = head.headers.get(AUTHORIZATION);
    // Without tokens of its own the gateway does not know what a header allows.
    if authorization.is_some() && pass.is_none_or(|pass| pass.name().is_none()) {
        return None;
    }
    let seat = app.hubs.seat(pass, authorization).await;
    seat.hub().is_subscribed().then_some(seat)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(request: &SubscribeRequest) -> Bytes {
        let message = request.encode_to_vec();
        let length = (message.len() as u32).to_be_bytes();
        [&[0][..], &length, &message].concat().into()
    }

    #[test]
    fn what_the_hub_cannot_tell_is_left_to_analytics() {
        let of = |topics: &[i32]| SubscribeRequest { topics: topics.to_vec(), filter: None };
        let both = Topics { usage: true, request_state: true };
        assert_eq!(topics(&body(&of(&[]))), Some(both));
        assert_eq!(topics(&body(&of(&[1, 2]))), Some(both));
        let usage = Topics { usage: true, request_state: false };
        assert_eq!(topics(&body(&of(&[Topic::Usage.into()]))), Some(usage));
        assert_eq!(topics(&body(&of(&[0]))), None);
        assert_eq!(topics(&body(&of(&[9]))), None);
        let nothing = SubscribeRequest { filter: Some(Filter::default()), topics: Vec::new() };
        assert_eq!(topics(&body(&nothing)), Some(both));
        let filter = Filter { models: vec!["m".to_owned()], ..Filter::default() };
        assert_eq!(
            topics(&body(&SubscribeRequest { filter: Some(filter), topics: Vec::new() })),
            None
        );
        let whole = body(&of(&[1]));
        assert_eq!(topics(&whole.slice(..whole.len() - 1)), None, "cut");
        assert_eq!(topics(&[&[1], &whole[1..]].concat().into()), None, "packed");
        assert_eq!(topics(&Bytes::new()), None);
    }
}
