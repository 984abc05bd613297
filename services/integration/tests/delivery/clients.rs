//! Applications: each request has a name of its own, so that it can be looked for
//! in the database, and each answer is read to its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};

/// Header with the name of a request; the proxy records it.
pub(crate) const NAME: &str = "x-modash-session";

/// Longest time that an answer may take at all.
const LONGEST: Duration = Duration::from_secs(60);

/// The lives of a proxy that is killed now and then. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lives(Arc<AtomicU64>);

impl Lives {
    /// It is about to be killed.
    pub(crate) fn end(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// It serves again.
    pub(crate) fn begin(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// How often it was killed.
    pub(crate) fn ended(&self) -> u64 {
        self.now().div_ceil(2)
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn is_up(life: u64) -> bool {
        life.is_multiple_of(2)
    }
}

/// What became of a request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Its name.
    pub(crate) name: String,
    /// From its first byte to the answer's last.
    pub(crate) took: Duration,
    /// Why it has no whole answer.
    pub(crate) failure: Option<String>,
    /// What a whole answer says that it cost.
    pub(crate) counts: Option<Counts>,
    /// When it ended.
    pub(crate) ended: Instant,
    /// The proxy was killed meanwhile.
    pub(crate) killed: bool,
}

/// Tokens of a request: of the prompt, of the completion.
pub(crate) type Counts = (i64, i64);

/// Where and how clients ask.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `http://` and an address.
    pub(crate) url: String,
    /// The lives of who is there.
    pub(crate) lives: Lives,
    /// Without names; for comparison.
    pub(crate) nameless: bool,
    /// Longest pause between two requests of one client.
    pub(crate) pause: Duration,
    /// Each client asks once in so much time, if it can.
    pub(crate) turn: Option<Duration>,
    /// Each request by a connection of its own.
    pub(crate) reconnects: bool,
    /// With streams, some of more than a second.
    pub(crate) streams: bool,
}

/// Clients at work.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    answered: watch::Sender<()>,
    tasks: JoinSet<Vec<Asked>>,
}

impl Clients {
    /// Lets so many clients ask, drawn from a seed.
    pub(crate) fn start(target: &Target, count: u64, seed: u64) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (mut tasks, answered) = (JoinSet::new(), watch::Sender::new(()));
        for number in 0..count {
            let (target, stop, done) = (target.clone(), stop.clone(), done.clone());
            let answered = answered.clone();
            tasks.spawn(async move {
                let draw = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number));
                let prefix = format!("{seed}-{number}");
                ask_until(&stop, &done, &answered, &target, &prefix, draw).await
            });
        }
        Self { stop, done, answered, tasks }
    }

    /// Waits for the end of the next whole answer of any of them.
    pub(crate) async fn next_answer(&self) {
        self.answered.subscribe().changed().await.unwrap();
    }

    /// Answers so far.
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Lets each finish its request.
    pub(crate) async fn finish(mut self) -> Vec<Asked> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        while let Some(asked) = self.tasks.join_next().await {
            all.append(&mut asked.unwrap());
        }
        all
    }
}

async fn ask_until(
    stop: &AtomicBool,
    done: &AtomicUsize,
    answered: &watch::Sender<()>,
    target: &Target,
    prefix: &str,
    mut draw: StdRng,
) -> Vec<Asked> {
    let mut all = Vec::new();
    let mut connected = (target.lives.now(), connections());
    while !stop.load(Ordering::Relaxed) {
        let life = target.lives.now();
        if !Lives::is_up(life) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        // Connections to a killed proxy are dead.
        if connected.0 != life || target.reconnects {
            connected = (life, connections());
        }
        let name = format!("{prefix}-{}", all.len());
        let request = request(target, &name, &mut draw);
        let begun = Instant::now();
        let answer = tokio::time::timeout(LONGEST, ask(&connected.1, request)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer for {LONGEST:?}")));
        let ended = Instant::now();
        if answer.is_ok() {
            answered.send_replace(());
        }
        let (counts, failure) = (answer.as_ref().ok().copied(), answer.err());
        let (took, killed) = (ended - begun, target.lives.now() != life);
        all.push(Asked { name, took, failure, counts, ended, killed });
        done.fetch_add(1, Ordering::Relaxed);
        match target.turn {
            Some(turn) => tokio::time::sleep(turn.saturating_sub(begun.elapsed())).await,
            None => tokio::time::sleep(target.pause.mul_f64(draw.random())).await,
        }
    }
    all
}

type Connections = Client<HttpConnector, Full<Bytes>>;

fn connections() -> Connections {
    let mut builder = Client::builder(TokioExecutor::new());
    // What fails has to be seen.
    builder.retry_canceled_requests(false).build_http()
}

fn request(target: &Target, name: &str, draw: &mut StdRng) -> Request<Full<Bytes>> {
    let (stream, tokens, pace) = match draw.random_range(0..100) {
        0..65 => (false, draw.random_range(1..20), 0),
        65..95 => (true, draw.random_range(1..20), 2),
        _ => (true, 40, 30),
    };
    let stream = stream && target.streams;
    let body = json!({
        "model": format!("model-{}", draw.random_range(0..4)),
        "max_tokens": tokens,
        "stream": stream,
        "stream_options": stream.then(|| json!({ "include_usage": true })),
        "messages": [{ "role": "user", "content": "one two three" }],
    });
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}/v1/chat/completions", target.url))
        .header("content-type", "application/json");
    if stream {
        request = request.header("x-simulate-token-interval-ms", pace.to_string());
    }
    if !target.nameless {
        request = request.header(NAME, name);
    }
    request.body(Full::from(body.to_string())).unwrap()
}

/// What the answer says that it cost, if it is whole.
async fn ask(connections: &Connections, request: Request<Full<Bytes>>) -> Result<Counts, String> {
    let response = connections.request(request).await.map_err(|error| format!("{error:?}"))?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
    let counts = match head.headers.get("content-type") {
        Some(kind) if kind != "application/json" => counts_of_stream(&body),
        _ => counts_of(&body),
    };
    match counts {
        Some(counts) if head.status == StatusCode::OK => Ok(counts),
        _ => Err(format!("{}: {}", head.status, String::from_utf8_lossy(&body))),
    }
}

fn counts_of_stream(body: &[u8]) -> Option<Counts> {
    let events = str::from_utf8(body).ok()?.strip_suffix("data: [DONE]\n\n")?;
    counts_of(events.trim_end().rsplit("data: ").next()?.as_bytes())
}

fn counts_of(message: &[u8]) -> Option<Counts> {
    let usage = serde_json::from_slice::<Value>(message).ok()?;
    let count = |name: &str| usage["usage"][name].as_i64();
    Some((count("prompt_tokens")?, count("completion_tokens")?))
}
