//! The rest of a request to the upstream: sent, read because it cannot be, or sent again.

use std::{
    io,
    task::{Context, Poll, ready},
};

use modash_http1::HeadScan;

use super::{
    Phase, Relay, Stop,
    buffer::poll_send,
    turn::{Answering, Sending, Turn},
};
use crate::error::UpstreamFailure;

impl Relay {
    /// Sends the rest of the request. Ready when all of it has left or never will.
    pub(super) fn poll_request(
        &mut self,
        turn: &mut Turn,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Stop>> {
        loop {
            turn.pass(&mut self.from_client, |_| ())?;
            let Some(upstream) = &mut self.upstream else { return Poll::Pending };
            let (stream, sent) = upstream.parts();
            let polled = poll_send(
                stream,
                &mut self.to_upstream,
                &mut self.from_client,
                context,
                |head, body| {
                    sent.add(head);
                    sent.add(body);
                },
            );
            if ready!(polled).is_err() {
                turn.sending = Sending::Refused;
                return Poll::Ready(Ok(()));
            }
            if turn.body.has_ended() {
                if ready!(self.poll_finish_request(turn, context)).is_err() {
                    turn.sending = Sending::Refused;
                    return Poll::Ready(Ok(()));
                }
                turn.sending = Sending::Done;
                turn.waits_since = None;
                self.from_client.release();
                return Poll::Ready(Ok(()));
            }
            match ready!(self.poll_client(context)) {
                Ok(1..) => turn.body_wanted = true,
                _ => return Poll::Ready(Err(Stop::Gone)),
            }
        }
    }

    /// Hands on the trailers of a request that have no place in its bytes.
    fn poll_finish_request(
        &mut self,
        turn: &mut Turn,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(upstream) = self.upstream.as_mut().filter(|upstream| upstream.is_http2()) else {
            return Poll::Ready(Ok(()));
        };
        if turn.request_trailers.is_none() {
            turn.request_trailers = ready!(self.client.poll_trailers(context))?;
        }
        upstream.poll_finish(turn.request_trailers.as_ref(), context)
    }

    /// Reads a request that cannot be sent, as far as metering needs it, and answers. A
    /// client that waits to be asked for its body is not asked.
    pub(super) fn poll_unsent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        let Some(mut turn) = self.turn.take() else { return Poll::Ready(Err(Stop::Gone)) };
        let polled = self.poll_read_unsent(&mut turn, context);
        self.turn = Some(turn);
        ready!(polled)?;
        match std::mem::replace(&mut self.phase, Phase::Relaying) {
            Phase::Unsent { failure, .. } => Poll::Ready(Err(Stop::Failed(*failure))),
            _ => Poll::Ready(Err(Stop::Gone)),
        }
    }

    fn poll_read_unsent(
        &mut self,
        turn: &mut Turn,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Stop>> {
        let waits = turn.request.expects_continue && !turn.body_wanted;
        if waits || turn.running.is_none() {
            return Poll::Ready(Ok(()));
        }
        loop {
            turn.pass(&mut self.from_client, |_| ())?;
            let passed = self.from_client.waiting().len();
            self.from_client.skip(0);
            let Phase::Unsent { left, .. } = &mut self.phase else { return Poll::Ready(Ok(())) };
            *left = left.saturating_sub(passed);
            if turn.body.has_ended() || *left == 0 {
                return Poll::Ready(Ok(()));
            }
            match self.poll_client(context) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Err(Stop::Gone)),
                Poll::Pending => return self.alarm.poll(context).map(Ok),
            }
        }
    }

    /// Sends a request again whose connection failed before there was a response, once
    /// and on a new connection, if nothing of it was sent or it may be repeated.
    pub(super) fn retry(
        &mut self,
        turn: &mut Turn,
        failure: UpstreamFailure,
    ) -> Result<Option<UpstreamFailure>, Stop> {
        let reused = self.upstream.as_ref().is_some_and(|upstream| upstream.reused);
        let closed = matches!(failure, UpstreamFailure::Closed(_));
        let unsent = turn.unsent.take();
        if !reused || !closed || turn.retried || !(turn.repeatable || unsent.is_some()) {
            return Ok(Some(failure));
        }
        match unsent {
            Some(bytes) => {
                // What was not written of the head comes behind it.
                let rest = self.to_upstream.rest();
                self.to_upstream.replace([bytes, rest].concat());
            }
            None => self.to_upstream.rewind(),
        }
        turn.pool.retried();
        turn.retried = true;
        turn.sending = Sending::Open;
        turn.answering = Answering::Head(HeadScan::default());
        self.from_upstream.forget_unjudged();
        self.upstream = None;
        self.wait_for_lease(turn, true);
        Ok(None)
    }
}
