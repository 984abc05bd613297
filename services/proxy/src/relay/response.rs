//! A response to the client: its head judged and written, its body handed on and metered.

use std::{
    io,
    task::{Context, Poll, ready},
};

use http::StatusCode;
use modash_http1::{Body, Framing, HeadScan, Part, ResponseHead};

use super::{
    Phase, Relay, Stop,
    begin::{takes_chunks, takes_informational},
    buffer::with_lines,
    facts,
    hold::{end_filtered, reframe},
    tunnel,
    turn::{Answering, Turn},
};
use crate::{
    emit::Running,
    error::{SWITCHED_UNASKED, UpstreamFailure},
    exchange::Ending,
    upstream::Lease,
};

impl Relay {
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
    pub(super) fn poll_response(
        &mut self,
        turn: &mut Turn,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Stop>> {
        loop {
            // All of it before a byte is written, so that the head leaves together with
            // what came of the body.
            while matches!(self.phase, Phase::Relaying) && self.judge_response(turn)? {}
            ready!(self.poll_to_client(context))?;
            if !matches!(self.phase, Phase::Relaying) {
                return Poll::Ready(Ok(()));
            }
            if matches!(turn.answering, Answering::Ended) {
                return self.poll_finish_response(context);
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

    /// Judges what came of the response, up to the end of a head; whether there may be
    /// more of it in hand.
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
            Answering::Ended => Ok(false),
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
}

fn no_response(fault: &modash_http1::Fault) -> Stop {
    Stop::Failed(UpstreamFailure::Closed(format!("what it sent is no response: {fault}")))
}
