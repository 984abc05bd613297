//! Requests that `inject` may change: their bodies are held until it is clear. What the
//! upstream refuses for the change goes again as it was; what the change adds to a
//! response is taken out of it.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, StatusCode};
use modash_http1::{Body, HeadScan, RequestChanges, RequestHead};
use modash_metering::inject::{Addition, Injection, Model, may_refuse};

use super::{
    Phase, Relay, Stop,
    buffer::with_lines,
    turn::{Answering, Sending, Turn},
};
use crate::asking::{Filter, MAX_HELD, StreamUsageAid};

/// A request whose head, and body as far as it came, stand in the output.
pub(super) struct Holding {
    pub(super) injection: Injection,
    /// Bytes of its head.
    pub(super) head: usize,
}

/// A request that asks for more than the client did.
pub(super) enum Asked {
    /// It was changed; the bytes are those without the change.
    Changed(Vec<u8>, Model),
    /// The upstream refused it, and it went again without the change.
    Refused(Model),
}

impl Relay {
    pub(super) fn poll_holding(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        let Some(mut turn) = self.turn.take() else { return Poll::Ready(Err(Stop::Gone)) };
        let polled = self.poll_held(&mut turn, context);
        self.turn = Some(turn);
        polled
    }

    /// Ready when the request is on its way.
    fn poll_held(&mut self, turn: &mut Turn, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        while self.hold(turn)? {
            // A client that waits to be asked for its body is asked here.
            if !self.to_client.is_empty() {
                ready!(self.poll_to_client(context))?;
            }
            match ready!(self.poll_client(context)) {
                Ok(1..) => {}
                _ => return Poll::Ready(Err(Stop::Gone)),
            }
        }
        self.connect(turn);
        Poll::Ready(Ok(()))
    }

    /// Takes what came of the body. Returns whether it is held on.
    fn hold(&mut self, turn: &mut Turn) -> Result<bool, Stop> {
        let Phase::Holding(holding) = &mut self.phase else { return Ok(false) };
        let mut may_change = true;
        turn.pass(&mut self.from_client, |data| may_change &= holding.injection.push(data))?;
        let held = self.to_upstream.bytes();
        held.extend_from_slice(self.from_client.waiting());
        self.from_client.skip(0);
        if !may_change || held.len() > holding.head + MAX_HELD {
            return Ok(false);
        }
        if !turn.body.has_ended() {
            return Ok(true);
        }
        self.from_client.release();
        if let Phase::Holding(holding) = std::mem::replace(&mut self.phase, Phase::Relaying) {
            self.change(turn, *holding);
        }
        Ok(false)
    }

    /// Asks for more, if the request is one that may.
    fn change(&mut self, turn: &mut Turn, Holding { injection, head }: Holding) {
        let model = injection.model();
        if !self.core.aid.may_ask(&turn.name, model) {
            return;
        }
        let Some(addition) = injection.end() else { return };
        let original = self.to_upstream.take();
        match changed(&original, head, &addition) {
            Some(changed) => {
                self.to_upstream.replace(changed);
                turn.asked = Some(Asked::Changed(original, model));
            }
            None => self.to_upstream.replace(original),
        }
    }

    /// Sends a request again that the upstream refused, without its change.
    pub(super) fn send_unchanged(&mut self, turn: &mut Turn) {
        let Some(Asked::Changed(original, model)) = turn.asked.take() else { return };
        turn.asked = Some(Asked::Refused(model));
        self.to_upstream.replace(original);
        self.from_upstream.forget_unjudged();
        self.upstream = None;
        turn.sending = Sending::Open;
        turn.answering = Answering::Head(HeadScan::default());
        turn.retried = false;
        self.wait_for_lease(turn, false);
    }
}

impl Turn {
    /// Whether this may be a refusal of what was asked for.
    pub(super) fn is_refused(&self, status: StatusCode) -> bool {
        matches!(self.asked, Some(Asked::Changed(..))) && may_refuse(status)
    }

