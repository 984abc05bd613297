//! A running gateway in front of a scripted analytics, and a plain client.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use modash_gateway::{Gateway, GatewayConfig};
use modash_runtime::ServiceContext;
use tokio::task::JoinHandle;

use crate::fake::{Fake, Script};

/// Patience of every wait; reached only by a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct TestGateway {
    pub(crate) script: Arc<Script>,
    pub(crate) fake: Option<Fake>,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) context: ServiceContext,
    running: JoinHandle<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl TestGateway {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With changed settings.
    pub(crate) async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let fake = Fake::start(Script::new(), any).await;
        let analytics = format!("http://{}", fake.address).parse().unwrap();
        let mut config = GatewayConfig::new(any, any, analytics);
        // As many as can be opened quickly.
        config.streams = 1_000;
        change(&mut config);
        let gateway = Gateway::bind(config).await.unwrap();
        let address = gateway.address();
        let context = ServiceContext::new(Duration::from_secs(5));
        let running = tokio::spawn({
            let context = context.clone();
            async move { gateway.run(context).await.unwrap() }
        });
        context.readiness.ready().await;
        let script = fake.script.clone();
        Self { script, fake: Some(fake), address, context, running }
    }

    /// Analytics dies.
    pub(crate) fn kill_analytics(&mut self) -> std::net::SocketAddr {
        self.fake.take().expect("analytics runs").address
    }

    /// Stops the gateway and waits for its end.
    pub(crate) async fn stop(self) {
        self.context.shutdown.request();
        tokio::time::timeout(PATIENCE, self.running).await.expect("it stops").unwrap();
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.address))
    }

    /// The head of an answer, with its body still to come.
    pub(crate) async fn open(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        tokio::time::timeout(PATIENCE, client.request(request)).await.expect("an answer").unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let (head, body) = self.open(request).await.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.expect("an end");
        Answer { status: head.status, headers: head.headers, body: body.unwrap().to_bytes() }
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(with_headers(self.request("GET", path), headers).body(Full::default()).unwrap())
            .await
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let request = with_headers(self.request("POST", path), headers);
        self.send(request.body(Full::new(body.into())).unwrap()).await
    }

    /// Frames as JSON.
    pub(crate) async fn rpc(&self, body: impl Into<Bytes>) -> Answer {
        self.post("/rpc", &[("content-type", "application/json")], body).await
    }
}

pub(crate) fn with_headers(
    mut request: http::request::Builder,
    headers: &[(&str, &str)],
) -> http::request::Builder {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
