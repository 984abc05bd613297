//! How many queries one caller may have open at once: so many run, more wait in the
//! order of their arrival until their deadlines, and beyond a bound they are refused.
//! So no caller takes all connections to the database from the others.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
};

use modash_access::Pass;
use modash_proto::Reason;
use modash_runtime::ClientAddress;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Extensions, Status};

/// Most queries that run or wait of the bearer of one token. A dashboard asks ten at once.
const MOST_OPEN_OF_TOKEN: usize = 64;

/// Most of one address, which may be that of a gateway with all its pages.
const MOST_OPEN_OF_ADDRESS: usize = 1_000;

/// Who calls: by the name of the token, or where there are no tokens by address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Caller {
    Token(String),
    Address(IpAddr),
}

impl Caller {
    fn of(extensions: &Extensions) -> Self {
        match extensions.get::<Pass>().and_then(Pass::name) {
            Some(name) => Self::Token(name.to_owned()),
            None => Self::Address(
                extensions
                    .get::<ClientAddress>()
                    .map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.0.to_canonical()),
            ),
        }
    }

    fn most_open(&self) -> usize {
        match self {
            Self::Token(_) => MOST_OPEN_OF_TOKEN,
            Self::Address(_) => MOST_OPEN_OF_ADDRESS,
        }
    }
}

/// The callers that have queries open.
#[derive(Debug)]
pub(crate) struct Callers {
    running: usize,
    open: Arc<Mutex<HashMap<Caller, Queue>>>,
}

#[derive(Debug)]
struct Queue {
    places: Arc<Semaphore>,
    open: usize,
}

/// A query that is open. It may begin when [`OpenQuery::begins`] has answered.
#[derive(Debug)]
pub(crate) struct OpenQuery {
    caller: Caller,
    places: Arc<Semaphore>,
    callers: Arc<Mutex<HashMap<Caller, Queue>>>,
}

impl Callers {
    /// Lets `running` queries of a caller run at once.
    pub(crate) fn new(running: usize) -> Self {
        Self { running, open: Arc::default() }
    }

    /// Notes a query of the caller of a request.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if there are too many.
    #[allow(clippy::result_large_err, reason = "the status is the answer of the call")]
    pub(crate) fn open(&self, extensions: &Extensions) -> Result<OpenQuery, Status> {
        let caller = Caller::of(extensions);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = open
            .entry(caller.clone())
            .or_insert_with(|| Queue { places: Arc::new(Semaphore::new(self.running)), open: 0 });
        let most = caller.most_open();
        if queue.open >= most {
            return Err(Reason::TooManyQueries.status(format!(
                "{most} queries of this caller are open, which is the most: wait for their \
                 answers"
            )));
        }
        queue.open += 1;
        let places = Arc::clone(&queue.places);
        Ok(OpenQuery { caller, places, callers: Arc::clone(&self.open) })
    }
}

impl OpenQuery {
    /// Waits for its turn, which lasts as long as what it gives.
    pub(crate) async fn begins(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

impl Drop for OpenQuery {
    fn drop(&mut self) {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = callers.get_mut(&self.caller) {
            queue.open -= 1;
            if queue.open == 0 {
                callers.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
        assert!(callers.open.lock().unwrap().is_empty(), "nothing is kept of callers that left");
    }
}
