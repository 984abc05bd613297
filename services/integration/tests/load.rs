//! 1,000 `Subscribe` streams and 200 EventSources with tokens beside ingest at full rate,
//! against real processes with PostgreSQL. A measurement for docs/performance.md, started
//! by name: `cargo test --release --test load -- --ignored --nocapture`.
//!
//! It fails if a reader is cut off or misses something but the one that does not read, or if
//! memory goes beyond its bound. Rates are printed, and are to be read on a quiet machine.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]
#![cfg(target_os = "linux")]

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes};
use http::{Request, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use modash_access::{Role, Token};
use modash_integration::{PATIENCE, Process, Services, get};
use modash_proto::v1::{
    EventBatch, Hello, LiveRequest, LiveUpdate, Missed, RequestPhase, StreamUsageRequest,
    SubscribeRequest, SubscribeResponse, UsageEvent,
    analytics_service_client::AnalyticsServiceClient, ingest_service_client::IngestServiceClient,
    stream_usage_request::Message as Up, stream_usage_response::Message as Down,
    subscribe_response::Message,
};
use modash_test_support::{TestDatabase, TokensFile, event, eventually};
use prost::Message as _;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

const SUBSCRIPTIONS: usize = 1_000;
const EVENT_SOURCES: usize = 200;

/// Streams of ingest, batches of each, events of each.
const STREAMS: usize = 4;
const BATCHES: usize = 20;
const BATCH: usize = 1_000;

/// Requests that run all the time, told four times a second.
const RUNNING: usize = 40;

/// Memory that a `Subscribe` stream may take of analytics, and an EventSource of the
/// gateway: the state of a call in a development build, and what waits for it.
const MOST_OF_SUBSCRIPTION: u64 = 160 << 10;
const MOST_OF_EVENT_SOURCE: u64 = 256 << 10;

#[derive(Clone)]
struct Bearer(AsciiMetadataValue);

impl Bearer {
    fn new(token: &Token) -> Self {
        Self(format!("Bearer {}", token.expose()).parse().unwrap())
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// The processes.
struct System {
    analytics: Process,
    gateway: Process,
    address: String,
    gateway_url: String,
    ingest: Token,
    readers: Vec<Token>,
    _tokens: TokensFile,
    _database: TestDatabase,
}

impl System {
    async fn start() -> Self {
        let (database, tokens) = (TestDatabase::create().await, TokensFile::new());
        let ingest = tokens.add("proxies", Role::Ingest);
        let readers = ["a", "b", "c", "d"].map(|name| tokens.add(name, Role::Read)).to_vec();
        let common = [("MODASH_TOKENS_FILE", tokens.path().display().to_string())];
        let analytics = Services::start_analytics_with(&database.url(), "127.0.0.1:0", &common);
        let address = format!("http://{}", analytics.address("analytics").await);
        let ready = format!("http://{}/readyz", analytics.address("analytics admin").await);
        eventually(PATIENCE, || async { get(&ready).await.is_ok_and(|it| it.status == 200) }).await;
        let settings = [
            common[0].clone(),
            ("MODASH_GATEWAY_LISTEN", "127.0.0.1:0".to_owned()),
            ("MODASH_GATEWAY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("MODASH_GATEWAY_ANALYTICS_URL", address.clone()),
        ];
        let gateway = Process::start("modash-gateway", &settings, &[]);
        let gateway_url = format!("http://{}", gateway.address("gateway").await);
        let (_tokens, _database) = (tokens, database);
        Self { analytics, gateway, address, gateway_url, ingest, readers, _tokens, _database }
    }

    async fn channel(&self, window: Option<u32>) -> Channel {
        let endpoint = Channel::from_shared(self.address.clone()).unwrap();
        endpoint.initial_stream_window_size(window).connect().await.unwrap()
    }
}

/// Memory of a process by its name in `/proc/<pid>/status`.
fn memory(process: &Process, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib: u64 = line.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    kib << 10
}

/// What readers saw.
#[derive(Default)]
struct Seen {
    messages: AtomicUsize,
    missed: AtomicUsize,
    ended: AtomicUsize,
}

/// Messages as they come: a thousand readers in one process would measure how fast that
/// process decodes.
#[derive(Debug, Clone, Copy)]
struct Undecoded;

impl Codec for Undecoded {
    type Encode = SubscribeRequest;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Undecoded {
    type Item = SubscribeRequest;
    type Error = Status;

    fn encode(&mut self, item: SubscribeRequest, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Undecoded {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// The first byte of a message that says that some were missed.
fn missed_begins() -> u8 {
    let missed = SubscribeResponse { message: Some(Message::Missed(Missed { messages: 1 })) };
    missed.encode_to_vec()[0]
}

async fn read(mut messages: Streaming<Bytes>, seen: Arc<Seen>) {
    while let Ok(Some(message)) = messages.message().await {
        let missed = message.first() == Some(&missed_begins());
        let counter = if missed { &seen.missed } else { &seen.messages };
        counter.fetch_add(1, Ordering::Relaxed);
    }
    seen.ended.fetch_add(1, Ordering::Relaxed);
}

type Shown = InterceptedService<Channel, Bearer>;

async fn reader(system: &System, number: usize, window: Option<u32>) -> Shown {
    let token = &system.readers[number % system.readers.len()];
    InterceptedService::new(system.channel(window).await, Bearer::new(token))
}

/// Subscriptions that read all that they are sent, 100 on each connection.
async fn subscribe(system: &System, seen: &Arc<Seen>) -> JoinSet<()> {
    let mut readers = JoinSet::new();
    for group in 0..SUBSCRIPTIONS / 100 {
        let mut client = Grpc::new(reader(system, group, None).await);
        for _ in 0..100 {
            let request = tonic::Request::new(SubscribeRequest::default());
            let path = PathAndQuery::from_static("/modash.v1.AnalyticsService/Subscribe");
            client.ready().await.unwrap();
            let messages = client.server_streaming(request, path, Undecoded).await;
            let messages = messages.unwrap().into_inner();
            readers.spawn(read(messages, Arc::clone(seen)));
        }
    }
    readers
}

/// EventSources, each on a connection of its own as a browser over HTTP/1.1 has it.
async fn listen(system: &System, seen: &Arc<Seen>) -> JoinSet<()> {
    let mut readers = JoinSet::new();
    for number in 0..EVENT_SOURCES {
        let client: Client<HttpConnector, Empty<Bytes>> =
            Client::builder(TokioExecutor::new()).build_http();
        let token = system.readers[number % system.readers.len()].expose();
        let request = Request::get(format!("{}/events", system.gateway_url))
            .header("authorization", format!("Bearer {token}"));
        let answer = client.request(request.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let (seen, mut body) = (Arc::clone(seen), answer.into_body());
        readers.spawn(async move {
            while let Some(Ok(_)) = body.frame().await {
                seen.messages.fetch_add(1, Ordering::Relaxed);
            }
            seen.ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    readers
}

/// A stream of a proxy.
struct Proxy {
    up: mpsc::Sender<StreamUsageRequest>,
    down: Streaming<modash_proto::v1::StreamUsageResponse>,
    replica_id: String,
}

impl Proxy {
    async fn connect(system: &System, number: usize) -> Self {
        let (up, requests) = mpsc::channel(16);
        let channel = system.channel(None).await;
        let mut client =
            IngestServiceClient::with_interceptor(channel, Bearer::new(&system.ingest));
        let down = client.stream_usage(ReceiverStream::new(requests)).await.unwrap().into_inner();
        let replica_id = format!("replica-{number}");
        let proxy = Self { up, down, replica_id: replica_id.clone() };
        proxy.say(Up::Hello(Hello { replica_id, next_sequence: 1, ..Hello::default() })).await;
        proxy
    }

    async fn say(&self, message: Up) {
        self.up.send(StreamUsageRequest { message: Some(message) }).await.unwrap();
    }

    async fn send_all(mut self, batches: Vec<Vec<UsageEvent>>) {
        let mut first_sequence = 1;
        for events in batches {
            let next = first_sequence + events.len() as u64;
            self.say(Up::Batch(EventBatch { first_sequence, events, ..Default::default() })).await;
            first_sequence = next;
        }
        loop {
            match self.down.message().await.unwrap().unwrap().message.unwrap() {
                Down::Ack(ack) if ack.sequence == first_sequence - 1 => return,
                Down::Reject(reject) => panic!("{reject:?}"),
                _ => {}
            }
        }
    }
}

/// Events a second, from the first batch sent to the last one acknowledged.
async fn ingest(system: &System) -> f64 {
    let mut proxies = Vec::new();
    for number in 0..STREAMS {
        let proxy = Proxy::connect(system, number).await;
        let event = || UsageEvent { replica_id: proxy.replica_id.clone(), ..event() };
        let batches: Vec<Vec<_>> =
            (0..BATCHES).map(|_| (0..BATCH).map(|_| event()).collect()).collect();
        proxies.push((proxy, batches));
    }
    let begun = Instant::now();
    let mut sending = JoinSet::new();
    for (proxy, batches) in proxies {
        sending.spawn(proxy.send_all(batches));
    }
    sending.join_all().await;
    (STREAMS * BATCHES * BATCH) as f64 / begun.elapsed().as_secs_f64()
}

/// Hundredths of a second of CPU: analytics, gateway, this process (proxies and readers),
/// everything else of the machine (PostgreSQL).
type Cpu = [u64; 4];

fn cpu(system: &System) -> Cpu {
    // User and system time are the 14th and 15th field, the name before them in brackets.
    let of = |stat: String| -> u64 {
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let process = |pid: u32| of(fs::read_to_string(format!("/proc/{pid}/stat")).unwrap());
    let parts =
        [process(system.analytics.id()), process(system.gateway.id()), process(std::process::id())];
    let all = fs::read_to_string("/proc/stat").unwrap();
    let fields = all.lines().next().unwrap().split_whitespace().skip(1);
    let times: Vec<u64> = fields.map(|field| field.parse().unwrap()).collect();
    // User, nice, system, interrupts.
    let busy = times[0] + times[1] + times[2] + times[5] + times[6];
    [parts[0], parts[1], parts[2], busy.saturating_sub(parts.iter().sum())]
}

/// The median of some rounds, after one that does not count, and says what they cost.
async fn rate(system: &System, rounds: usize) -> f64 {
    ingest(system).await;
    let (mut rates, begun, before) = (Vec::new(), Instant::now(), cpu(system));
    for _ in 0..rounds {
        rates.push(ingest(system).await);
    }
    let (took, after) = (begun.elapsed().as_secs_f64(), cpu(system));
    rates.sort_by(f64::total_cmp);
    println!("{rates:.0?} events/s");
    let events = (rounds * STREAMS * BATCHES * BATCH) as f64;
    for (at, name) in ["analytics", "gateway", "proxies and readers", "all else"].iter().enumerate()
    {
        let seconds = (after[at] - before[at]) as f64 / 100.0;
        let micros = 1e6 * seconds / events;
        println!("  {name}: {:.2} cores, {micros:.2} µs of CPU an event", seconds / took);
    }
    rates[rounds / 2]
}

/// Requests that run and get on, as the proxy in front of them tells.
async fn run_requests(system: &System) -> AbortHandle {
    let proxy = Proxy::connect(system, STREAMS).await;
    let ids: Vec<String> = (0..RUNNING).map(|_| event().event_id).collect();
    let telling = async move {
        for tick in 0_u64.. {
            let requests = ids.iter().map(|id| LiveRequest {
                event_id: id.clone(),
                replica_id: proxy.replica_id.clone(),
                model: Some("a-model-with-a-name-of-usual-length".to_owned()),
                phase: RequestPhase::Streaming.into(),
                content_events: tick,
                ..LiveRequest::default()
            });
            let requests = requests.collect();
            proxy.say(Up::Live(LiveUpdate { snapshot: true, requests, part: None })).await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    tokio::spawn(telling).abort_handle()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn a_thousand_subscriptions_and_two_hundred_event_sources_beside_ingest() {
    let system = System::start().await;
    let telling = run_requests(&system).await;
    let alone = rate(&system, 5).await;
    let at_rest = [&system.analytics, &system.gateway].map(|it| memory(it, "VmRSS"));
    let (subscribed, heard) = (Arc::<Seen>::default(), Arc::<Seen>::default());
    let mut readers = subscribe(&system, &subscribed).await;
    // One that takes what fits into its window, and then nothing more.
    let mut slow = AnalyticsServiceClient::new(reader(&system, 0, Some(1_024)).await);
    let mut unread = slow.subscribe(SubscribeRequest::default()).await.unwrap().into_inner();
    let mut sources = listen(&system, &heard).await;
    let beside = rate(&system, 5).await;
    // Each reader has had more messages than wait for one that does not read.
    eventually(PATIENCE, || async {
        let messages = subscribed.messages.load(Ordering::Relaxed);
        if messages > 30 * SUBSCRIPTIONS { Ok(()) } else { Err(format!("{messages} messages")) }
    })
    .await;
    let with_all = [&system.analytics, &system.gateway].map(|it| memory(it, "VmRSS"));
    let most = [&system.analytics, &system.gateway].map(|it| memory(it, "VmHWM"));

    let missed = async {
        loop {
            let message = unread.message().await.unwrap().unwrap().message;
            if let Some(Message::Missed(missed)) = message {
                return missed.messages;
            }
        }
    };
    let missed = tokio::time::timeout(PATIENCE, missed).await.expect("the slow one is told so");
    for (name, seen) in [("subscription", &subscribed), ("EventSource", &heard)] {
        assert_eq!(seen.ended.load(Ordering::Relaxed), 0, "no {name} is cut off");
        assert_eq!(seen.missed.load(Ordering::Relaxed), 0, "no {name} that reads misses anything");
    }
    assert!(heard.messages.load(Ordering::Relaxed) > 10 * EVENT_SOURCES, "they are told");
    let grown = |at: usize| with_all[at].saturating_sub(at_rest[at]);
    assert!(grown(0) < SUBSCRIPTIONS as u64 * MOST_OF_SUBSCRIPTION, "{} MiB", grown(0) >> 20);
    assert!(grown(1) < EVENT_SOURCES as u64 * MOST_OF_EVENT_SOURCE, "{} MiB", grown(1) >> 20);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "ingest alone {alone:.0} events/s, with {SUBSCRIPTIONS} subscriptions and \
         {EVENT_SOURCES} EventSources {beside:.0}: {:.1} %; the slow one missed {missed} messages",
        100.0 * beside / alone
    );
    for (at, (name, each)) in
        [("analytics", SUBSCRIPTIONS), ("gateway", EVENT_SOURCES)].into_iter().enumerate()
    {
        println!(
            "{name}: {:.0} MiB at rest, {:.0} with all ({:.0} KiB each), {:.0} at most",
            mib(at_rest[at]),
            mib(with_all[at]),
            grown(at) as f64 / 1024.0 / each as f64,
            mib(most[at])
        );
    }
    readers.abort_all();
    sources.abort_all();
    telling.abort();
}
