//! One request from its head to its end: what is known of it, how far it is, and
//! the meter that watches its bytes. It ends exactly once, whoever is last.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::StatusCode;
use modash_metering::{BodyEnd, Calibration, Head, Headers, Limits, Meter, Reading};
use modash_proto::{event_id, v1::RequestPhase};
use uuid::Uuid;

use crate::{
    client_key::ClientKey, fault::meter_looks, request_facts::RequestFacts,
    trace_context::RequestTrace,
};

/// One request and its response.
pub(crate) struct Exchange {
    /// Analytics was told that it runs.
    told: AtomicBool,
    /// UUIDv7 that the usage event will carry.
    pub(crate) id: Uuid,
    /// When the head arrived, in microseconds since 1970.
    pub(crate) started_at: i64,
    started: Instant,
    /// Name of the upstream.
    pub(crate) upstream: Arc<str>,
    /// What the request head says.
    pub(crate) facts: RequestFacts,
    /// Fingerprint of the credential.
    pub(crate) client_key: Option<ClientKey>,
    /// Its place in a trace; `None`: in none.
    pub(crate) trace: Option<RequestTrace>,
    /// How far it is.
    pub(crate) progress: Progress,
    state: Mutex<State>,
}

/// Read by other threads while the request runs.
#[derive(Default)]
pub(crate) struct Progress {
    phase: AtomicU8,
    /// Body bytes from the client.
    pub(crate) request_bytes: AtomicU64,
    /// Body bytes to the client.
    pub(crate) response_bytes: AtomicU64,
    /// Events with content.
    pub(crate) content_events: AtomicU64,
    /// When the first of them came, in microseconds from the start; 0: not yet.
    pub(crate) first_token: AtomicU64,
    /// The request body was read to its end.
    pub(crate) request_ended: AtomicBool,
}

struct State {
    meter: Option<Box<Meter>>,
    metering_failed: bool,
    connect: Option<Duration>,
    sent_at: Option<Duration>,
    upstream_head: Option<Duration>,
    status: Option<u16>,
    end: Option<End>,
}

/// How it ended.
struct End {
    ending: Ending,
    duration: Duration,
}

/// Who or what ended an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The response was handed over in full.
    Complete,
    /// The upstream broke off in mid-response.
    UpstreamBroke,
    /// The client left, or never read the rest.
    ClientClosed,
    /// No connection, or none that gave a response.
    UpstreamUnreachable,
    /// No connection in time, no response head in time, or silence for too long
    /// within a response.
    UpstreamTimeout,
    /// As many connections as allowed, and none became free.
    UpstreamBusy,
}

/// All that is known of a finished exchange.
pub(crate) struct Finished {
    pub(crate) ending: Ending,
    pub(crate) duration: Duration,
    pub(crate) status: Option<u16>,
    pub(crate) connect: Option<Duration>,
    pub(crate) sent_at: Option<Duration>,
    pub(crate) upstream_head: Option<Duration>,
    /// `None`: metering failed by a defect.
    pub(crate) reading: Option<Reading>,
}

/// What a running exchange shows.
pub(crate) struct Glimpse {
    pub(crate) dialect: &'static str,
    pub(crate) operation: modash_metering::Operation,
    pub(crate) model: Option<String>,
    pub(crate) stream: bool,
    pub(crate) user: Option<String>,
}

