//! How many events may be under way to analytics: usually as many as its window takes.
//! After a refusal that concerns events half as many, until the one that is refused
//! stands alone; that one is given up, so that it does not hold up all others for ever.

use std::time::Duration;

use tonic::Code;

/// Refusals of a single event after which it is given up.
const ATTEMPTS: u32 = 3;

/// How long a stream with a single event waits before it sends it: a stream that is
/// refused by then is not refused for that event.
const PROBE: Duration = Duration::from_millis(500);

/// Events that a stream may have under way.
#[derive(Debug)]
pub(super) struct Allowance {
    usual: usize,
    now: usize,
    refused_alone: u32,
    /// Something was taken since an event was given up: the server does not refuse all.
    may_give_up: bool,
}

impl Allowance {
    /// Usually this many.
    pub(super) fn new(usual: usize) -> Self {
        Self { usual, now: usual, refused_alone: 0, may_give_up: true }
    }

    /// Most events under way.
    pub(super) fn events(&self) -> usize {
        self.now
    }

    /// How long a new stream waits before it sends.
    pub(super) fn probe(&self) -> Option<Duration> {
        (self.now == 1).then_some(PROBE)
    }

    /// Analytics took some.
    pub(super) fn taken(&mut self) {
        self.now = (self.now * 2).min(self.usual);
        self.refused_alone = 0;
        self.may_give_up = true;
    }

    /// A stream was refused with this many under way, and took none of them. True if
    /// the oldest is to be given up.
    pub(super) fn refused(&mut self, under_way: usize) -> bool {
        if under_way > 1 {
            self.now = under_way.min(self.now).div_ceil(2);
            return false;
        }
        self.refused_alone += 1;
        if self.refused_alone < ATTEMPTS || !self.may_give_up {
            return false;
        }
        (self.refused_alone, self.may_give_up) = (0, false);
        true
    }
}

/// Whether a status may be about what was sent, rather than about the server's state.
pub(super) fn concerns_events(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::OutOfRange
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::DataLoss
            | Code::Internal
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_refuses_everything_costs_one_event_at_most() {
        let mut allowance = Allowance::new(8_192);
        let refuse = |allowance: &mut Allowance| {
            let under_way = allowance.events();
            allowance.refused(under_way)
        };
        assert_eq!((0..1_000).filter(|_| refuse(&mut allowance)).count(), 1);
        allowance.taken();
        assert_eq!((0..1_000).filter(|_| refuse(&mut allowance)).count(), 1);
    }

    #[test]
    fn the_event_that_is_refused_is_found_and_the_others_go() {
        let mut allowance = Allowance::new(8_192);
        let bad = 700;
        let (mut next, mut streams, mut given_up) = (0, 0, Vec::new());
        while next < 10_000 {
            // A stream takes windows until one has the bad event in it.
            let end = next + allowance.events();
            if (next..end).contains(&bad) && !given_up.contains(&bad) {
                streams += 1;
                if allowance.refused(allowance.events()) {
                    given_up.push(next);
                    next += 1;
                }
            } else {
                allowance.taken();
                next = end;
            }
        }
        assert_eq!(given_up, [bad]);
        assert!(streams < 40, "{streams}");
        assert_eq!(allowance.events(), 8_192);
    }
}
