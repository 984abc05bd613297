//! Live changes: `GET /events` as server-sent events, and `Subscribe` in gRPC-Web. One
//! subscription at analytics feeds all streams of callers who see the same; each stream
//! folds for itself.

mod fold;
mod frame;
mod hubs;
mod live;
mod log;
mod message;
mod outbox;
mod source;
mod stream;
mod subscribe;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use http::{
    Extensions, HeaderName, Method, StatusCode,
    header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE},
};
use modash_access::{Access, Pass};
use modash_proto::v1::{Connected, LiveRequest, RequestStateUpdated, UsageUpdated};
use prost_reflect::MessageDescriptor;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    error,
    media_type::accepts,
    metrics::{Counted, GatewayMetrics},
    page::PageSettings,
    session::{self, Lease},
    state::App,
};
use fold::{Fold, MOST_REQUESTS};
use frame::Frame;
use live::Live;
use log::{Change, Event, Log, milliseconds_since_1970};
use outbox::{Held, Outbox};
use stream::{End, Form, Stream, Topics};

pub(crate) use hubs::Hubs;
pub(crate) use subscribe::serve as subscribe;

const EVENT_STREAM: &str = "text/event-stream";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Events that a stream holds for a client that does not read.
const BUFFERED_EVENTS: usize = 64;
/// A snapshot of a large installation is larger than gRPC's usual 4 MiB.
const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;

/// How often a stream looks whether its caller would still be let in.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(2);

/// Feeds the streams of one subscription. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    instance: String,
    log: Mutex<Log>,
    newest: watch::Sender<u64>,
    subscribed: AtomicBool,
    /// Bytes that wait for the clients of all streams.
    waiting_bytes: Arc<AtomicUsize>,
    descriptor: MessageDescriptor,
    page: PageSettings,
    metrics: GatewayMetrics,
}

impl Hub {
    /// A hub without events. `descriptor` is that of LiveRequest; every stream is
    /// told `page`.
    pub(crate) fn new(
        descriptor: MessageDescriptor,
        page: PageSettings,
        metrics: GatewayMetrics,
    ) -> Self {
        let mut instance = uuid::Uuid::new_v4().simple().to_string();
        instance.truncate(8);
        Self {
            shared: Arc::new(Shared {
                instance,
                log: Mutex::default(),
                newest: watch::Sender::new(0),
                subscribed: AtomicBool::new(false),
                waiting_bytes: Arc::default(),
                descriptor,
                page,
                metrics,
            }),
        }
    }

    /// A hub without events that counts with this one.
    fn another(&self) -> Self {
        let shared = &*self.shared;
        let new = Self::new(shared.descriptor.clone(), shared.page.clone(), shared.metrics.clone());
        let mut new = Arc::into_inner(new.shared).unwrap_or_else(|| unreachable!("it is new"));
        new.waiting_bytes = shared.waiting_bytes.clone();
        Self { shared: Arc::new(new) }
    }

    /// Whether changes arrive from analytics.
    fn is_subscribed(&self) -> bool {
        self.shared.subscribed.load(Ordering::Relaxed)
    }

    /// Waits until analytics has told what is in flight.
    async fn subscribed(&self) {
        let mut newest = self.shared.newest.subscribe();
        let subscribed = |_: &u64| self.is_subscribed();
        let _ = newest.wait_for(subscribed).await;
    }

    /// Bytes that wait for the clients of all streams.
    pub(crate) fn waiting_bytes(&self) -> Arc<AtomicUsize> {
        self.shared.waiting_bytes.clone()
    }

