//! How many streams and calls there may be at once, and how many of them one caller may
//! have: nobody takes them all from the others.

use modash_access::CallerId;
use modash_proto::Reason;
use modash_runtime::{NoPlace, Place, Shares};
use tonic::Status;

use crate::metrics::GatewayMetrics;

/// Streams of `/events` and of `Subscribe` without a filter at the same time. One caller
/// may have half of them: a thousand browsers behind one address.
pub(crate) const MOST_STREAMS: usize = 2_048;

/// Calls of grpc-web that are passed on at the same time: fewer than the streams that one
/// HTTP/2 connection may usually have. And those of one caller.
const MOST_CALLS: usize = 100;
const CALLS_OF_CALLER: usize = MOST_CALLS / 2;

/// Values of the label `surface`.
const EVENTS: &str = "events";
const CALLS: &str = "calls";

/// The places of the gateway. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    events: Shares<CallerId>,
    calls: Shares<CallerId>,
    streams: usize,
    metrics: GatewayMetrics,
}

impl Places {
    /// All free; so many of them for streams.
    pub(crate) fn new(streams: usize, metrics: GatewayMetrics) -> Self {
        metrics.show_places([EVENTS, CALLS]);
        Self { events: Shares::new(streams), calls: Shares::new(MOST_CALLS), streams, metrics }
    }

    /// A place for a stream of live events.
    ///
    /// # Errors
    /// What its caller is told if there is none.
    #[allow(clippy::result_large_err, reason = "the status is the answer")]
    pub(crate) fn events(&self, caller: Option<&CallerId>) -> Result<Place<CallerId>, Status> {
        let (streams, share) = (self.streams, self.streams / 2);
        self.events.take(known(caller), share).map_err(|none| {
            self.metrics.no_place(EVENTS, none);
            Reason::TooManySubscriptions.status(match none {
                NoPlace::Share => format!(
                    "this caller has {share} streams of live events open, which is its share: \
                     close a page, or try again later"
                ),
                NoPlace::All => {
                    format!("{streams} streams of live events are open already; try again later")
                }
            })
        })
    }

    /// A place for a call that is passed on.
    ///
    /// # Errors
    /// What its caller is told if there is none.
    #[allow(clippy::result_large_err, reason = "the status is the answer")]
    pub(crate) fn call(&self, caller: Option<&CallerId>) -> Result<Place<CallerId>, Status> {
        self.calls.take(known(caller), CALLS_OF_CALLER).map_err(|none| {
            self.metrics.no_place(CALLS, none);
            Reason::TooManyCalls.status(match none {
                NoPlace::Share => format!(
                    "{CALLS_OF_CALLER} calls of this caller run, which is its share: close a \
                     page, or try again later"
                ),
                NoPlace::All => {
                    format!("{MOST_CALLS} calls run already; close a page, or try again later")
                }
            })
        })
    }
}

/// The guard notes who calls. Callers that it did not see share one place in the count.
fn known(caller: Option<&CallerId>) -> CallerId {
    caller.cloned().unwrap_or_else(|| CallerId::new(None, None))
}
