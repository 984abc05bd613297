//! A proxy in this process between a scripted upstream and an analytics that
//! only remembers, and a client that sees exact bytes.

// Each test file uses a part of it; helpers of tests may panic.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod frames;
pub mod identity;
pub mod streaming;
pub mod tls;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use modash_proto::v1::{
    Ack, EventBatch, Hello, LiveRequest, Refusal, Reject, StreamUsageRequest, StreamUsageResponse,
    UsageEvent,
    ingest_service_server::{IngestService, IngestServiceServer},
    stream_usage_request::Message as Up,
    stream_usage_response::Message as Down,
};
use modash_proxy::{ClientConfig, ClientTlsFiles, Proxy, ProxyConfig, UpstreamConfig};
use modash_runtime::ServiceContext;
use modash_test_support::{FakeUpstream, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// Long enough for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Remembers what it is sent, and acknowledges it.
#[derive(Clone, Default)]
pub struct FakeAnalytics {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Streams end at a batch with an event of this path.
    refused_path: Option<String>,
    /// Stand-ins and what they stand for.
    quarantine: Vec<(UsageEvent, Refusal)>,
    hellos: Vec<Hello>,
    events: Vec<UsageEvent>,
    live: Vec<LiveRequest>,
}

impl FakeAnalytics {
    /// Serves on this listener.
    pub fn serve(&self, listener: TcpListener) -> JoinHandle<()> {
        let service = IngestServiceServer::new(self.clone());
        tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
        })
    }

    /// The events, once there are `count`.
    pub async fn events(&self, count: usize) -> Vec<UsageEvent> {
        eventually(PATIENCE, || async {
            let events = self.seen.lock().unwrap().events.clone();
            if events.len() == count { Ok(events) } else { Err(format!("{events:#?}")) }
        })
        .await
    }

    /// The one event of a test with one request.
    pub async fn event(&self) -> UsageEvent {
        self.events(1).await.remove(0)
    }

    /// Everything that was said of running requests.
    pub fn live(&self) -> Vec<LiveRequest> {
        self.seen.lock().unwrap().live.clone()
    }

    /// From now on ends streams at a batch with an event of this path.
    pub fn refuse(&self, path: &str) {
        self.seen.lock().unwrap().refused_path = Some(path.to_owned());
    }

    /// Stand-ins and what they stand for.
    pub fn quarantine(&self) -> Vec<(UsageEvent, Refusal)> {
        self.seen.lock().unwrap().quarantine.clone()
    }

    /// How streams began.
    pub fn hellos(&self) -> Vec<Hello> {
        self.seen.lock().unwrap().hellos.clone()
    }
}

impl Seen {
    /// What is answered to a message; an error ends the stream.
    fn take(&mut self, message: Option<Up>) -> Result<Vec<Down>, Status> {
        match message {
            Some(Up::Hello(hello)) => self.hellos.push(hello),
            Some(Up::Live(update)) => self.live.extend(update.requests),
            Some(Up::Batch(batch)) => return self.take_batch(batch),
            _ => {}
        }
        Ok(Vec::new())
    }

    fn take_batch(&mut self, batch: EventBatch) -> Result<Vec<Down>, Status> {
        let refused = |event: &UsageEvent| Some(&event.path) == self.refused_path.as_ref();
        if batch.events.iter().any(refused) {
            return Err(Status::invalid_argument("an event is refused"));
        }
        let mut answers = Vec::new();
        let mut sequence = batch.first_sequence;
        for event in batch.events {
            match batch.refusals.iter().find(|refusal| refusal.sequence == sequence) {
                Some(refusal) => {
                    let event_id = event.event_id.clone();
                    answers.push(Down::Reject(Reject { sequence, event_id, ..Reject::default() }));
                    self.quarantine.push((event, refusal.clone()));
                }
                None => self.events.push(event),
            }
            sequence += 1;
        }
        answers.push(Down::Ack(Ack { sequence: sequence - 1 }));
        Ok(answers)
    }
}

#[tonic::async_trait]
impl IngestService for FakeAnalytics {
    type StreamUsageStream = ReceiverStream<Result<StreamUsageResponse, Status>>;

