//! A request goes to its upstream: on a connection that is open or a new one,
//! once more if that is allowed, and within the time that is set.

use std::sync::{Arc, atomic::Ordering};

use http::{Request, Response};
use http_body::Body as _;
use hyper::{body::Incoming, client::conn::TrySendError};

use crate::{
    error::UpstreamFailure,
    exchange::Exchange,
    silence::within,
    tap::RequestTap,
    upstream::{Checkout, Pool},
};

/// What a request leaves when its connection fails: itself, if nothing of it was
/// sent.
type Unsent = Option<Request<RequestTap>>;

/// Sends a request and waits for the head of its response.
///
/// An upstream may close a connection in the moment in which a request is sent
/// on it. That request is sent again, once and on a new connection, if nothing of
/// it was sent, or if it is safe (RFC 9110 9.2.1) and has no body; no other one
/// ever is, because it may have had its effect.
pub(crate) async fn send(
    pool: &Arc<Pool>,
    request: Request<RequestTap>,
    exchange: Option<&Exchange>,
) -> Result<(Response<Incoming>, Checkout), UpstreamFailure> {
    let checkout = pool.checkout(&request).await?;
    let (request, spare) = if checkout.reused { with_spare(request) } else { (request, None) };
    let reused = checkout.reused;
    let (failure, unsent) = match send_on(checkout, request, exchange).await {
        Ok(answered) => return Ok(answered),
        Err(failed) => failed,
    };
    match unsent.or(spare) {
        Some(request) if reused => {
            pool.retried();
            let checkout = pool.checkout_new(&request).await?;
            send_on(checkout, request, exchange).await.map_err(|(failure, _)| failure)
        }
        _ => Err(failure),
    }
}

/// Sends on this connection.
async fn send_on(
    mut checkout: Checkout,
    request: Request<RequestTap>,
    exchange: Option<&Exchange>,
) -> Result<(Response<Incoming>, Checkout), (UpstreamFailure, Unsent)> {
    let Some(exchange) = exchange else {
        let answer = checkout.send(request).await;
        return answer.map(|response| (response, checkout)).map_err(|e| failed(e, None));
    };
    if !checkout.reused {
        exchange.connected();
    }
    exchange.sending();
    let answer = match checkout.head_timeout() {
        None => checkout.send(request).await,
        Some(limit) => {
            let asked = || exchange.progress.request_ended.load(Ordering::Acquire);
            let answer = within(limit, asked, checkout.send(request)).await;
            answer.map_err(|_| (UpstreamFailure::NoHead(limit), None))?
        }
    };
    answer.map(|response| (response, checkout)).map_err(|e| failed(e, Some(exchange)))
}

fn failed(
    mut failure: TrySendError<Request<RequestTap>>,
    exchange: Option<&Exchange>,
) -> (UpstreamFailure, Unsent) {
    let unsent = failure.take_message();
    let error = failure.into_error();
    // The one thing that modash gives hyper and that can fail is the body. Over
    // HTTP/2 the error is that of a stream which nobody wants any more.
    let broken = |exchange: &Exchange| exchange.progress.request_broken.load(Ordering::Relaxed);
    let failure = if error.is_user() || exchange.is_some_and(broken) {
        UpstreamFailure::ClientBody(error)
    } else {
        UpstreamFailure::NoResponse(error)
    };
    (failure, unsent)
}

/// A copy of a request that may be sent twice, beside the request.
fn with_spare(request: Request<RequestTap>) -> (Request<RequestTap>, Unsent) {
    if !request.method().is_safe() || !request.body().is_end_stream() {
        return (request, None);
    }
    let (head, body) = request.into_parts();
    let spare = Request::from_parts(head.clone(), RequestTap::held(Vec::new()));
    (Request::from_parts(head, body), Some(spare))
}