impl Exchange {
    /// Begins with the request head.
    pub(crate) fn begin(
        head: &Head<'_, impl Headers>,
        upstream: Arc<str>,
        calibration: Arc<Calibration>,
    ) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX);
        let meter = catch_unwind(AssertUnwindSafe(|| {
            meter_looks();
            Meter::of(head, Limits::default()).with_calibration(calibration)
        }))
        .ok()
        .map(Box::new);
        let progress = Progress::default();
        progress.set_phase(RequestPhase::Connecting);
        let facts = RequestFacts::read(head);
        Self {
            // Random bytes of this thread: the generator behind `Uuid::now_v7` is
            // one for all cores, behind a lock and a system call.
            id: uuid::Uuid::from_u128(event_id(micros, rand::random())),
            started_at: i64::try_from(micros).unwrap_or(i64::MAX),
            started: Instant::now(),
            upstream,
            trace: facts.client_span.map(RequestTrace::from),
            facts,
            told: AtomicBool::new(false),
            client_key: None,
            progress,
            state: Mutex::new(State {
                metering_failed: meter.is_none(),
                meter,
                connect: None,
                sent_at: None,
                upstream_head: None,
                status: None,
                end: None,
            }),
        }
    }

    /// A new connection was opened for it.
    pub(crate) fn connected(&self) {
        self.state().connect = Some(self.started.elapsed());
    }

    /// A connection is at hand and the request is being sent.
    pub(crate) fn sending(&self) {
        self.state().sent_at = Some(self.started.elapsed());
        self.progress.set_phase(RequestPhase::Waiting);
    }

    /// A piece of the request body passed.
    pub(crate) fn request_data(&self, bytes: &[u8]) {
        self.progress.request_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.observe(|meter| meter.request_data(bytes));
    }

    /// The request body ended.
    pub(crate) fn request_end(&self) {
        self.progress.request_ended.store(true, Ordering::Release);
        self.observe(Meter::request_end);
    }

    /// The upstream's response head arrived.
    pub(crate) fn response_head(&self, status: StatusCode, headers: &impl Headers) {
        let now = self.started.elapsed();
        let mut state = self.state();
        state.upstream_head = Some(now.saturating_sub(state.sent_at.unwrap_or(now)));
        state.status = Some(status.as_u16());
        drop(state);
        self.observe(|meter| meter.response_head(status, headers));
    }

    /// modash itself answers, with this status.
    pub(crate) fn answered_by_modash(&self, status: u16) {
        self.state().status = Some(status);
    }

    /// Bytes of the response body went to the client.
    pub(crate) fn forwarded(&self, length: usize) {
        self.progress.response_bytes.fetch_add(length as u64, Ordering::Relaxed);
    }

    /// A piece of the response body came from the upstream.
    pub(crate) fn response_data(&self, bytes: &[u8]) {
        let at = self.started.elapsed();
        self.observe(|meter| {
            meter.response_data(bytes, at);
            self.progress.note_content(meter);
        });
    }

    /// What a running exchange shows now.
    pub(crate) fn glimpse(&self) -> Option<Glimpse> {
        let state = self.state();
        let meter = state.meter.as_ref()?;
        Some(Glimpse {
            dialect: meter.dialect().id(),
            operation: meter.operation(),
            model: meter.model().or(meter.model_requested()).map(str::to_owned),
            stream: meter.stream(),
            user: meter.user().map(str::to_owned),
        })
    }

    /// Analytics is told that it runs, so that it has to be told of its end too.
    pub(crate) fn note_told(&self) {
        self.told.store(true, Ordering::Relaxed);
    }

    /// Whether analytics was told that it runs.
    pub(crate) fn was_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// It ends now.
    pub(crate) fn end(&self, ending: Ending) {
        let duration = self.started.elapsed();
        self.state().end = Some(End { ending, duration });
        self.progress.set_phase(RequestPhase::Ended);
    }

    /// Takes the result out; `None` if it has not ended or was taken before.
    pub(crate) fn take_finished(&self) -> Option<Finished> {
        let mut state = self.state();
        let End { ending, duration } = state.end.take()?;
        let (meter, status) = (state.meter.take(), state.status);
        let State { connect, sent_at, upstream_head, .. } = *state;
        drop(state);
        // Who leaves after the terminal event had everything (Codex always does).
        let had_all = meter.as_ref().is_some_and(|meter| meter.is_complete());
        let ending = match ending {
            Ending::ClientClosed | Ending::UpstreamBroke | Ending::UpstreamTimeout if had_all => {
                Ending::Complete
            }
            _ => ending,
        };
        let body_end = if ending == Ending::Complete { BodyEnd::Complete } else { BodyEnd::Broken };
        let reading = meter.and_then(|mut meter| {
            let finish = AssertUnwindSafe(|| {
                meter_looks();
                meter.finish(body_end, duration)
            });
            catch_unwind(finish).inspect_err(|_| self.state().metering_failed = true).ok()
        });
        Some(Finished { ending, duration, status, connect, sent_at, upstream_head, reading })
    }

    /// Whether metering failed by a defect.
    pub(crate) fn metering_failed(&self) -> bool {
        self.state().metering_failed
    }

    /// Shows something to the meter. A defect there ends metering of this
    /// exchange and nothing else.
    fn observe(&self, show: impl FnOnce(&mut Meter)) {
        let mut state = self.state();
        if let Some(meter) = state.meter.as_deref_mut()
            && catch_unwind(AssertUnwindSafe(|| {
                meter_looks();
                show(meter);
            }))
            .is_err()
        {
            state.meter = None;
            state.metering_failed = true;
        }
    }

    /// Only the emitter's glimpses ever contend for it, a few times a second.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn set_phase(&self, phase: RequestPhase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// The phase it is in.
    pub(crate) fn phase(&self) -> RequestPhase {
        RequestPhase::try_from(i32::from(self.phase.load(Ordering::Relaxed))).unwrap_or_default()
    }

    fn note_content(&self, meter: &Meter) {
        let events = meter.content_events();
        if events == 0 {
            return;
        }
        if self.content_events.swap(events, Ordering::Relaxed) == 0 {
            let first = meter.first_content_at().unwrap_or_default().as_micros();
            self.first_token
                .store(u64::try_from(first).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
            self.set_phase(RequestPhase::Streaming);
        }
    }
}
