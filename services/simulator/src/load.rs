//! The load generator: sends one request again and again, in a closed loop (each
//! connection sends when it has its answer) or an open one (requests are due at
//! a fixed rate, whatever the server does), and reports what it saw.

mod connection;
mod meters;
mod process;
mod report;
mod schedule;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use tokio::{task::JoinSet, time::Instant};

use connection::{Connection, Target};
use meters::Meters;
pub use meters::Progress;
use process::Watch;
pub use process::{ProcessUse, Processes};
pub use report::{Failures, Latency, LoadReport};
pub use schedule::Arrival;
use schedule::{Limit, Schedule};

/// What load to make.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Where to send; `http` only.
    pub url: Uri,
    /// Method of the request.
    pub method: Method,
    /// Headers of the request; `host` and the length are added.
    pub headers: HeaderMap,
    /// Body of the request.
    pub body: Bytes,
    /// HTTP/2 with prior knowledge instead of HTTP/1.1.
    pub http2: bool,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// When requests are sent.
    pub arrival: Arrival,
    /// How long to send; answers are awaited beyond it.
    pub duration: Duration,
    /// Stop after this many requests, if that comes first.
    pub requests: Option<u64>,
    /// Load before the measurement, which is not reported.
    pub warmup: Duration,
    /// An answer that takes longer is a failure.
    pub timeout: Duration,
    /// Compare every body with the right one.
    pub check: Check,
    /// Processes whose use of the machine is reported.
    pub pids: Vec<u32>,
}

/// What the bodies of the answers are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// With nothing.
    Off,
    /// With the answer to one request to this URL before the load begins.
    AnswerOf(Uri),
    /// With these bytes.
    Body(Bytes),
}

/// A load that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The URL is not one that can be sent to.
    #[error("{0} is not a URL such as http://127.0.0.1:4005/v1/chat/completions")]
    Url(Uri),
    /// There are no connections, or the rate is not a positive number.
    #[error("connections and rate must be more than 0")]
    Nothing,
    /// The answer to compare with could not be had.
    #[error("no answer to compare with from {url}: {reason}")]
    Expected {
        /// Where it was asked for.
        url: Uri,
        /// What went wrong.
        reason: String,
    },
    /// A process to watch does not exist, or this system has no `/proc`.
    #[error("process {0} cannot be watched (needs /proc of Linux)")]
    Process(u32),
}

impl LoadPlan {
    /// Sends the load and reports; `progress` shows how far it is.
    ///
    /// # Errors
    /// If the plan makes no sense, or there is nothing to compare with. Failing
    /// requests are counted, not returned.
    pub async fn run(&self, progress: &Arc<Progress>) -> Result<LoadReport, LoadError> {
        let target = Target::new(&self.url).ok_or_else(|| LoadError::Url(self.url.clone()))?;
        if self.connections == 0 || !self.arrival.is_possible() {
            return Err(LoadError::Nothing);
        }
        let request = Arc::new(connection::Plan {
            target,
            method: self.method.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            http2: self.http2,
            timeout: self.timeout,
            expected: self.expected().await?,
        });
        let connections = (0..self.connections).map(|_| Connection::new(request.clone())).collect();
        let warmup = Limit { duration: self.warmup, requests: None };
        let (connections, _) = phase(connections, self.arrival, warmup, &Arc::default()).await;
        let watch = Watch::start(&self.pids).map_err(LoadError::Process)?;
        let limit = Limit { duration: self.duration, requests: self.requests };
        let start = Instant::now();
        let (_, meters) = phase(connections, self.arrival, limit, progress).await;
        let elapsed = start.elapsed();
        let processes = watch.stop(meters.answered(), elapsed).await;
        Ok(LoadReport::new(self, &meters, elapsed, processes))
    }

    async fn expected(&self) -> Result<Option<Bytes>, LoadError> {
        let url = match &self.check {
            Check::Off => return Ok(None),
            Check::Body(body) => return Ok(Some(body.clone())),
            Check::AnswerOf(url) => url,
        };
        let failed = |reason: String| LoadError::Expected { url: url.clone(), reason };
        let request = connection::Plan {
            target: Target::new(url).ok_or_else(|| LoadError::Url(url.clone()))?,
            method: self.method.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            http2: false,
            timeout: self.timeout,
            expected: None,
        };
        let body = Connection::new(Arc::new(request)).fetch().await;
        body.map(Some).map_err(|failure| failed(failure.to_string()))
    }
}

/// Runs all connections to the end of a schedule.
async fn phase(
    connections: Vec<Connection>,
    arrival: Arrival,
    limit: Limit,
    progress: &Arc<Progress>,
) -> (Vec<Connection>, Meters) {
    let schedule = Arc::new(Schedule::new(arrival, limit));
    let mut workers = JoinSet::new();
    for mut connection in connections {
        let (schedule, progress) = (schedule.clone(), progress.clone());
        workers.spawn(async move {
            let meters = schedule.work(&mut connection, &progress).await;
            (connection, meters)
        });
    }
    let mut connections = Vec::new();
    let mut all = Meters::default();
    while let Some(worker) = workers.join_next().await {
        if let Ok((connection, meters)) = worker {
            connections.push(connection);
            all.merge(&meters);
        }
    }
    (connections, all)
}
