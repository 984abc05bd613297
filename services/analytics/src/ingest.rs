//! IngestService: the streams of the proxies. Each stream checks and queues what
//! arrives; the writers commit it for all streams together; each stream then
//! acknowledges, in the order of arrival.

use std::{pin::Pin, sync::Arc};

use futures_util::Stream;
use modash_access::Access;
use modash_proto::{
    Reason,
    v1::{StreamUsageRequest, StreamUsageResponse, ingest_service_server::IngestService},
};
use modash_runtime::Shutdown;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    AnalyticsConfig, gate, live::Live, metrics::IngestMetrics, pricing::Prices, store::Store,
};

mod commit;
mod owner;
mod queue;
mod reports;
mod stream;

pub(crate) use commit::Committer;
pub(crate) use queue::{Queue, queue};
pub(crate) use reports::Reports;

/// Answers that wait for the network of one proxy.
const ANSWERS: usize = 64;

/// Receives usage events.
#[derive(Debug, Clone)]
pub(crate) struct Ingest {
    store: Arc<Store>,
    access: Access,
    prices: Prices,
    live: Arc<Live>,
    queue: Queue,
    reports: Arc<Reports>,
    metrics: IngestMetrics,
    shutdown: Shutdown,
    streams: TaskTracker,
}

impl Ingest {
    pub(crate) fn new(
        config: &AnalyticsConfig,
        store: Arc<Store>,
        live: Arc<Live>,
        queue: Queue,
        reports: Arc<Reports>,
        metrics: IngestMetrics,
        shutdown: Shutdown,
    ) -> Self {
        let (access, prices) = (config.access.clone(), config.prices.clone());
        let streams = TaskTracker::new();
        Self { store, access, prices, live, queue, reports, metrics, shutdown, streams }
    }

    /// Once a stop was asked for: waits until every stream has acknowledged what
    /// it took in.
    pub(crate) async fn ended(&self) {
        self.streams.close();
        self.streams.wait().await;
    }

    /// Nothing more is taken in: the writers end after what is queued.
    pub(crate) fn close_queue(&self) {
        self.queue.close();
    }
}

#[tonic::async_trait]
impl IngestService for Ingest {
    type StreamUsageStream =
        Pin<Box<dyn Stream<Item = Result<StreamUsageResponse, Status>> + Send>>;

    async fn stream_usage(
        &self,
        request: Request<Streaming<StreamUsageRequest>>,
    ) -> Result<Response<Self::StreamUsageStream>, Status> {
        if self.shutdown.is_requested() {
            return Err(Reason::Stopping.status("analytics is stopping; try again"));
        }
        let pass = gate::pass(request.extensions())?;
        let (answers, receiver) = mpsc::channel(ANSWERS);
        let ingest = self.clone();
        self.streams.spawn(async move {
            ingest.metrics.streams.inc();
            ingest.run_stream(request.into_inner(), &pass, answers).await;
            ingest.metrics.streams.dec();
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
