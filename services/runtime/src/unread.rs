//! Request bodies that are answered before they are read.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

/// What is read and thrown away of a body that nobody wanted.
const MAX_UNWANTED_BYTES: usize = 16 * 1024 * 1024;
/// How long that may take.
const UNWANTED_TIMEOUT: Duration = Duration::from_secs(2);

/// A request body that is read to its end even if the answer was given before:
/// else the connection would close under a client that still writes, and the
/// client would report that instead of the answer.
#[derive(Debug)]
pub(crate) struct ReadToTheEnd(Option<Body>);

impl ReadToTheEnd {
    /// Wraps the body of a request.
    pub(crate) fn wrap(body: Body) -> Body {
        if body.is_end_stream() { body } else { Body::new(Self(Some(body))) }
    }
}

impl http_body::Body for ReadToTheEnd {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for ReadToTheEnd {
    fn drop(&mut self) {
        let unread = self.0.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Ok(runtime)) = (unread, tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(UNWANTED_TIMEOUT, discard(body)));
        }
    }
}

async fn discard(mut body: Body) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > MAX_UNWANTED_BYTES {
            return;
        }
    }
}
