//! The gRPC server: services, reflection and health on one port, for gRPC over
//! HTTP/2 and grpc-web over HTTP/1.1 or HTTP/2.

use std::sync::Arc;

use modash_access::Access;
use modash_proto::{
    FILE_DESCRIPTOR_SET,
    v1::{
        analytics_service_server::AnalyticsServiceServer,
        ingest_service_server::IngestServiceServer,
    },
};
use modash_runtime::{BoundedListener, ConnectionCount};
use tokio_util::sync::CancellationToken;
use tonic::{codec::CompressionEncoding::Gzip, service::Routes};
use tonic_web::GrpcWebLayer;

use crate::{
    around::Around,
    browser::Browsers,
    gate::Gate,
    ingest::Ingest,
    query::{EncodedSubscribe, Queries},
    serving::Health,
};

/// Largest message taken: a batch of 4 MiB and some room.
const MAX_REQUEST_BYTES: usize = 5 * 1024 * 1024;

/// Largest answer; the largest page and the longest series are far below.
const MAX_RESPONSE_BYTES: usize = 32 * 1024 * 1024;

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors of the contract cannot be served.
    #[error("reflection failed")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// What is served.
pub(crate) struct Services {
    pub(crate) ingest: Ingest,
    pub(crate) queries: Queries,
    pub(crate) health: Health,
}

/// Serves until `stop`, then until the open calls have ended.
pub(crate) async fn serve(
    listener: BoundedListener,
    count: ConnectionCount,
    Services { ingest, queries, health }: Services,
    access: Access,
    browsers: Browsers,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reporter = health.begin().await;
    let queries = Arc::new(queries);
    let analytics = AnalyticsServiceServer::from_arc(Arc::clone(&queries))
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_RESPONSE_BYTES)
        .accept_compressed(Gzip)
        .send_compressed(Gzip);
    let ingest = IngestServiceServer::new(ingest)
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .accept_compressed(Gzip);
    let router = Routes::new(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(tonic_health::pb::health_server::HealthServer::new(
            tonic_health::server::HealthService::from_health_reporter(reporter.clone()),
        ))
        .add_service(ingest)
        .add_service(EncodedSubscribe::new(queries, analytics))
        .into_axum_router()
        .layer(Around(Gate::new(access)))
        // grpc-web is unwrapped before the services see it.
        .layer(GrpcWebLayer::new())
        .layer(Around(browsers));
    let serving = listener.serve(router, count, stop.clone().cancelled_owned());
    tokio::select! {
        () = serving => {}
        () = health.follow(reporter, stop) => {}
    }
    Ok(())
}
