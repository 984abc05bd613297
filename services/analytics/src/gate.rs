//! Who may call which method: the one place where analytics asks for a token, for
//! gRPC and, since it stands behind the translation, for grpc-web. A caller who is
//! admitted is noted in the request; a stream ends when its token does.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use modash_access::{Access, Pass, Refusal, Scope};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::{
    Code, Extensions, Status,
    body::Body,
    codegen::{BoxFuture, Service, StdError, http},
};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::Layer;

mod callers;
mod methods;

use callers::{Callers, MOST_QUESTIONS};

/// How often an open call looks whether its token is still good.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Asks for tokens before the services.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    access: Access,
    callers: Callers,
}

impl Gate {
    /// Lets in whom the tokens let in.
    pub(crate) fn new(access: Access) -> Self {
        Self { access, callers: Callers::default() }
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { gate: self.clone(), inner }
    }
}

/// The services behind the gate.
#[derive(Debug, Clone)]
pub(crate) struct Gated<S> {
    gate: Gate,
    inner: S,
}

impl<S, A, B> Service<http::Request<A>> for Gated<S>
where
    S: Service<http::Request<A>, Response = http::Response<B>>,
    S::Future: Future<Output = Result<http::Response<B>, S::Error>> + Send + 'static,
    S::Error: Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<StdError>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<A>) -> Self::Future {
        let header = request.headers().get(http::header::AUTHORIZATION);
        let needed = methods::role(request.uri().path());
        let pass = match self.gate.access.admit(header.map(http::HeaderValue::as_bytes), needed) {
            Ok(pass) => pass,
            Err(refusal) => {
                let response = status(&refusal).into_http();
                return Box::pin(std::future::ready(Ok(response)));
            }
        };
        let mut place = None;
        if let (Some(name), true) = (pass.name(), methods::is_question(request.uri().path())) {
            place = self.gate.callers.place(name);
            if place.is_none() {
                let response = too_many(name).into_http();
                return Box::pin(std::future::ready(Ok(response)));
            }
        }
        request.extensions_mut().insert(pass.clone());
        let response = self.inner.call(request);
        let access = self.gate.access.clone();
        Box::pin(async move {
            // Until it is answered, or nobody waits for the answer any more.
            let _place = place;
            let response = response.await?;
            if access.is_open() {
                return Ok(response.map(Body::new));
            }
            Ok(response.map(|body| Body::new(Watched::new(Body::new(body), access, pass))))
        })
    }
}

/// What a caller who is refused gets.
fn status(refusal: &Refusal) -> Status {
    let code = if refusal.is_forbidden() { Code::PermissionDenied } else { Code::Unauthenticated };
    let details = ErrorDetails::with_error_info(refusal.reason(), "modash", []);
    Status::with_error_details(code, refusal.to_string(), details)
}

/// What a caller with too many open questions gets.
fn too_many(name: &str) -> Status {
    let text = format!(
        "the token {name} may have {MOST_QUESTIONS} questions at once; wait for answers before \
         asking more"
    );
    let details = ErrorDetails::with_error_info("TOO_MANY_QUESTIONS", "modash", []);
    Status::with_error_details(Code::ResourceExhausted, text, details)
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