    fn instance(&self) -> &str {
        &self.shared.instance
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Log) -> T) -> T {
        use_it(&mut self.shared.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, change: Change) {
        let seq = self.with(|log| log.push(change));
        self.shared.metrics.events.inc();
        self.shared.newest.send_replace(seq);
    }

    fn after(&self, seq: u64) -> Option<Vec<Arc<Event>>> {
        self.with(|log| log.after(seq))
    }

    /// Analytics told what is in flight. `truncated`: more than that is. `all_new`:
    /// totals may have changed unnoticed before.
    fn connected(&self, connected: Connected, all_new: bool) {
        let Connected { version, requests, truncated, .. } = connected;
        let was_lost = !self.shared.subscribed.swap(true, Ordering::Relaxed);
        if was_lost {
            tracing::info!("live events arrive from analytics");
            self.shared.metrics.subscribed.inc();
        }
        if all_new {
            self.push(Change::Usage { requests: None, oldest_started_at: None });
        }
        self.with(|log| log.version = version);
        let requests = self.live(&requests);
        let live = was_lost.then_some(true);
        self.push(Change::Requests { requests, truncated, snapshot: !truncated, live });
    }

    /// Analytics is gone, which every stream is told; whether it was there before.
    fn lost(&self) -> bool {
        let was_subscribed = self.shared.subscribed.swap(false, Ordering::Relaxed);
        if was_subscribed {
            self.shared.metrics.subscribed.dec();
            let (requests, live) = (Vec::new(), Some(false));
            self.push(Change::Requests { requests, truncated: false, snapshot: false, live });
        }
        was_subscribed
    }

    fn usage_updated(&self, update: &UsageUpdated) {
        let started = update.oldest_started_at.as_ref();
        self.push(Change::Usage {
            requests: Some(update.requests),
            oldest_started_at: started
                .map(|time| time.seconds as f64 * 1_000.0 + f64::from(time.nanos) / 1_000_000.0),
        });
    }

    fn requests_updated(&self, update: &RequestStateUpdated) {
        let requests = self.live(&update.requests);
        let truncated = update.truncated;
        self.push(Change::Requests { requests, truncated, snapshot: false, live: None });
    }

    fn live(&self, requests: &[LiveRequest]) -> Vec<Live> {
        requests.iter().filter_map(|request| Live::new(&self.shared.descriptor, request)).collect()
    }

    /// Opens a stream at the newest event, or where the client left off.
    fn open(&self, last_event_id: Option<&str>) -> Opening {
        let newest = self.shared.newest.subscribe();
        let left_off = last_event_id.and_then(|id| {
            let (instance, seq) = id.rsplit_once('-')?;
            (instance == self.instance()).then(|| seq.parse().ok())?
        });
        self.with(|log| {
            let missed = left_off.and_then(|seq| log.missed_since(seq));
            let seq = log.newest();
            let mut fold = Fold::new(seq);
            for event in missed.iter().flatten() {
                fold.add(event);
            }
            let (in_flight, truncated) = log.in_flight(MOST_REQUESTS);
            Opening { seq, fold, newest, resumed: missed.is_some(), in_flight, truncated }
        })
    }

    fn connected_frame(&self, opening: &Opening, viewer: Option<&str>) -> Option<Frame> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Data<'a> {
            version: &'static str,
            instance: &'a str,
            seq: u64,
            resumed: bool,
            now: u64,
            #[serde(flatten)]
            page: &'a PageSettings,
            /// Whose stream it is: a page that was made for another is loaded anew.
            #[serde(skip_serializing_if = "Option::is_none")]
            viewer: Option<&'a str>,
            /// Whether the list is known to be right at this moment.
            live: bool,
            requests: Vec<&'a RawValue>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            truncated: bool,
        }
        let data = Data {
            version: env!("CARGO_PKG_VERSION"),
            instance: self.instance(),
            seq: opening.seq,
            resumed: opening.resumed,
            now: milliseconds_since_1970(),
            page: &self.shared.page,
            viewer,
            live: self.is_subscribed(),
            requests: opening.in_flight.iter().map(|live| &*live.json).collect(),
            truncated: opening.truncated,
        };
        Frame::event("connected", self.instance(), opening.seq, &data)
    }
}

