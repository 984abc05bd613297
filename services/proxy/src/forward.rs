//! The hot path: send the request on, hand the response back, with a tap on
//! each body.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{self, HOST},
    request::Parts,
    response,
};
use http_body::Body as _;
use http_body_util::{Either, Full};
use hyper::body::Incoming;

use crate::{
    asking::Asked,
    core::{Core, Counters},
    error::{SWITCHED_UNASKED, UpstreamFailure, json_response},
    exchange::{Ending, Exchange, Running},
    headers::retain,
    route::{Route, Upstream},
    send::send,
    tap::{RequestTap, ResponseTap},
    upstream::Pool,
};

/// Body of a response: the upstream's, or modash's own.
pub(crate) type ResponseBody = Either<ResponseTap, Full<Bytes>>;

/// Headers of one hop (RFC 9110 7.6.1, and `Proxy-Connection`, which old clients
/// send). Those that `Connection` names are added to them.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Answers one request.
pub(crate) async fn forward(core: &Core, request: Request<Incoming>) -> Response<ResponseBody> {
    let (head, body) = request.into_parts();
    match core.router.route(&head) {
        Ok(Route::Upstream(upstream, target)) => metered(core, upstream, target, head, body).await,
        Ok(Route::Gateway(pool, target)) => unmetered(pool, target, head, body).await,
        Ok(Route::Healthz) => {
            json_response(StatusCode::OK, r#"{"status":"ok"}"#).map(Either::Right)
        }
        Err(refusal) => {
            Counters::add(&core.shared.counters.refused);
            refusal.response().map(Either::Right)
        }
    }
}

/// To an LLM server, recorded.
async fn metered(
    core: &Core,
    upstream: &Upstream,
    target: Uri,
    mut head: Parts,
    body: Incoming,
) -> Response<ResponseBody> {
    let calibration = core.aid.calibration.clone();
    let exchange = Exchange::begin(&head, upstream.name.clone(), calibration);
    let mut running = Running::begin(exchange, core.shared.clone());
    let exchange = running.exchange().clone();
    let version = head.version;
    head.headers.insert(HOST, upstream.pool.base().host_header().clone());
    let head = outgoing(head, target);
    let sent = match core.aid.injection(&head, upstream) {
        Some(injection) => core.aid.send(injection, upstream, head, body, &exchange).await,
        None => {
            let body = RequestTap::new(body, Some(exchange.clone()));
            let request = Request::from_parts(head, body);
            let sent = send(&upstream.pool, request, Some(&exchange)).await;
            sent.map(|(response, checkout)| Asked { response, checkout, filter: None })
        }
    };
    match sent.and_then(stays_in_http) {
        Ok(Asked { response, checkout, filter }) => {
            let (mut head, body) = response.into_parts();
            exchange.response_head(head.status, &head.headers);
            incoming(&mut head);
            let told = told_length(version, &head.headers, &body);
            let silence = upstream.pool.config().stream_idle_timeout;
            let mut tap =
                ResponseTap::new(body, Some(running), checkout).cut_after(silence).telling(told);
            core.aid.note(&upstream.name, &head.headers);
            if let Some(filter) = filter {
                // The length changes, and the filter writes plain text.
                retain(&mut head.headers, |name| {
                    name != header::CONTENT_LENGTH && name != header::CONTENT_ENCODING
                });
                tap = tap.filtered(filter);
            }
            Response::from_parts(head, Either::Left(tap))
        }
        Err(failure) => {
            let url = upstream.pool.base().to_string();
            let response = failure.response(&upstream.name, &url);
            let ending = failure.ending();
            // Who has left gets no answer.
            if ending != Ending::ClientClosed {
                exchange.answered_by_modash(response.status().as_u16());
            }
            running.end(ending);
            response.map(Either::Right)
        }
    }
}

/// Nobody asked the upstream to leave HTTP: requests that do are relayed.
fn stays_in_http(asked: Asked) -> Result<Asked, UpstreamFailure> {
    if asked.response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(UpstreamFailure::Closed(SWITCHED_UNASKED.to_owned()));
    }
    Ok(asked)
}

/// To the gateway. `Host` stays, because the gateway compares it with `Origin`.
async fn unmetered(
    pool: &Arc<Pool>,
    target: Uri,
    head: Parts,
    body: Incoming,
) -> Response<ResponseBody> {
    let version = head.version;
    let request = Request::from_parts(outgoing(head, target), RequestTap::new(body, None));
    match send(pool, request, None).await {
        Ok((response, checkout)) => {
            let (mut head, body) = response.into_parts();
            incoming(&mut head);
            let told = told_length(version, &head.headers, &body);
            let tap = ResponseTap::new(body, None, checkout).telling(told);
            Response::from_parts(head, Either::Left(tap))
        }
        Err(failure) => failure.response("gateway", &pool.base().to_string()).map(Either::Right),
    }
}

/// The request head as the upstream gets it.
fn outgoing(mut head: Parts, target: Uri) -> Parts {
    // Over HTTP/2 the host is in the target.
    if !head.headers.contains_key(HOST)
        && let Some(authority) = head.uri.authority()
        && let Ok(host) = authority.as_str().parse()
    {
        head.headers.insert(HOST, host);
    }
    head.uri = target;
    let trailers = takes_trailers(&head.headers);
    remove_hop_by_hop(&mut head.headers);
    if trailers {
        head.headers.insert(header::TE, HeaderValue::from_static("trailers"));
        head.headers.append(header::CONNECTION, HeaderValue::from_static("te"));
    }
    head
}

/// The response head as the client gets it; its version is that of the client's
/// connection (RFC 9110 6.2).
fn incoming(head: &mut response::Parts) {
    head.version = Version::HTTP_11;
    remove_hop_by_hop(&mut head.headers);
}

/// The length that a response without a body tells: that to HEAD, one with 304, an
/// empty one. hyper would leave it out or put it last in HTTP/1.1.
fn told_length(client: Version, headers: &HeaderMap, body: &Incoming) -> Option<u64> {
    if client == Version::HTTP_2 || !body.is_end_stream() {
        return None;
    }
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the client takes trailers, which modash hands on; without being asked
/// an upstream may not send them (RFC 9110 6.5.1).
fn takes_trailers(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::TE).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| {
        coding
            .split(';')
            .next()
            .is_some_and(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
    })
}

/// Removes the headers of one hop and keeps the others in order.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if !HOP_BY_HOP.iter().any(|name| headers.contains_key(name)) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    retain(headers, |name| !HOP_BY_HOP.contains(name) && !named.contains(name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_by_hop_headers_and_those_that_connection_names_are_removed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
            ("authorization", "Bearer x"),
            ("accept-encoding", "br"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        remove_hop_by_hop(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["authorization", "accept-encoding"]);
    }

    #[test]
    fn what_stays_keeps_its_order() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("a", "1"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("b", "2"),
            ("a", "3"),
            ("c", "4"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        remove_hop_by_hop(&mut headers);
        let left: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(left, ["a: 1", "a: 3", "b: 2", "c: 4"]);
    }
}
