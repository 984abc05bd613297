//! What goes around all services: a look at each call before it is handed on, and at its
//! answer.

use std::{
    future::{Future, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use tonic::{
    body::Body,
    codegen::{BoxFuture, Service, StdError, http},
};
use tower::Layer;

/// Looks at calls and answers.
pub(crate) trait Look: Clone + Send + 'static {
    /// What is remembered of a call until its answer.
    type Seen: Send + 'static;

    /// Looks at a call; an answer instead of handing it on.
    #[allow(clippy::result_large_err, reason = "it is the answer of the call")]
    fn call<A>(&self, request: &mut http::Request<A>) -> Result<Self::Seen, http::Response<Body>>;

    /// Looks at the answer of what was handed on.
    fn answer(&self, seen: Self::Seen, response: http::Response<Body>) -> http::Response<Body>;
}

/// Goes around services.
#[derive(Debug, Clone)]
pub(crate) struct Around<L>(pub(crate) L);

impl<L: Clone, S> Layer<S> for Around<L> {
    type Service = Looked<L, S>;

    fn layer(&self, inner: S) -> Looked<L, S> {
        Looked { look: self.0.clone(), inner }
    }
}

/// The services with what goes around them.
#[derive(Debug, Clone)]
pub(crate) struct Looked<L, S> {
    look: L,
    inner: S,
}

impl<L, S, A, B> Service<http::Request<A>> for Looked<L, S>
where
    L: Look,
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
        let seen = match self.look.call(&mut request) {
            Ok(seen) => seen,
            Err(response) => return Box::pin(ready(Ok(response))),
        };
        let (look, answer) = (self.look.clone(), self.inner.call(request));
        Box::pin(async move {
            let response = answer.await?.map(Body::new);
            Ok(look.answer(seen, response))
        })
    }
}