impl Hub {
    /// `connected` of `Subscribe`, and the number of the newest change in it.
    fn connected_message(&self, topics: Topics) -> (u64, Frame) {
        let most = if topics.request_state { usize::MAX } else { 0 };
        let (seq, version, (in_flight, truncated)) =
            self.with(|log| (log.newest(), log.version.clone(), log.in_flight(most)));
        let truncated = truncated && topics.request_state;
        // Encoded without the lock, for which all streams wait.
        (seq, message::connected(&version, &in_flight, truncated))
    }
}

/// What a new stream begins with.
struct Opening {
    seq: u64,
    fold: Fold,
    newest: watch::Receiver<u64>,
    resumed: bool,
    in_flight: Vec<Live>,
    truncated: bool,
}

/// Serves `/events`.
pub(crate) async fn serve(State(app): State<App>, request: Request) -> Response {
    if request.method() != Method::GET {
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET")]).into_response();
    }
    if !accepts(request.headers(), EVENT_STREAM) {
        let status =
            Status::invalid_argument(format!("this is {EVENT_STREAM}; Accept excludes it"));
        return error::response_with(StatusCode::NOT_ACCEPTABLE, &status);
    }
    let pass = request.extensions().get::<Pass>().cloned();
    let place = match app.places.events(request.extensions().get()) {
        Ok(place) => place,
        Err(status) => return error::response(&status),
    };
    let seat = app.hubs.seat(pass.as_ref(), request.headers().get(AUTHORIZATION)).await;
    let hub = seat.hub().clone();
    let opening = hub.open(last_event_id(&request).as_deref());
    let (out, frames) = Outbox::new(BUFFERED_EVENTS, &hub.shared.waiting_bytes);
    let viewer = session::viewer(&app.access, request.headers());
    let connected = hub.connected_frame(&opening, viewer.as_deref());
    for frame in [Some(Frame::retry()), connected].into_iter().flatten() {
        // It is new and has room.
        let _ = out.send(frame);
    }
    let Opening { seq, fold, newest, .. } = opening;
    let stream = Stream { hub, seq, fold, newest, out, form: Form::Events, missed: 0 };
    let body = feed(&app, request.extensions(), stream, frames, (place, seat));
    let headers = [
        (CONTENT_TYPE, EVENT_STREAM),
        (CACHE_CONTROL, "no-cache, no-transform"),
        (ACCEL_BUFFERING, "no"),
    ];
    (headers, body).into_response()
}

/// Runs a stream until it ends, or its caller may not read any more, and gives what the
/// caller reads. What is `held` is held until then.
fn feed(
    app: &App,
    caller: &Extensions,
    mut stream: Stream,
    frames: mpsc::Receiver<Held>,
    held: impl Send + 'static,
) -> Body {
    let counted = Counted::new(&app.metrics.event_streams);
    let session_ended = app.sessions.ended(caller.get::<Lease>().copied());
    let pass = caller.get::<Pass>().cloned();
    let (access, shutdown, slow_readers) =
        (app.access.clone(), app.shutdown.clone(), app.metrics.slow_readers.clone());
    tokio::spawn(async move {
        let _until_the_end = (held, counted);
        let end = tokio::select! {
            end = stream.run(shutdown) => end,
            () = refused(&access, pass) => End::Refused,
            () = session_ended => End::Refused,
        };
        if end == End::TooSlow {
            slow_readers.inc();
        }
        stream.finish(end);
    });
    let frames =
        ReceiverStream::new(frames).map(|held| Ok::<_, std::convert::Infallible>(held.take().0));
    Body::from_stream(frames)
}

/// Waits until a caller would not be let in any more.
async fn refused(access: &Access, pass: Option<Pass>) {
    let Some(pass) = pass else { return std::future::pending().await };
    while access.renew(&pass).is_ok() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// From the header, which a browser sends by itself, or from the query.
fn last_event_id(request: &Request) -> Option<String> {
    if let Some(id) = request.headers().get(LAST_EVENT_ID) {
        return id.to_str().ok().map(str::to_owned);
    }
    let query = request.uri().query()?.as_bytes();
    let mut pairs = url::form_urlencoded::parse(query);
    pairs.find(|(name, _)| name == "lastEventId").map(|(_, id)| id.into_owned())
}
