//! grpc-web, passed on to analytics as it is: nothing is decoded, bytes go on as they
//! come, and a browser that leaves ends the call behind. Only `Subscribe` without a filter
//! is answered here, from the hub that feeds `/events`.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, ORIGIN, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
    request::Parts,
};
use http_body::{Frame, SizeHint};
use modash_access::CallerId;
use modash_proto::Reason;
use modash_runtime::Place;
use tonic::Status;
use tower::{Service as _, ServiceExt as _};
use tracing::Instrument as _;

use crate::{
    analytics::scope_applied,
    events,
    session::{self, Lease},
    state::App,
    trace::Question,
};

/// Whose answer it is, as in `connected` of `/events`.
const VIEWER: HeaderName = HeaderName::from_static("modash-viewer");

/// Headers of one connection, and those that concern the gateway alone.
const NOT_PASSED_ON: [HeaderName; 9] = [
    CONNECTION,
    COOKIE,
    HOST,
    ORIGIN,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Whether a content type is grpc-web, binary or text.
pub(crate) fn is_grpc_web(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.to_ascii_lowercase().starts_with(b"application/grpc-web")
}

/// Answers `Subscribe` from the hub where that can, else passes a call on and its answer
/// back.
pub(crate) async fn serve(app: &App, head: Parts, body: Body) -> Response {
    let content_type = head.headers.get(CONTENT_TYPE).cloned();
    let viewer = session::viewer(&app.access, &head.headers);
    let answer = match events::subscribe(app, head, body).await {
        Ok(answer) => answer,
        Err((head, body)) => pass_on(app, head, body).await,
    };
    match answer {
        Ok(mut response) => {
            if let Some(viewer) = viewer.and_then(|viewer| HeaderValue::try_from(viewer).ok()) {
                response.headers_mut().insert(VIEWER, viewer);
            }
            response
        }
        Err(status) => failure(content_type, &status),
    }
}

/// An error before the first message: status and message are headers.
pub(crate) fn failure(content_type: Option<HeaderValue>, status: &Status) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    let fallback = HeaderValue::from_static("application/grpc-web+proto");
    headers.insert(CONTENT_TYPE, content_type.unwrap_or(fallback));
    if status.add_header(headers).is_err() {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}

async fn pass_on(app: &App, head: Parts, body: Body) -> Result<Response, Status> {
    if head.method != Method::POST {
        return Err(Status::unimplemented("calls are posted"));
    }
    let place = app.places.call(head.extensions.get())?;
    let until = end(app, head.extensions.get::<Lease>().copied());
    let has_scope = app.analytics.has_scope(&head.headers);
    let mut request = Request::new(tonic::body::Body::new(body));
    *request.uri_mut() = head.uri.path().parse::<Uri>().map_err(|_| Status::internal("path"))?;
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = without_connection(head.headers);
    let method = head.uri.path().trim_start_matches('/').to_owned();
    let question = Question::begin(method, request.headers_mut());
    let mut channel = app.analytics.passed_on();
    let response = async { channel.ready().await?.call(request).await };
    let response = match response.instrument(question.span()).await {
        Ok(response) => response,
        Err(error) => {
            let status = app.analytics.for_a_person(Status::from_error(error.into()));
            question.answered(status.code());
            return Err(status);
        }
    };
    let (mut head, body) = response.into_parts();
    // A refusal shows nothing.
    if has_scope && !head.headers.contains_key(Status::GRPC_STATUS) {
        scope_applied(&head.headers)?;
    }
    head.headers = without_connection(head.headers);
    head.version = Version::default();
    Ok(Response::from_parts(
        head,
        Body::new(Passed { body, until, _place: place, _question: question }),
    ))
}

type End = Pin<Box<dyn Future<Output = Status> + Send>>;

/// When an answer is broken off, and why: the gateway stops, or the session of its caller
/// ends, after which the page asks again and is told to sign in.
fn end(app: &App, lease: Option<Lease>) -> End {
    let (stopped, ended) = (app.shutdown.token().cancelled_owned(), app.sessions.ended(lease));
    Box::pin(async move {
        tokio::select! {
            () = stopped => Reason::Stopping.status("the gateway is stopping; try again"),
            () = ended => Status::unauthenticated("the session has ended: sign in again"),
        }
    })
}

/// Also drops what `Connection` names, and the length, which the server sets
/// anew where it knows it.
fn without_connection(mut headers: HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&NOT_PASSED_ON).chain([&CONTENT_LENGTH]) {
        headers.remove(name);
    }
    headers
}

/// An answer on its way back. Holds its place, and is broken off at its end: a
/// subscription never ends by itself.
struct Passed {
    body: tonic::body::Body,
    until: End,
    _place: Place<CallerId>,
    /// Ends with the answer.
    _question: Question,
}

impl http_body::Body for Passed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        self.until.as_mut().poll(context).map(|status| Some(Err(status)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