    /// What hides from the client that more was asked for.
    pub(super) fn filter(
        &mut self,
        aid: &Arc<StreamUsageAid>,
        status: StatusCode,
        headers: impl FnOnce() -> HeaderMap,
    ) -> Option<Box<Filter>> {
        match self.asked.take()? {
            Asked::Changed(_, model) => aid.filter(status, &headers(), &self.name, model),
            Asked::Refused(model) => {
                if !may_refuse(status) {
                    aid.do_not_ask(&self.name, model, "refuses stream_options.include_usage");
                }
                None
            }
        }
    }
}

/// Appends a piece of a response as the client gets it; `bare`: without chunks. Returns
/// the bytes of data in it.
pub(super) fn reframe(
    filter: Option<&mut Filter>,
    bare: bool,
    data: &[u8],
    output: &mut Vec<u8>,
) -> usize {
    let Some(filter) = filter else {
        output.extend_from_slice(data);
        return data.len();
    };
    let mut left = Vec::with_capacity(data.len());
    filter.push(data, &mut left);
    chunk(&left, bare, output)
}

/// The same for the end of a response that was filtered, with the trailer section that
/// came behind it.
pub(super) fn end_filtered(
    filter: &mut Filter,
    bare: bool,
    trailers: &[u8],
    output: &mut Vec<u8>,
) -> usize {
    let mut left = Vec::new();
    filter.end(&mut left);
    let length = chunk(&left, bare, output);
    if !bare {
        output.extend_from_slice(b"0\r\n");
        output.extend_from_slice(if trailers.is_empty() { b"\r\n" } else { trailers });
    }
    length
}

fn chunk(data: &[u8], bare: bool, output: &mut Vec<u8>) -> usize {
    if bare {
        output.extend_from_slice(data);
    } else if !data.is_empty() {
        output.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        output.extend_from_slice(data);
        output.extend_from_slice(b"\r\n");
    }
    data.len()
}

/// The bytes of a request with the addition. The answer has to be plain text, so that
/// what it adds can be taken out. `None`: the head cannot be read again.
fn changed(original: &[u8], head: usize, addition: &Addition) -> Option<Vec<u8>> {
    let (head, framed) = original.split_at(head);
    with_lines(|lines| {
        let read = RequestHead::read(head, lines).ok()?;
        let mut body = Vec::with_capacity(framed.len() + addition.text.len());
        let data = |range| body.extend_from_slice(&framed[range]);
        Body::new(read.framing, true).pass(framed, data).ok()?;
        body.splice(addition.at..addition.at, addition.text.iter().copied());
        for name in ["content-length", "transfer-encoding", "trailer", "accept-encoding"] {
            lines.drop_all(head, name);
        }
        let added = format!("accept-encoding: identity\r\ncontent-length: {}\r\n", body.len());
        let target = [read.target.of(head), b""];
        let changes = RequestChanges { target, host: None, added: added.as_bytes() };
        let mut output = Vec::with_capacity(head.len() + body.len() + 64);
        read.write(head, lines, &changes, &mut output);
        output.append(&mut body);
        Some(output)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_request_has_its_body_in_one_piece_and_asks_for_plain_text() {
        let head = "POST /v1/x HTTP/1.1\r\nHost: h\r\nAccept-Encoding: br\r\nX-A:  1\r\n\
                    Transfer-Encoding: chunked\r\nX-B: 2\r\n\r\n";
        let original = format!("{head}3;x=y\r\n{{\"a\r\n4\r\n\":1}}\r\n0\r\nt: 1\r\n\r\n");
        let addition = Addition { at: 6, text: b",\"b\":2" };
        let changed = changed(original.as_bytes(), head.len(), &addition).unwrap();
        assert_eq!(
            String::from_utf8(changed).unwrap(),
            "POST /v1/x HTTP/1.1\r\nHost: h\r\nX-A:  1\r\nX-B: 2\r\n\
             accept-encoding: identity\r\ncontent-length: 13\r\n\r\n{\"a\":1,\"b\":2}"
        );
    }
}
