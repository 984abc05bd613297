//! What was received and is not yet committed: bounded by the number of events,
//! so that a database that is away stops the streams instead of filling the
//! memory.

use std::{sync::Arc, time::Duration};

use modash_telemetry::TraceContext;
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::store::{Refused, Row};

/// Events that may wait: about 50 MB.
const CAPACITY: u32 = 50_000;

/// Events from which on proxies are asked to slow down.
const LONG: u32 = CAPACITY / 2;

/// Events of one commit.
const GROUP_EVENTS: usize = 5_000;

/// How long the first event of a group waits for others. Under load a group
/// fills while the one before is committed.
const GROUP_WAIT: Duration = Duration::from_millis(20);

/// An event of a batch that can never be stored, found when storing it.
#[derive(Debug, Clone)]
pub(crate) struct LateReject {
    /// Its sequence number.
    pub(crate) sequence: u64,
    /// Its id.
    pub(crate) event_id: String,
    /// What is wrong with it.
    pub(crate) reason: String,
}

/// A checked batch of one stream.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Rows with their sequence numbers.
    pub(crate) rows: Vec<(Row, u64)>,
    /// Events to keep in quarantine.
    pub(crate) refused: Vec<Refused>,
    /// When it was received.
    pub(crate) arrived: Instant,
    /// The proxy's span for the delivery. `None`: nothing in it is traced.
    pub(crate) delivery: Option<TraceContext>,
    /// Told after the commit; dropped without a word if there was none.
    pub(crate) committed: oneshot::Sender<Vec<LateReject>>,
}

#[derive(Debug)]
struct Queued {
    batch: Batch,
    /// Its room in the queue, given back when it is committed.
    room: OwnedSemaphorePermit,
}

/// The streams' end of the queue.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    room: Arc<Semaphore>,
    sender: mpsc::Sender<Queued>,
    closed: CancellationToken,
}

/// The writers' end of the queue.
#[derive(Debug, Clone)]
pub(crate) struct Writers {
    receiver: Arc<Mutex<mpsc::Receiver<Queued>>>,
    closed: CancellationToken,
}

/// A queue and its end for the writers.
pub(crate) fn queue() -> (Queue, Writers) {
    // Room is counted in events; batches without events are few.
    let (sender, receiver) = mpsc::channel(8_192);
    let closed = CancellationToken::new();
    let room = Arc::new(Semaphore::new(CAPACITY as usize));
    (
        Queue { room, sender, closed: closed.clone() },
        Writers { receiver: Arc::new(Mutex::new(receiver)), closed },
    )
}

impl Queue {
    /// Events that may wait.
    pub(crate) const CAPACITY: u32 = CAPACITY;

    /// Queues a batch as soon as there is room; `None` if the queue is closed.
    pub(crate) async fn push(&self, batch: Batch) -> Option<()> {
        let events = u32::try_from(batch.rows.len()).unwrap_or(CAPACITY).clamp(1, CAPACITY);
        let room = Arc::clone(&self.room).acquire_many_owned(events).await.ok()?;
        self.sender.send(Queued { batch, room }).await.ok()
    }

    /// Events that are not committed.
    pub(crate) fn len(&self) -> usize {
        (CAPACITY as usize).saturating_sub(self.room.available_permits())
    }

    /// Whether proxies should send less for a while.
    pub(crate) fn is_long(&self) -> bool {
        self.len() >= LONG as usize
    }

    /// No more batches: the writers end when they have committed the rest.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }
}

/// Batches to be committed together.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) batches: Vec<Batch>,
    rooms: Vec<OwnedSemaphorePermit>,
    events: usize,
}

impl Group {
    fn add(&mut self, queued: Queued) {
        self.events += queued.batch.rows.len();
        self.batches.push(queued.batch);
        self.rooms.push(queued.room);
    }
}

impl Writers {
    /// Returns when the queue is closed, whatever it holds.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// The next batches to commit; `None` when the queue is closed and empty.
    /// One writer gathers while the others commit.
    pub(crate) async fn next_group(&self) -> Option<Group> {
        let mut receiver = self.receiver.lock().await;
        let mut group = Group::default();
        let first = tokio::select! {
            first = receiver.recv() => first,
            () = self.closed.cancelled() => {
                receiver.close();
                receiver.recv().await
            }
        };
        group.add(first?);
        let full_at = Instant::now() + GROUP_WAIT;
        while group.events < GROUP_EVENTS {
            match tokio::time::timeout_at(full_at, receiver.recv()).await {
                Ok(Some(queued)) => group.add(queued),
                Ok(None) | Err(_) => break,
            }
        }
        Some(group)
    }
}
