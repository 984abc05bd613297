//! The gRPC server: services, reflection and health on one port, for gRPC over
//! HTTP/2 and grpc-web over HTTP/1.1 or HTTP/2.

use std::{future::Future, sync::Arc};

use modash_access::Access;
use modash_proto::{
    FILE_DESCRIPTOR_SET,
    v1::{
        analytics_service_server::AnalyticsServiceServer,
        ingest_service_server::IngestServiceServer,
    },
};
use modash_runtime::{BoundedListener, ConnectionCount};
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use tonic_web::GrpcWebLayer;

use crate::{
    browser::Browsers,
    gate::Gate,
    ingest::Ingest,
    query::{EncodedSubscribe, Queries},
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

/// Serves until `stop`, then until the open calls have ended.
pub(crate) async fn serve(
    listener: BoundedListener,
    count: ConnectionCount,
    ingest: Ingest,
    queries: Queries,
    access: Access,
    browsers: Browsers,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let health = HealthReporter::new();
    health.set_serving::<IngestServiceServer<Ingest>>().await;
    health.set_serving::<AnalyticsServiceServer<Queries>>().await;
    let queries = Arc::new(queries);
    let analytics = AnalyticsServiceServer::from_arc(Arc::clone(&queries))
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_RESPONSE_BYTES);
    let router = Routes::new(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(tonic_health::pb::health_server::HealthServer::new(
            tonic_health::server::HealthService::from_health_reporter(health),
        ))
        .add_service(IngestServiceServer::new(ingest).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(EncodedSubscribe::new(queries, analytics))
        .into_axum_router()
        .layer(Gate::new(access))
        // grpc-web is unwrapped before the services see it.
        .layer(GrpcWebLayer::new())
        .layer(browsers);
    listener.serve(router, count, stop).await;
    Ok(())
}
