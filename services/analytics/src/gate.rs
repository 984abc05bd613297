//! Who may call which method: the one place where analytics asks for a token, for
//! gRPC and, since it stands behind the translation, for grpc-web. A caller who is
//! admitted is noted in the request; a stream ends when its token does.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use modash_access::{APPLIES_SCOPES, Access, Pass, Refusal, Scope};
use modash_proto::ERROR_DOMAIN;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::{Code, Extensions, Status, body::Body, codegen::http};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::around::Look;

mod methods;

/// How often an open call looks whether its token is still good.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Asks for tokens before the services.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    access: Access,
}

impl Gate {
    /// Lets in whom the tokens let in.
    pub(crate) fn new(access: Access) -> Self {
        Self { access }
    }
}

impl Look for Gate {
    type Seen = Pass;

    fn call<A>(&self, request: &mut http::Request<A>) -> Result<Pass, http::Response<Body>> {
        let header = request.headers().get(http::header::AUTHORIZATION);
        let needed = methods::role(request.uri().path());
        let pass = self.access.admit(header.map(http::HeaderValue::as_bytes), needed);
        let pass = pass.map_err(|refusal| status(&refusal).into_http())?;
        request.extensions_mut().insert(pass.clone());
        Ok(pass)
    }

    fn answer(&self, pass: Pass, response: http::Response<Body>) -> http::Response<Body> {
        if self.access.is_open() {
            return response;
        }
        let mut response =
            response.map(|body| Body::new(Watched::new(body, self.access.clone(), pass)));
        response.headers_mut().insert(APPLIES_SCOPES, http::HeaderValue::from_static("true"));
        response
    }
}

/// What a caller who is refused gets.
fn status(refusal: &Refusal) -> Status {
    let code = if refusal.is_forbidden() { Code::PermissionDenied } else { Code::Unauthenticated };
    let details = ErrorDetails::with_error_info(refusal.reason(), ERROR_DOMAIN, []);
    Status::with_error_details(code, refusal.to_string(), details)
}

/// The pass of a call.
///
/// # Errors
/// If the gate was not asked, which is a defect: such a call gets nothing.
#[allow(clippy::result_large_err, reason = "the status is the answer of the call")]
pub(crate) fn pass(extensions: &Extensions) -> Result<Pass, Status> {
    extensions.get::<Pass>().cloned().ok_or_else(|| Status::internal("a call without a pass"))
}

/// What a call sees.
#[allow(clippy::result_large_err, reason = "the status is the answer of the call")]
pub(crate) fn scope(extensions: &Extensions) -> Result<Scope, Status> {
    Ok(pass(extensions)?.scope().cloned().unwrap_or_default())
}

/// An answer that ends when the token of its caller does.
struct Watched {
    body: Body,
    access: Access,
    pass: Pass,
    look: Interval,
    ended: bool,
}

impl Watched {
    fn new(body: Body, access: Access, pass: Pass) -> Self {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is at once, and the pass is new.
        look.reset();
        Self { body, access, pass, look, ended: false }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        while self.look.poll_tick(context).is_ready() {
            if let Err(refusal) = self.access.renew(&self.pass) {
                self.ended = true;
                self.body = Body::empty();
                let mut trailers = http::HeaderMap::new();
                status(&refusal).add_header(&mut trailers)?;
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
