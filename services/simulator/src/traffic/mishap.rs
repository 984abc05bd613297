//! What goes wrong now and then: errors of every kind, and clients that leave.

use std::time::Duration;

use rand::{Rng, rngs::StdRng};

use super::apps::{Api, Plan};

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    None,
    Status(u16),
    Fault(&'static str),
    /// The client leaves before the end.
    Leaves,
}

impl Mishap {
    /// About one request in nine.
    pub(super) fn draw(api: Api, stream: bool, random: &mut StdRng) -> Self {
        let overloaded = if api == Api::Anthropic { 529 } else { 503 };
        match random.random_range(0..1_000) {
            0..22 => Self::Status(429),
            22..30 => Self::Status(500),
            30..42 => Self::Status(overloaded),
            42..47 => Self::Status(400),
            47..57 if stream => Self::Fault("stream-error"),
            57..64 if stream => Self::Fault("break"),
            64..67 => Self::Fault("empty"),
            67..110 if stream => Self::Leaves,
            _ => Self::None,
        }
    }

    pub(super) fn apply(self, plan: &mut Plan, random: &mut StdRng) {
        match self {
            Self::None => {}
            Self::Status(status) => {
                plan.headers.push(("x-simulate-status", status.to_string()));
            }
            Self::Fault(fault) => plan.headers.push(("x-simulate-fault", fault.to_owned())),
            Self::Leaves => {
                plan.leaves_after = Some(Duration::from_millis(random.random_range(200..2_500)));
            }
        }
    }
}
