//! A turn: both directions at once, what is waited for, and the end.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    MAX_UNWANTED, Phase, Relay, Stop,
    turn::{Answering, Sending, Turn},
};
use crate::{error::UpstreamFailure, exchange::Ending};

/// How long an upstream may say nothing to `Expect: 100-continue`. As long as curl
/// waits.
const CONTINUE_AFTER: Duration = Duration::from_secs(1);

/// What the alarm of a turn rings for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ring {
    /// The client is asked for its body.
    Continue,
    /// The head of the response took too long.
    NoHead(Duration),
    /// The upstream was silent for too long.
    Silent,
}

impl Relay {
    pub(super) fn poll_relaying(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        let Some(mut turn) = self.turn.take() else {
            self.phase = Phase::Head;
            return Poll::Ready(Ok(()));
        };
        let polled = self.poll_turn(&mut turn, context);
        // A turn that goes on, or whose end is decided elsewhere.
        self.turn = Some(turn);
        match polled {
            Poll::Ready(Ok(())) => {
                self.end_turn();
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }

    /// Ready when the phase is another one, or the response has left in full.
    fn poll_turn(&mut self, turn: &mut Turn, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        loop {
            if turn.sending == Sending::Open
                && let Poll::Ready(Err(stop)) = self.poll_request(turn, context)
            {
                return Poll::Ready(Err(stop));
            }
            let waits = match self.poll_response(turn, context) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(Stop::Failed(failure))) => {
                    let failure = self.retry(turn, failure)?;
                    return Poll::Ready(match failure {
                        None => Ok(()),
                        Some(failure) => Err(Stop::Failed(failure)),
                    });
                }
                Poll::Ready(Err(stop)) => return Poll::Ready(Err(stop)),
                // It is the client that is waited for.
                Poll::Pending if !self.to_client.is_empty() => false,
                Poll::Pending => self.from_upstream.waiting().is_empty(),
            };
            if turn.sending == Sending::Done
                && let Poll::Ready(left) = self.poll_left(context)
            {
                return Poll::Ready(left);
            }
            match ready!(self.poll_alarm(turn, waits, context)) {
                Ring::Continue => self.ask_for_body(turn),
                Ring::NoHead(limit) => {
                    return Poll::Ready(Err(Stop::Failed(UpstreamFailure::NoHead(limit))));
                }
                Ring::Silent => return Poll::Ready(Err(Stop::Broken(Ending::UpstreamTimeout))),
            }
        }
    }

    /// Sets the alarm for what is waited for, and waits.
    fn poll_alarm(
        &mut self,
        turn: &mut Turn,
        waits: bool,
        context: &mut Context<'_>,
    ) -> Poll<Ring> {
        let config = turn.pool.config();
        let limits = turn.running.is_some();
        let (ring, after) = match &turn.answering {
            Answering::Head(_) if turn.request.expects_continue && !turn.body_wanted => {
                (Ring::Continue, Some(CONTINUE_AFTER))
            }
            Answering::Head(_) if turn.sending == Sending::Open => (Ring::Silent, None),
            Answering::Head(_) => match config.head_timeout.filter(|_| limits) {
                Some(limit) => (Ring::NoHead(limit), Some(limit)),
                None => (Ring::Silent, None),
            },
            _ => (Ring::Silent, config.stream_idle_timeout.filter(|_| limits)),
        };
        let Some(after) = after.filter(|_| waits) else {
            turn.waits_since = None;
            self.alarm.set(None);
            return Poll::Pending;
        };
        if turn.waits_since.is_none() {
            turn.waits_since = Some(Instant::now());
            self.alarm.set(Some(after));
        }
        ready!(self.alarm.poll(context));
        turn.waits_since = None;
        Poll::Ready(ring)
    }

    /// The response has left, or the phase is another one.
    fn end_turn(&mut self) {
        if !matches!(self.phase, Phase::Relaying) {
            return;
        }
        let Some(turn) = self.turn.take() else { return };
        self.alarm.set(None);
        let whole = turn.sending == Sending::Done;
        if let Some(upstream) = self.upstream.take()
            && whole
            && turn.keeps_upstream
        {
            upstream.give_back(turn.streams);
        }
        self.to_upstream.release();
        self.phase = match (whole, turn.closes || self.peer.activity.closing.is_cancelled()) {
            (true, false) => Phase::Head,
            (true, true) => Phase::Last { ignore: 0 },
            (false, _) => Phase::Last { ignore: MAX_UNWANTED },
        };
    }
}
