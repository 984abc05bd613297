//! How many queries one caller may have open at once: so many run, more wait in the
//! order of their arrival until their deadlines, and beyond a bound they are refused.
//! So no caller takes all connections to the database from the others.

use std::sync::Arc;

use modash_access::{CallerId, Pass};
use modash_proto::Reason;
use modash_runtime::{ClientAddress, Place, Shares};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Extensions, Status};

/// Most queries that run or wait of the bearer of one token. A dashboard asks ten at once.
const MOST_OPEN_OF_TOKEN: usize = 64;

/// Most of one address, which may be that of a gateway with all its pages.
const MOST_OPEN_OF_ADDRESS: usize = 1_000;

/// The callers that have queries open. There is no bound for all of them together: they
/// wait for connections to the database.
#[derive(Debug)]
pub(crate) struct Callers {
    running: usize,
    open: Shares<CallerId, Option<Arc<Semaphore>>>,
}

/// A query that is open. It may begin when [`OpenQuery::begins`] has answered.
#[derive(Debug)]
pub(crate) struct OpenQuery {
    places: Arc<Semaphore>,
    _open: Place<CallerId, Option<Arc<Semaphore>>>,
}

impl Callers {
    /// Lets `running` queries of a caller run at once.
    pub(crate) fn new(running: usize) -> Self {
        Self { running, open: Shares::new(usize::MAX) }
    }

    /// Notes a query of the caller of a request.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if there are too many.
    #[allow(clippy::result_large_err, reason = "the status is the answer of the call")]
    pub(crate) fn open(&self, extensions: &Extensions) -> Result<OpenQuery, Status> {
        let address = extensions.get::<ClientAddress>().map(|address| address.0);
        let caller = CallerId::new(extensions.get::<Pass>(), address);
        let most = match caller {
            CallerId::Token(_) | CallerId::User(_) => MOST_OPEN_OF_TOKEN,
            CallerId::Address(_) => MOST_OPEN_OF_ADDRESS,
        };
        let open = self.open.take(caller, most).map_err(|_| {
            Reason::TooManyQueries.status(format!(
                "{most} queries of this caller are open, which is the most: wait for their \
                 answers"
            ))
        })?;
        let running = || Arc::new(Semaphore::new(self.running));
        let places = open.with(|places| Arc::clone(places.get_or_insert_with(running)));
        Ok(OpenQuery { places, _open: open })
    }
}

impl OpenQuery {
    /// Waits for its turn, which lasts as long as what it gives.
    pub(crate) async fn begins(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use tonic_types::StatusExt as _;

    fn from(last: u8) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(ClientAddress(Ipv4Addr::new(10, 0, 0, last).into()));
        extensions
    }

    #[tokio::test]
    async fn a_caller_waits_for_its_own_queries_and_for_no_others() {
        let callers = Callers::new(1);
        let (first, second) = (callers.open(&from(1)).unwrap(), callers.open(&from(1)).unwrap());
        let running = first.begins().await;
        let mut waiting = std::pin::pin!(second.begins());
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        let other = callers.open(&from(2)).unwrap();
        assert!(futures_util::poll!(std::pin::pin!(other.begins())).is_ready());
        drop(running);
        assert!(futures_util::poll!(waiting.as_mut()).is_ready());
    }

    #[test]
    fn beyond_the_bound_queries_are_refused_until_one_ends() {
        let callers = Callers::new(1);
        let mut open: Vec<_> =
            (0..MOST_OPEN_OF_ADDRESS).map(|_| callers.open(&from(1)).unwrap()).collect();
        let status = callers.open(&from(1)).unwrap_err();
        assert_eq!(status.get_details_error_info().unwrap().reason, "TOO_MANY_QUERIES");
        callers.open(&from(2)).unwrap();
        open.pop();
        open.push(callers.open(&from(1)).unwrap());
        drop(open);
        assert!(callers.open.is_empty(), "nothing is kept of callers that left");
    }
}
