//! The request being sent on a connection that served others before: its bytes, as
//! long as it may have to be sent again, and the rule for that. Knows nothing of
//! HTTP or of the connection.

/// Largest request, head included, that is kept to be sent again.
const MOST_KEPT: usize = 256 * 1024;

/// What was written of a request.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// `None`: it cannot be sent again.
    bytes: Option<Vec<u8>>,
    /// The socket's count when the request began.
    before: u64,
}

/// What is known of a connection that ended without a byte of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// The upstream ended its sending direction in order (FIN, or TLS's
    /// `close_notify`), as opposed to a reset.
    pub(super) in_order: bool,
    /// Bytes that the socket took since the connection was opened.
    pub(super) written: u64,
    /// Bytes among them that the upstream's system has not acknowledged; `None`:
    /// unknown.
    pub(super) unacknowledged: Option<u64>,
}

impl Sent {
    /// A request begins on a connection whose socket has taken this many bytes.
    pub(super) fn begin(&mut self, keep: bool, written: u64) {
        self.bytes = keep.then(Vec::new);
        self.before = written;
    }

    /// These bytes belong to the request.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let Some(kept) = &mut self.bytes else { return };
        if kept.len() + bytes.len() > MOST_KEPT {
            self.bytes = None;
        } else {
            kept.extend_from_slice(bytes);
        }
    }

    /// It is not sent again: an answer has begun.
    pub(super) fn forget(&mut self) {
        self.bytes = None;
    }

    /// Whether all of it is here.
    pub(super) fn is_whole(&self) -> bool {
        self.bytes.as_ref().is_some_and(|bytes| !bytes.is_empty())
    }

    /// The bytes written so far.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    /// Whether the request may be sent again: its bytes are all here, and it is
    /// certain that the upstream closed before it had received one of them. Either
    /// the system took none, or the upstream's end came and none is acknowledged: a
    /// FIN acknowledges all that came before it. A reset acknowledges nothing, so
    /// after one the upstream may have read everything.
    pub(super) fn may_go_again(&self, ended: Ended) -> bool {
        let taken = ended.written.saturating_sub(self.before);
        let untouched = ended.in_order && ended.unacknowledged.is_some_and(|bytes| bytes >= taken);
        self.is_whole() && (taken == 0 || untouched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_again_only_if_none_of_it_can_have_arrived() {
        let ended = |in_order, written, unacknowledged| Ended { in_order, written, unacknowledged };
        for (ended, expected) in [
            (ended(true, 110, Some(10)), true),
            (ended(true, 110, Some(40)), true),
            (ended(true, 110, Some(9)), false),
            (ended(true, 110, Some(0)), false),
            (ended(true, 110, None), false),
            (ended(false, 110, Some(10)), false),
            (ended(false, 100, Some(0)), true),
            (ended(false, 100, None), true),
        ] {
            let mut sent = Sent::default();
            sent.begin(true, 100);
            sent.add(b"0123456789");
            assert_eq!(sent.may_go_again(ended), expected, "{ended:?}");
            sent.forget();
            assert!(!sent.may_go_again(ended), "{ended:?}");
        }
    }

    #[test]
    fn a_large_request_is_not_kept() {
        let mut sent = Sent::default();
        sent.begin(true, 0);
        sent.add(&[0; MOST_KEPT]);
        assert_eq!(sent.bytes().len(), MOST_KEPT);
        sent.add(b"a");
        assert!(sent.bytes().is_empty());
        assert!(!sent.may_go_again(Ended { in_order: true, written: 0, unacknowledged: Some(0) }));
    }
}
