//! A receiver of OTLP, by gRPC or HTTP, plain or by TLS, that keeps what it gets.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{Metric, metric::Data},
    trace::v1::Span,
};
use prost::Message as _;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Status,
    transport::{Identity, Server, ServerTlsConfig},
};

/// Takes what is exported. Clones share it.
#[derive(Clone)]
pub struct OtlpReceiver {
    /// Where it listens.
    pub url: String,
    /// Its certificate in PEM; empty without TLS.
    pub certificate: String,
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    spans: Vec<OtlpSpan>,
    metrics: BTreeMap<String, Metric>,
    headers: Vec<(String, String)>,
}

/// A span as it came, and whose it is.
#[derive(Debug, Clone)]
pub struct OtlpSpan {
    /// The value of `service.name`.
    pub service: String,
    /// The name of its instrumentation scope.
    pub scope: String,
    /// The span.
    pub span: Span,
}

impl OtlpSpan {
    /// Its attributes as texts.
    #[must_use]
    pub fn attributes(&self) -> BTreeMap<String, String> {
        texts(&self.span.attributes)
    }

    /// Ids of its trace, of itself and of its parent, in hexadecimal digits; that of a
    /// parent that it does not have is empty.
    #[must_use]
    pub fn ids(&self) -> [String; 3] {
        [&self.span.trace_id, &self.span.span_id, &self.span.parent_span_id].map(|id| hex(id))
    }

    /// Ids of the traces and spans that it is linked to.
    #[must_use]
    pub fn links(&self) -> Vec<[String; 2]> {
        self.span.links.iter().map(|link| [hex(&link.trace_id), hex(&link.span_id)]).collect()
    }
}

/// How a receiver is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// The value `grpc` of `OTEL_EXPORTER_OTLP_PROTOCOL`.
    Grpc,
    /// The value `http/protobuf`.
    Http,
}

impl OtlpReceiver {
    /// Starts one without TLS.
    pub async fn start(protocol: OtlpProtocol) -> Self {
        Self::start_with(protocol, false, 200).await
    }

    /// Starts one with a certificate of its own for 127.0.0.1.
    pub async fn start_tls(protocol: OtlpProtocol) -> Self {
        Self::start_with(protocol, true, 200).await
    }

    /// Starts one that takes nothing and answers with this status of HTTP, and with
    /// `Retry-After`.
    pub async fn refusing(status: u16) -> Self {
        Self::start_with(OtlpProtocol::Http, false, status).await
    }

    async fn start_with(protocol: OtlpProtocol, secure: bool, status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let made = secure
            .then(|| rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap());
        let receiver = Self {
            url: format!("{}://{address}", if secure { "https" } else { "http" }),
            certificate: made.as_ref().map(|made| made.cert.pem()).unwrap_or_default(),
            received: Arc::default(),
        };
        match protocol {
            OtlpProtocol::Grpc => {
                let mut server = Server::builder();
                if let Some(made) = made {
                    let identity =
                        Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
                    server = server.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
                }
                let server = server
                    .add_service(TraceServiceServer::new(receiver.clone()))
                    .add_service(MetricsServiceServer::new(receiver.clone()));
                tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
            }
            OtlpProtocol::Http => {
                let acceptor = made.map(|made| {
                    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
                    let provider = rustls::crypto::ring::default_provider();
                    let config = ServerConfig::builder_with_provider(provider.into())
                        .with_safe_default_protocol_versions()
                        .unwrap()
                        .with_no_client_auth()
                        .with_single_cert(vec![made.cert.der().clone()], key);
                    TlsAcceptor::from(Arc::new(config.unwrap()))
                });
                tokio::spawn(receiver.clone().accept(listener, acceptor, status));
            }
        }
        receiver
    }

    async fn accept(self, listener: TcpListener, tls: Option<TlsAcceptor>, status: u16) {
        while let Ok((connection, _)) = listener.accept().await {
            let (receiver, tls) = (self.clone(), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => receiver.serve(connection, status).await,
                    Some(tls) => {
                        if let Ok(connection) = tls.accept(connection).await {
                            receiver.serve(connection, status).await;
                        }
                    }
                }
            });
        }
    }

    async fn serve(
        self,
        connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        status: u16,
    ) {
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let receiver = self.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                if status == 200 {
                    let text = |value: &http::HeaderValue| value.to_str().unwrap_or("").to_owned();
                    receiver.lock().headers =
                        head.headers.iter().map(|(n, v)| (n.to_string(), text(v))).collect();
                    receiver.take(head.uri.path(), body);
                }
                let answer = Response::builder().status(status).header("retry-after", "1");
                Ok::<_, hyper::Error>(answer.body(Full::<Bytes>::default()).unwrap())
            }
        });
        let server = auto::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(connection), service).await;
    }

    fn take(&self, path: &str, body: Bytes) {
        match path {
            "/v1/traces" => self.add_spans(ExportTraceServiceRequest::decode(body).unwrap()),
            "/v1/metrics" => self.add_metrics(ExportMetricsServiceRequest::decode(body).unwrap()),
            other => panic!("{other} is no path of OTLP"),
        }
    }

    fn add_spans(&self, request: ExportTraceServiceRequest) {
        let mut received = self.lock();
        for resource in request.resource_spans {
            let attributes = texts(&resource.resource.unwrap_or_default().attributes);
            let service = attributes.get("service.name").cloned().unwrap_or_default();
            for scope in resource.scope_spans {
                let name = scope.scope.unwrap_or_default().name;
                received.spans.extend(scope.spans.into_iter().map(|span| OtlpSpan {
                    service: service.clone(),
                    scope: name.clone(),
                    span,
                }));
            }
        }
    }

    fn add_metrics(&self, request: ExportMetricsServiceRequest) {
        let scopes = request.resource_metrics.into_iter().flat_map(|found| found.scope_metrics);
        let metrics = scopes.flat_map(|scope| scope.metrics);
        self.lock().metrics.extend(metrics.map(|metric| (metric.name.clone(), metric)));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Received> {
        self.received.lock().unwrap()
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<OtlpSpan> {
        self.lock().spans.clone()
    }

    /// Headers of the last request, by HTTP.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, String)> {
        self.lock().headers.clone()
    }

    /// Metrics by name, as they were last exported.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, Metric> {
        self.lock().metrics.clone()
    }

    /// Count, sum and bounds of a histogram, over all its attributes.
    #[must_use]
    pub fn histogram(&self, name: &str) -> Option<(u64, f64, Vec<f64>)> {
        let Some(Data::Histogram(histogram)) = self.metrics().remove(name)?.data else {
            return None;
        };
        let points = &histogram.data_points;
        let count = points.iter().map(|point| point.count).sum();
        let sum = points.iter().filter_map(|point| point.sum).sum();
        Some((count, sum, points.first()?.explicit_bounds.clone()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Attributes as texts.
fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let value = |found: &KeyValue| match found.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    };
    attributes.iter().map(|found| (found.key.clone(), value(found))).collect()
}

#[tonic::async_trait]
impl TraceService for OtlpReceiver {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        self.add_spans(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for OtlpReceiver {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        self.add_metrics(request.into_inner());
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}
