//! Health of gRPC: each service serves while `/readyz` says yes.

use modash_proto::v1::{analytics_service_server, ingest_service_server};
use modash_runtime::{Readiness, Shutdown};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

/// Names under which health is asked for; the empty one is the whole process.
const NAMES: [&str; 3] =
    ["", analytics_service_server::SERVICE_NAME, ingest_service_server::SERVICE_NAME];

/// What decides about health.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    /// That of `/readyz`.
    pub(crate) readiness: Readiness,
    /// A process that stops is not ready.
    pub(crate) shutdown: Shutdown,
}

impl Health {
    /// Nothing serves yet.
    pub(crate) async fn begin(&self) -> HealthReporter {
        let reporter = HealthReporter::new();
        set(&reporter, ServingStatus::NotServing).await;
        reporter
    }

    /// Follows readiness until a stop is asked for. When `stop_listening` is, those that
    /// watch are let go, so that they hold up no stop. Never ends.
    pub(crate) async fn follow(
        &self,
        mut reporter: HealthReporter,
        stop_listening: CancellationToken,
    ) {
        let following = async {
            loop {
                self.readiness.until(true).await;
                set(&reporter, ServingStatus::Serving).await;
                self.readiness.until(false).await;
                set(&reporter, ServingStatus::NotServing).await;
            }
        };
        tokio::select! {
            () = following => {}
            () = self.shutdown.requested() => {}
        }
        set(&reporter, ServingStatus::NotServing).await;
        stop_listening.cancelled().await;
        for name in NAMES {
            reporter.clear_service_status(name).await;
        }
        std::future::pending::<()>().await;
    }
}

async fn set(reporter: &HealthReporter, status: ServingStatus) {
    for name in NAMES {
        reporter.set_service_status(name, status).await;
    }
}