    async fn stream_usage(
        &self,
        request: Request<Streaming<StreamUsageRequest>>,
    ) -> Result<Response<Self::StreamUsageStream>, Status> {
        let (acks, responses) = mpsc::channel(100);
        let seen = self.seen.clone();
        let mut messages = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                let answers = seen.lock().unwrap().take(message.message);
                let refused = answers.is_err();
                let answers = match answers {
                    Ok(answers) => answers.into_iter().map(Ok).collect(),
                    Err(status) => vec![Err(status)],
                };
                for answer in answers {
                    let answer =
                        answer.map(|message| StreamUsageResponse { message: Some(message) });
                    if acks.send(answer).await.is_err() {
                        return;
                    }
                }
                if refused {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}

/// A running proxy.
pub struct TestProxy {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub analytics: FakeAnalytics,
    pub context: ServiceContext,
    pub running: JoinHandle<Result<(), modash_proxy::Error>>,
}

impl TestProxy {
    /// In front of an upstream, with analytics at hand.
    pub async fn start(upstream: &FakeUpstream) -> Self {
        Self::start_with(|config| config.upstream = Some(upstream.url().parse().unwrap())).await
    }

    /// With a configuration of the test's own.
    pub async fn start_with(change: impl FnOnce(&mut ProxyConfig)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let analytics = FakeAnalytics::default();
        let mut config = config(listener.local_addr().unwrap());
        analytics.serve(listener);
        change(&mut config);
        let proxy = Proxy::bind(config).await.unwrap();
        let (address, admin) = (proxy.address(), proxy.admin_address());
        let context = ServiceContext::new(Duration::from_secs(20));
        let running = tokio::spawn(proxy.run(context.clone()));
        Self { address, admin, analytics, context, running }
    }

    /// In front of a listener whose connections the test serves by itself, with one
    /// thread.
    pub async fn before_listener(change: impl FnOnce(&mut ProxyConfig)) -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self::start_with(|config| {
            config.upstream = Some(format!("http://{address}").parse().unwrap());
            config.threads = 1;
            change(config);
        })
        .await;
        (proxy, listener)
    }

    /// Sends these bytes and gives everything that comes back until the
    /// connection ends.
    pub async fn exchange(&self, request: &str) -> String {
        let mut connection = self.send(request).await;
        let mut response = Vec::new();
        connection.read_to_end(&mut response).await.unwrap();
        String::from_utf8(response).unwrap()
    }

    /// A counter as `/metrics` has it.
    pub async fn counter(&self, name: &str) -> u64 {
        let mut connection = TcpStream::connect(self.admin).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).await.unwrap();
        let line = format!("modash_proxy_{name}_total ");
        let value = text.lines().find_map(|text| text.strip_prefix(&line));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until a counter of `/metrics` has this value: a client may be told
    /// before its connection is counted.
    pub async fn counted(&self, name: &str, value: u64) {
        eventually(PATIENCE, || async {
            let counted = self.counter(name).await;
            if counted == value { Ok(()) } else { Err(format!("{counted} {name}, not {value}")) }
        })
        .await;
    }

    /// Sends these bytes and leaves the connection open.
    pub async fn send(&self, request: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        connection
    }
}

/// Everything local, one thread, no upstream.
pub fn config(analytics: SocketAddr) -> ProxyConfig {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    ProxyConfig {
        listen: any,
        admin_listen: any,
        upstream: None,
        named_upstreams: Vec::new(),
        gateway: None,
        allowed_hosts: modash_proxy::AllowedHosts::default(),
        analytics_tls: ClientTlsFiles::default(),
        client_tokens: modash_access::Access::open(),
        access: modash_access::Access::open(),
        gateway_access: modash_access::Access::open(),
        analytics_token: None,
        analytics: vec![format!("http://{analytics}").parse().unwrap()],
        threads: 2,
        replica_id: "test".to_owned(),
        upstream_config: UpstreamConfig::default(),
        clients: ClientConfig::default(),
        client_key_secret: Some(b"test secret".to_vec()),
        stream_usage: modash_proxy::StreamUsage::Observe,
        spool_directory: None,
        spool_bytes: 1 << 30,
        spool_fsync: None,
        spool_events: 1000,
        access_log: (modash_proxy::AccessLogFormat::Off, modash_proxy::Share(1.0)),
        trace_context: modash_proxy::TraceContextMode::Pass,
    }
}

/// Reads until the text so far ends with `end`.
pub async fn read_until(connection: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let read = async {
        while !text.ends_with(end) {
            let mut buffer = [0; 4096];
            let length = connection.read(&mut buffer).await.unwrap();
            assert!(length > 0, "the connection ended after {text:?}");
            text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, read).await;
    assert!(in_time.is_ok(), "waited for {end:?} and got {text:?}");
    text
}

/// A POST that asks for the connection to be closed afterwards.
pub fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
