//! Requests of HTTP/2 clients: each is relayed as if it had come on a connection of
//! HTTP/1.1 of its own. hyper speaks HTTP/2 with the client.

use std::{
    future::{Future as _, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, response};
use http_body::{Body, Frame};
use hyper::body::Incoming;

use crate::{
    core::Core,
    relay::{Peer, Relay},
};

/// The body of a response; drives its relay. Dropping it ends the request.
pub(crate) struct BridgedBody {
    relay: Box<Relay>,
    /// The relay has nothing more to do.
    done: bool,
    /// The response was fetched to its end.
    whole: bool,
    /// It broke off, and what came before was handed over.
    broken: bool,
}

/// Relays a request and waits for the head of its response.
///
/// # Errors
/// There is none.
pub(crate) async fn bridge(
    core: Arc<Core>,
    peer: Peer,
    request: Request<Incoming>,
) -> io::Result<Response<BridgedBody>> {
    let relay = Box::new(Relay::of_http2(core, peer, request));
    let mut body = BridgedBody { relay, done: false, whole: false, broken: false };
    let head = poll_fn(|context| body.poll_fetch(context, BridgedBody::head)).await;
    let head = head.ok_or(io::ErrorKind::BrokenPipe)?;
    Ok(Response::from_parts(head, body))
}

impl BridgedBody {
    /// Lets the relay go on until there is something to fetch. `None`: it has ended
    /// before.
    fn poll_fetch<T>(
        &mut self,
        context: &mut Context<'_>,
        fetch: impl Fn(&mut Self) -> Option<T>,
    ) -> Poll<Option<T>> {
        loop {
            if let Some(fetched) = fetch(self) {
                return Poll::Ready(Some(fetched));
            }
            if self.done {
                return Poll::Ready(None);
            }
            self.done = Pin::new(&mut *self.relay).poll(context).is_ready();
            if !self.done {
                return match fetch(self) {
                    None => Poll::Pending,
                    fetched => Poll::Ready(fetched),
                };
            }
        }
    }

    fn head(&mut self) -> Option<response::Parts> {
        let stream = self.relay.http2()?;
        self.whole = stream.has_ended();
        stream.take_head()
    }

    /// The next frame, or the end as `None`.
    fn frame(&mut self) -> Option<Option<Frame<Bytes>>> {
        let stream = self.relay.http2()?;
        let frame = stream.next_frame();
        self.whole = stream.has_ended();
        (frame.is_some() || self.whole).then_some(frame)
    }
}

impl Body for BridgedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match ready!(self.poll_fetch(context, Self::frame)) {
            Some(frame) => Poll::Ready(frame.map(Ok)),
            None if std::mem::replace(&mut self.broken, true) => {
                Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into())))
            }
            None => {
                // When a body fails hyper drops what it has not written. One more turn
                // lets it write what came before.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.whole
    }
}
