//! What the relay says by itself, and how a connection ends behind it.

use modash_http1::{Fault, RequestHead, Version};

use super::{MAX_IGNORED, Phase, Relay, begin::has_body, turn::Answering};
use crate::{
    error::{Answer, UpstreamFailure, bad_head, late_head},
    exchange::Ending,
};

impl Relay {
    /// Answers a request; `request`: its head, and whether it is HEAD. A request whose
    /// body may come ends the connection.
    pub(super) fn answer(&mut self, answer: &Answer, request: Option<(&RequestHead, bool)>) {
        let whole = request.is_some_and(|(read, _)| !has_body(read)) && answer.status < 500;
        self.write_answer(answer, request, whole && !self.peer.surplus);
    }

    /// `keep`: the connection is kept, if both sides may.
    fn write_answer(&mut self, answer: &Answer, request: Option<(&RequestHead, bool)>, keep: bool) {
        let keep = keep
            && request.is_some_and(|(read, _)| read.keeps_alive())
            && !self.peer.activity.closing.is_cancelled();
        let old = request.is_some_and(|(read, _)| read.version == Version::Http10);
        modash_http1::Answer {
            status: answer.status,
            body: &answer.body,
            retry_after: answer.retry_after,
            connection: match (keep, old) {
                (false, _) => Some(b"close"),
                (true, true) => Some(b"keep-alive"),
                (true, false) => None,
            },
            to_head: request.is_some_and(|(_, is_head)| is_head),
        }
        .write(self.to_client.bytes());
        self.alarm.set(None);
        self.phase = if keep { Phase::Head } else { Phase::Last { ignore: MAX_IGNORED } };
    }

    pub(super) fn answer_fault(&mut self, fault: Fault) {
        self.answer(&bad_head(fault), None);
    }

    pub(super) fn answer_late(&mut self) {
        self.answer(&late_head(), None);
    }

    /// There is no response from the upstream: says so, unless the client has the
    /// head of one.
    pub(super) fn answer_failure(&mut self, failure: &UpstreamFailure) {
        let ending = failure.ending();
        let Some(mut turn) = self.turn.take() else { return self.phase = Phase::Closed };
        if !matches!(turn.answering, Answering::Head(_)) {
            self.turn = Some(turn);
            return self.cut(ending);
        }
        let url = turn.pool.base().to_string();
        let answer = failure.answer(&turn.name, &url);
        if let Some(exchange) = turn.exchange()
            && ending != Ending::ClientClosed
        {
            exchange.answered_by_modash(answer.status);
        }
        turn.end(ending);
        // What came of a head that is no response is not handed on.
        let unjudged = self.from_upstream.unjudged().len();
        if self.from_upstream.waiting().is_empty() {
            self.from_upstream.skip(unjudged);
        }
        self.from_upstream.release();
        let whole = turn.body.has_ended();
        self.write_answer(&answer, Some((&turn.request, turn.is_head)), whole);
    }

    /// The response broke off: the client gets what came, and sees that it is not
    /// whole.
    pub(super) fn cut(&mut self, ending: Ending) {
        let until_close = match &mut self.turn {
            Some(turn) => {
                turn.end(ending);
                turn.unchunked
                    || matches!(&turn.answering, Answering::Body(body) if body.ends_with_connection())
            }
            None => false,
        };
        self.turn = None;
        self.phase = Phase::Cutting { reset: until_close };
    }
}
