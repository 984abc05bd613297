//! A request goes to its upstream: on a connection that is open or a new one,
//! once more if that is allowed, and within the time that is set.

use std::sync::{Arc, atomic::Ordering};

use http::{Request, Response, header};
use http_body::Body as _;
use hyper::{body::Incoming, client::conn::TrySendError};

use crate::{
    error::UpstreamFailure,
    exchange::Exchange,
    silence::{TooLong, within},
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
/// it was sent, if none of it can have arrived (`upstream::sent` decides), or if it
/// is safe (RFC 9110 9.2.1) and has no body; no other one ever is, because it may
/// have had its effect. A time-out is no such end.
///
/// The body of a request that cannot be sent is read, so that its row says what it
/// asked for.
pub(crate) async fn send(
    pool: &Arc<Pool>,
    request: Request<RequestTap>,
    exchange: Option<&Exchange>,
) -> Result<(Response<Incoming>, Checkout), UpstreamFailure> {
    let checkout = match pool.checkout(&request).await {
        Ok(checkout) => checkout,
        Err(error) => return Err(not_sent(error.into(), request).await),
    };
    let (request, spare) = if checkout.reused { with_spare(request) } else { (request, None) };
    let reused = checkout.reused;
    let Failed { failure, unsent, final_try } = match send_on(checkout, request, exchange).await {
        Ok(answered) => return Ok(answered),
        Err(failed) => failed,
    };
    let request = match unsent.or(spare) {
        Some(request) if reused && !final_try => request,
        Some(request) => return Err(not_sent(failure, request).await),
        None => return Err(failure),
    };
    pool.retried();
    let checkout = match pool.checkout_new(&request).await {
        Ok(checkout) => checkout,
        Err(error) => return Err(not_sent(error.into(), request).await),
    };
    match send_on(checkout, request, exchange).await {
        Ok(answered) => Ok(answered),
        Err(Failed { failure, unsent: Some(request), .. }) => Err(not_sent(failure, request).await),
        Err(Failed { failure, .. }) => Err(failure),
    }
}

/// Reads a request that is not sent. A client that waits to be asked for its body is
/// not asked.
async fn not_sent(failure: UpstreamFailure, request: Request<RequestTap>) -> UpstreamFailure {
    if !request.headers().contains_key(header::EXPECT) {
        request.into_body().read_unsent().await;
    }
    failure
}

/// A request that was not answered.
struct Failed {
    failure: UpstreamFailure,
    unsent: Unsent,
    /// It is not tried again: its time is over, or it was sent twice.
    final_try: bool,
}

/// Sends on this connection.
async fn send_on(
    mut checkout: Checkout,
    request: Request<RequestTap>,
    exchange: Option<&Exchange>,
) -> Result<(Response<Incoming>, Checkout), Failed> {
    let Some(exchange) = exchange else {
        return match checkout.send(request).await {
            Ok(response) => Ok((response, checkout)),
            Err(error) => Err(failed(error, &checkout, None)),
        };
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
            match answer {
                Ok(answer) => answer,
                Err(TooLong) => {
                    let failure = UpstreamFailure::NoHead(limit);
                    return Err(Failed { failure, unsent: None, final_try: true });
                }
            }
        }
    };
    answer.map_err(|error| failed(error, &checkout, Some(exchange))).map(|head| (head, checkout))
}

fn failed(
    mut failure: TrySendError<Request<RequestTap>>,
    checkout: &Checkout,
    exchange: Option<&Exchange>,
) -> Failed {
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
    Failed { failure, unsent, final_try: checkout.went_again }
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
