//! The two directions of a turn: the rest of the request to the upstream, and the
//! response to the client.

use std::{
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::StatusCode;
use modash_http1::{Body, Framing, HeadScan, Part, ResponseHead};
use tokio::time::Instant;

use super::{
    MAX_UNWANTED, Phase, Relay, Stop,
    begin::{takes_chunks, takes_informational},
    buffer::{poll_send, with_lines},
    facts,
    hold::{end_filtered, reframe},
    tunnel,
    turn::{Answering, Sending, Turn},
};
use crate::{
    emit::Running,
    error::{SWITCHED_UNASKED, UpstreamFailure},
    exchange::Ending,
    upstream::Lease,
};

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

    /// Sends the rest of the request. Ready when all of it has left or never will.
    fn poll_request(
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

    /// The same of a response.
    fn poll_finish_response(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        if let Some(upstream) = self.upstream.as_mut().filter(|_| self.client.is_http2()) {
            let trailers = ready!(upstream.poll_trailers(context));
            let trailers = trailers.map_err(|_| Stop::Broken(Ending::UpstreamBroke))?;
            self.client.finish(trailers);
        }
        Poll::Ready(Ok(()))
    }

    /// Hands the response on. Ready when all of it has left, or with another phase.
    fn poll_response(
        &mut self,
        turn: &mut Turn,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Stop>> {
        loop {
            ready!(self.poll_to_client(context))?;
            if !matches!(self.phase, Phase::Relaying) {
                return Poll::Ready(Ok(()));
            }
            if matches!(turn.answering, Answering::Ended) {
                return self.poll_finish_response(context);
            }
            if self.judge_response(turn)? {
                continue;
            }
            let Some(upstream) = &mut self.upstream else { return Poll::Pending };
            let filled = ready!(self.from_upstream.poll_fill(upstream.stream(), context));
            match filled {
                Ok(1..) if matches!(turn.answering, Answering::Head(_)) => {
                    upstream.answered();
                }
                Ok(1..) => turn.waits_since = None,
                Ok(_) => self.upstream_ended(turn, None)?,
                Err(error) => self.upstream_ended(turn, Some(error))?,
            }
        }
    }

    /// Judges what came of the response; whether there is something to write, or
    /// nothing more to come.
    fn judge_response(&mut self, turn: &mut Turn) -> Result<bool, Stop> {
        match &mut turn.answering {
            Answering::Head(scan) => {
                let unjudged = self.from_upstream.unjudged();
                if unjudged.is_empty() {
                    return Ok(false);
                }
                let end = scan.end(unjudged).map_err(|fault| no_response(&fault))?;
                let Some(length) = end else { return Ok(false) };
                self.response_head(turn, length)?;
                Ok(true)
            }
            Answering::Body(body) => {
                let unjudged = self.from_upstream.unjudged();
                if unjudged.is_empty() {
                    return Ok(false);
                }
                let exchange = turn.running.as_ref().map(Running::exchange);
                let mut filter = turn.filter.as_deref_mut();
                let reframes = filter.is_some() || turn.unchunked;
                let passed = body.pass_parts(unjudged, |part| match part {
                    Part::Data(range) => {
                        let data = &unjudged[range];
                        if let Some(exchange) = exchange {
                            exchange.response_data(data);
                        }
                        let mut length = data.len();
                        if reframes {
                            let output = self.to_client.bytes();
                            length = reframe(filter.as_deref_mut(), turn.unchunked, data, output);
                        }
                        if let Some(exchange) = exchange {
                            exchange.forwarded(length);
                        }
                    }
                    Part::Trailers(range) if filter.is_some() => {
                        turn.trailers.extend_from_slice(&unjudged[range]);
                    }
                    Part::Trailers(_) => {}
                });
                let passed = passed.map_err(|_| Stop::Broken(Ending::UpstreamBroke))?;
                if filter.is_some_and(|filter| filter.is_broken()) {
                    return Err(Stop::Broken(Ending::UpstreamBroke));
                }
                if reframes {
                    self.from_upstream.skip(passed);
                } else {
                    self.from_upstream.pass(passed);
                }
                if body.has_ended() {
                    self.response_ended(turn);
                }
                Ok(true)
            }
            Answering::Ended => Ok(true),
        }
    }

    /// All of the response was read. Its event is written now: before the client has
    /// the last byte.
    fn response_ended(&mut self, turn: &mut Turn) {
        turn.answering = Answering::Ended;
        if let Some(mut filter) = turn.filter.take() {
            let trailers = std::mem::take(&mut turn.trailers);
            let output = self.to_client.bytes();
            let length = end_filtered(&mut filter, turn.unchunked, &trailers, output);
            if let Some(exchange) = turn.exchange() {
                exchange.forwarded(length);
            }
        }
        turn.end(Ending::Complete);
        let surplus = self.from_upstream.unjudged().len();
        if surplus > 0 {
            // More than was due: nobody knows what else comes.
            turn.keeps_upstream = false;
            self.from_upstream.forget_unjudged();
        }
    }

    fn response_head(&mut self, turn: &mut Turn, length: usize) -> Result<(), Stop> {
        let read = with_lines(|lines| {
            let head = &self.from_upstream.unjudged()[..length];
            let read = ResponseHead::read(head, lines, turn.is_head)
                .map_err(|fault| no_response(&fault))?;
            if read.status == 101 && !turn.request.hop.upgrade {
                return Err(Stop::Failed(UpstreamFailure::Closed(SWITCHED_UNASKED.to_owned())));
            }
            let mut changes =
                read.changes(&turn.request, !self.peer.activity.closing.is_cancelled());
            if read.is_informational() {
                if takes_informational(&turn.request) {
                    read.write(head, lines, &changes, self.to_client.bytes());
                }
                return Ok(Some(read));
            }
            if turn.exchange().is_some() {
                let status = StatusCode::from_u16(read.status).unwrap_or_default();
                if turn.is_refused(status) {
                    return Ok(None);
                }
                let headers = facts::RawHeaders { head, lines };
                turn.filter = turn.filter(&self.core.aid, status, || facts::headers(head, lines));
                if let Some(exchange) = turn.exchange() {
                    exchange.response_head(status, &headers);
                }
                self.core.aid.note(&turn.name, &headers);
            }
            if turn.filter.is_some() {
                // The length changes, and the filter writes plain text.
                lines.drop_all(head, "content-encoding");
                changes.rechunked = true;
                if !takes_chunks(&turn.request) {
                    changes.unchunked = true;
                    changes.connection = Some(b"close");
                }
            }
            if self.upstream.as_ref().is_some_and(Lease::is_http2) {
                self.client.expect_finish();
            }
            turn.unchunked = changes.unchunked;
            turn.closes = changes.connection == Some(b"close");
            read.write(head, lines, &changes, self.to_client.bytes());
            Ok(Some(read))
        })?;
        let Some(read) = read else {
            self.send_unchanged(turn);
            return Ok(());
        };
        self.from_upstream.skip(length);
        if read.is_informational() {
            turn.body_wanted |= read.status == 100;
            turn.answering = Answering::Head(HeadScan::default());
            return Ok(());
        }
        self.to_upstream.release();
        if read.status == 101 {
            self.phase = Phase::Tunnel(tunnel::Tunnel::default());
            return Ok(());
        }
        turn.waits_since = None;
        turn.keeps_upstream = read.keeps_alive();
        turn.streams = !matches!(read.framing, Framing::Length(_) | Framing::None);
        if let (Some(seconds), Some(upstream)) = (read.hop.timeout, &self.upstream) {
            upstream.announced(seconds);
        }
        let body = Body::new(read.framing, false);
        let ended = body.has_ended();
        turn.answering = Answering::Body(body);
        if ended {
            self.response_ended(turn);
        }
        Ok(())
    }

    /// The upstream's connection ended, in order or with an error.
    fn upstream_ended(&mut self, turn: &mut Turn, error: Option<io::Error>) -> Result<(), Stop> {
        turn.keeps_upstream = false;
        match &mut turn.answering {
            Answering::Head(_) => {
                if let Some(upstream) = self.upstream.as_mut().filter(|upstream| upstream.reused) {
                    turn.unsent = upstream.unsent(error.is_none());
                }
                let cause = match error {
                    Some(error) => {
                        crate::upstream::tls_advice(&error).unwrap_or_else(|| error.to_string())
                    }
                    None => "the connection ended before the message did".to_owned(),
                };
                Err(Stop::Failed(UpstreamFailure::Closed(cause)))
            }
            Answering::Body(body) => {
                if error.is_some() || body.connection_ended().is_err() {
                    return Err(Stop::Broken(Ending::UpstreamBroke));
                }
                self.response_ended(turn);
                Ok(())
            }
            Answering::Ended => Ok(()),
        }
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
    fn retry(
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

fn no_response(fault: &modash_http1::Fault) -> Stop {
    Stop::Failed(UpstreamFailure::Closed(format!("what it sent is no response: {fault}")))
}
