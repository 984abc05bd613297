//! The simulated server: accepts connections (HTTP/1.1 and h2 with prior
//! knowledge), reads a request, and answers it as its dialect does.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use modash_runtime::{Boxed, Shutdown};
use tokio::{net::TcpListener, net::TcpStream, task::JoinSet};

use crate::{
    answer::{Answer, Prebuilt},
    body::{AnswerBody, time_before_head},
    dialect::{Dialect, list},
    limits::Limits,
    stats::{Stats, Tally},
    transcript::Transcript,
    turn::{Given, Pace},
    wire::{Object, object},
    wishes::{Fault, Wishes},
};

/// How a simulator answers.
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Output tokens of an answer when neither the request nor a header says.
    pub output_tokens: u64,
    /// Pace of answers when no header says.
    pub pace: Pace,
    /// Models that the lists name; requests may name any other.
    pub models: Vec<String>,
    /// Build the answer to byte-identical requests once and send it again, with
    /// the same id: for benchmarks, where making answers must cost nothing and
    /// every byte is compared.
    pub prebuilt: bool,
    /// Header by whose value a completed response is remembered, for tests that
    /// compare one by one; `None`: they are only counted.
    pub label: Option<HeaderName>,
    /// State rate limits in the headers of answers.
    pub rate_limits: bool,
}

impl Default for SimulatorConfig {
    /// A free port of this machine, 24 tokens at once.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            output_tokens: 24,
            pace: Pace::default(),
            models: [
                "qwen3-8b",
                "gpt-oss-20b",
                "claude-sonnet-4-5",
                "gpt-4.1-mini",
                "llama-3.3-70b",
                "gemini-2.5-flash",
                "nomic-embed-text",
            ]
            .map(str::to_owned)
            .to_vec(),
            prebuilt: false,
            label: None,
            rate_limits: false,
        }
    }
}

/// A simulated LLM server that is bound but does not serve yet.
#[derive(Debug)]
pub struct Simulator {
    listener: TcpListener,
    address: SocketAddr,
    server: Arc<Server>,
}

#[derive(Debug)]
struct Server {
    config: SimulatorConfig,
    stats: Stats,
    prebuilt: Prebuilt,
    requests: AtomicU64,
    limits: Limits,
}

/// A simulator that could not start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] modash_runtime::BindError),
    /// The system does not tell the address of the listener.
    #[error("the simulator's address is unknown")]
    Address(#[source] io::Error),
}

impl Simulator {
    /// Listens.
    ///
    /// # Errors
    /// If the address is taken, not permitted or not of this machine.
    pub async fn bind(config: SimulatorConfig) -> Result<Self, SimulatorError> {
        let listener =
            modash_runtime::bind("simulated LLM server", "--listen", config.listen).await?;
        let address = listener.local_addr().map_err(SimulatorError::Address)?;
        let server = Server {
            config,
            stats: Stats::default(),
            prebuilt: Prebuilt::default(),
            requests: AtomicU64::new(0),
            limits: Limits::default(),
        };
        Ok(Self { listener, address, server: Arc::new(server) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its counters; they go on counting after `run` took the simulator.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.server.stats.clone()
    }

    /// Serves until a stop is asked for, then lets running responses end within
    /// the grace period. Dropping the future cuts all connections.
    pub fn run(self, shutdown: Shutdown) -> Boxed<'static, ()> {
        Box::pin(self.serve(shutdown))
    }

    async fn serve(self, shutdown: Shutdown) {
        let mut connections = JoinSet::new();
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.requested() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection = connection(stream, &self.server);
                    let connection = graceful.watch(connection);
                    connections.spawn(async move {
                        // Clients that vanish are daily business.
                        if let Err(error) = connection.await {
                            tracing::debug!(%error, "a connection ended with an error");
                        }
                    });
                }
                Err(error) => {
                    // Out of file descriptors, mostly: wait for some to close.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
        drop(self.listener);
        shutdown.finish("simulated LLM server", graceful.shutdown()).await;
    }
}

/// A connection as a future that knows how to end gracefully.
fn connection(
    stream: TcpStream,
    server: &Arc<Server>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error: std::fmt::Display> + Send + 'static
{
    // Every event leaves at once.
    let _ = stream.set_nodelay(true);
    let server = server.clone();
    let service = service_fn(move |request| {
        let server = server.clone();
        async move { server.serve(request).await }
    });
    auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .into_owned()
}

/// The connection is closed without a response.
#[derive(Debug, thiserror::Error)]
#[error("dropped on purpose, or the client left")]
struct Dropped;

impl Server {
    async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Dropped> {
        let path = request.uri().path();
        if path == "/simulator/stats" {
            let text = serde_json::to_string(&self.stats.snapshot()).unwrap_or_default();
            return Ok(json(StatusCode::OK, text, None));
        }
        let mut tally = self.stats.start();
        let label = self.config.label.as_ref().and_then(|name| request.headers().get(name));
        tally.label(label.and_then(|value| Some(value.to_str().ok()?.to_owned())));
        if request.method() == Method::GET {
            let found = list(path, request.headers(), &self.config.models);
            let (status, object) = match found {
                Some(object) => (StatusCode::OK, object),
                None => (StatusCode::NOT_FOUND, not_found(path)),
            };
            return Ok(json(status, object.text(), Some(tally)));
        }
        let Some(dialect) = Dialect::of(path).filter(|_| request.method() == Method::POST) else {
            return Ok(json(StatusCode::NOT_FOUND, not_found(path).text(), Some(tally)));
        };
        self.answer(dialect, request, tally).await
    }

    async fn answer(
        &self,
        dialect: Dialect,
        request: Request<Incoming>,
        mut tally: Tally,
    ) -> Result<Response<AnswerBody>, Dropped> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
        let wishes = match Wishes::read(&head.headers) {
            Ok(wishes) => wishes,
            Err(error) => {
                let text = dialect.error(400, &error.to_string()).text();
                return Ok(json(StatusCode::BAD_REQUEST, text, Some(tally)));
            }
        };
        let build = || Answer::build(dialect, &head.uri, &wishes, &body, self.given());
        let answer = if self.config.prebuilt {
            self.prebuilt.get(&head.uri, &wishes, &body, build)
        } else {
            Arc::new(build())
        };
        let pause = time_before_head(answer.stream, answer.pace, answer.generation);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        if wishes.fault == Some(Fault::Drop) {
            tally.broken();
            return Err(Dropped);
        }
        tally.tell(answer.told.clone());
        let body = AnswerBody::new(answer.transcript.clone(), answer.pace, Some(tally));
        let mut response = Response::new(body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers.clone();
        if self.config.rate_limits {
            let tokens = answer.told.as_ref().map(|told| told.tokens()).unwrap_or_default();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.limits.add(dialect, &head.headers, tokens, now, response.headers_mut());
        }
        Ok(response)
    }

    fn given(&self) -> Given {
        let number = self.requests.fetch_add(1, Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Given {
            pace: self.config.pace,
            output_tokens: self.config.output_tokens,
            number,
            created: now.as_secs(),
        }
    }
}

fn not_found(path: &str) -> Object {
    let message = format!("the simulator has no {path}");
    object! { "error": object! { "message": message, "type": "invalid_request_error" } }
}

fn json(status: StatusCode, text: String, tally: Option<Tally>) -> Response<AnswerBody> {
    let transcript = Transcript::plain(text, None, &Object::default(), None);
    let mut response = Response::new(AnswerBody::new(Arc::new(transcript), Pace::default(), tally));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
