//! What the relay says by itself, and how a connection ends behind it.

use modash_http1::{Fault, RequestHead, Version};

use super::{MAX_IGNORED, Phase, Relay, begin::has_body, turn::Answering};
use crate::{
    error::{UpstreamFailure, bad_head, late_head},
    exchange::Ending,
};

pub(super) mod own {
    //! A response of modash's own, apart from its connection.

    use bytes::Bytes;
    use futures_util::FutureExt as _;
    use http::{Response, header};
    use http_body_util::{BodyExt as _, Full};

    /// A response of JSON.
    pub(in crate::relay) struct Answer {
        pub(in crate::relay) status: u16,
        pub(in crate::relay) body: String,
        pub(in crate::relay) retry_after: Option<u32>,
    }

    impl Answer {
        /// The same in bytes.
        pub(in crate::relay) fn of(response: Response<Full<Bytes>>) -> Self {
            let (head, body) = response.into_parts();
            let retry_after = head.headers.get(header::RETRY_AFTER);
            // All of the body is there.
            let body = body.collect().now_or_never().and_then(Result::ok);
            let body = body.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
            Self {
                status: head.status.as_u16(),
                body: String::from_utf8(body).unwrap_or_default(),
                retry_after: retry_after.and_then(|value| value.to_str().ok()?.parse().ok()),
            }
        }
    }
}

impl Relay {
    /// Answers a request; `request`: its head, and whether it is HEAD. A request whose
    /// body may come ends the connection.
    pub(super) fn answer(&mut self, answer: &own::Answer, request: Option<(&RequestHead, bool)>) {
        let keep = request
            .is_some_and(|(read, _)| read.keeps_alive() && !has_body(read) && answer.status < 500)
            && !self.peer.surplus
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
        self.phase = if keep { Phase::Head } else { Phase::Last { ignore: MAX_IGNORED } };
    }

    pub(super) fn answer_fault(&mut self, fault: Fault) {
        self.answer(&own::Answer::of(bad_head(fault)), None);
    }

    pub(super) fn answer_late(&mut self) {
        self.answer(&own::Answer::of(late_head()), None);
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
        let answer = own::Answer::of(failure.response(&turn.name, &url));
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
        let wanted = turn.body.has_ended();
        let keeps =
            wanted && turn.request.keeps_alive() && !self.peer.activity.closing.is_cancelled();
        let old = turn.request.version == Version::Http10;
        modash_http1::Answer {
            status: answer.status,
            body: &answer.body,
            retry_after: answer.retry_after,
            connection: match (keeps, old) {
                (false, _) => Some(b"close"),
                (true, true) => Some(b"keep-alive"),
                (true, false) => None,
            },
            to_head: turn.is_head,
        }
        .write(self.to_client.bytes());
        self.alarm.set(None);
        self.phase = if keeps { Phase::Head } else { Phase::Last { ignore: MAX_IGNORED } };
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
