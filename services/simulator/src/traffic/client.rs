//! Sends the requests of the traffic and reads the answers without keeping them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::apps::Plan;

/// Pause after a request that reached nobody.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(1);

/// A client with a pool of connections. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// Base URL without a slash at the end.
    base: String,
    pool: Pool<HttpConnector, Full<Bytes>>,
    /// The target was not reachable the last time; said once, not each time.
    unreachable: Arc<AtomicBool>,
}

impl Client {
    pub(super) fn new(base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            pool: Pool::builder(TokioExecutor::new()).build_http(),
            unreachable: Arc::default(),
        }
    }

    /// Sends a request and reads its answer to the end, or until the client
    /// leaves.
    pub(super) async fn send(&self, plan: Plan) {
        let leaves_after = plan.leaves_after;
        let Some(request) = self.request(plan) else {
            return;
        };
        let response = match self.pool.request(request).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                if !self.unreachable.swap(true, Relaxed) {
                    tracing::warn!(target = self.base, "the target of the traffic is unreachable");
                }
                return tokio::time::sleep(UNREACHABLE_PAUSE).await;
            }
            Err(error) => return tracing::debug!(%error, "a request of the traffic failed"),
        };
        self.unreachable.store(false, Relaxed);
        let mut body = response.into_body();
        let read = async { while let Some(Ok(_)) = body.frame().await {} };
        match leaves_after {
            // Dropping an unread body closes the connection.
            Some(after) => drop(tokio::time::timeout(after, read).await),
            None => read.await,
        }
    }

    fn request(&self, plan: Plan) -> Option<Request<Full<Bytes>>> {
        let uri: Uri = format!("{}{}", self.base, plan.path).parse().ok()?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header("content-type", "application/json");
        for (name, value) in plan.headers {
            request = request.header(name, value);
        }
        request.body(Full::from(plan.body)).ok()
    }
}
