//! A simulator for one test, and a client that sends JSON and splits streams.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig, Snapshot, Stats};
use serde_json::Value;
use tokio::task::JoinHandle;

/// A running simulator; it ends with this value.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) stats: Stats,
    pub(crate) shutdown: Shutdown,
    task: JoinHandle<()>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer that came to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(SimulatorConfig::default()).await
    }

    pub(crate) async fn with(config: SimulatorConfig) -> Self {
        let simulator = Simulator::bind(config).await.unwrap();
        let (url, stats) = (simulator.url(), simulator.stats());
        let shutdown = Shutdown::new(Duration::from_millis(100));
        let task = tokio::spawn(simulator.run(shutdown.clone()));
        Self { url, stats, shutdown, task, client: client(false) }
    }

    pub(crate) fn request(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::post(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::from(body.to_string())).unwrap()
    }

    /// Sends a request; the body is still to be read.
    pub(crate) async fn open(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        self.client.request(self.request(path, headers, body)).await
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        read(self.open(path, headers, body).await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(self.client.request(request.body(Full::default()).unwrap()).await.unwrap()).await
    }

    /// Waits until the counters are as wanted.
    pub(crate) async fn wait_for(&self, what: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let wait = async {
            loop {
                let seen = self.stats.snapshot();
                if what(&seen) {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .unwrap_or_else(|_| panic!("still {:?}", self.stats.snapshot()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn client(http2: bool) -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(http2).build_http()
}

pub(crate) async fn read(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Server-sent events with their names; every one has to be JSON, but for
    /// `[DONE]`, which has to be the last and is reported apart.
    pub(crate) fn events(&self) -> (Vec<(Option<String>, Value)>, bool) {
        let text = self.text().replace("\r\n", "\n");
        assert!(text.ends_with("\n\n"), "{text:?}");
        let mut events = Vec::new();
        let mut done = false;
        for event in text.trim_end_matches('\n').split("\n\n") {
            assert!(!done, "[DONE] is not the last event");
            let mut name = None;
            let mut data = None;
            for line in event.lines() {
                match line.split_once(": ").unwrap() {
                    ("event", value) => name = Some(value.to_owned()),
                    ("data", value) => data = Some(value.to_owned()),
                    other => panic!("{other:?}"),
                }
            }
            let data = data.unwrap();
            if data == "[DONE]" {
                done = true;
            } else {
                events.push((name, serde_json::from_str(&data).unwrap()));
            }
        }
        (events, done)
    }

    /// Lines of JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
