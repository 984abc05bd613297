//! The writers: commit what all streams queued, as often as it takes; find the
//! event that the database refuses among those that it would take.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::Instrument as _;
use uuid::Uuid;

use super::queue::{Batch, Group, LateReject, Writers};
use crate::{
    error::LimitedLog,
    live::Live,
    metrics::IngestMetrics,
    store::{Error, Refused, Row, Store, WRITE_TIMEOUT},
    trace,
};

/// Pauses between attempts: the first one, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a rejected event's proxy is told; the database's words stay here.
const REFUSED: &str = "the database refused a value of this event";

/// Commits groups of batches.
#[derive(Debug, Clone)]
pub(crate) struct Committer {
    store: Arc<Store>,
    live: Arc<Live>,
    metrics: IngestMetrics,
    log: Arc<LimitedLog>,
}

/// A row's way back to its stream: the batch's place in the group, and the
/// sequence number.
type Origin = (usize, u64);

/// What became of rows.
#[derive(Debug, Default)]
struct Outcome {
    /// Ids that were not there before.
    inserted: Vec<Uuid>,
    /// Rows that the database refused.
    poisoned: Vec<Uuid>,
}

impl Committer {
    pub(crate) fn new(store: Arc<Store>, live: Arc<Live>, metrics: IngestMetrics) -> Self {
        Self { store, live, metrics, log: Arc::default() }
    }

    /// Commits until the queue is closed and empty.
    pub(crate) async fn run(self, writers: Writers) {
        tokio::select! {
            () = self.store.prepared() => {}
            // What is queued stays with the proxies.
            () = writers.closed() => return,
        }
        while let Some(group) = writers.next_group().await {
            self.commit(group).await;
        }
    }

    async fn commit(&self, mut group: Group) {
        let begun = Instant::now();
        let mut tagged: Vec<(Row, Origin)> = Vec::new();
        let mut refused = Vec::new();
        for (at, batch) in group.batches.iter_mut().enumerate() {
            let waited = begun.saturating_duration_since(batch.arrived);
            self.metrics.queue_wait.observe(waited.as_secs_f64());
            let rows = std::mem::take(&mut batch.rows).into_iter();
            tagged.extend(rows.map(|(row, sequence)| (row, (at, sequence))));
            refused.append(&mut batch.refused);
        }
        // Writers that take rows in one order do not wait for each other in
        // circles.
        tagged.sort_unstable_by_key(|(row, _)| (row.started_at, row.id));
        let (rows, origins): (Vec<Row>, Vec<Origin>) = tagged.into_iter().unzip();
        let deliveries = group.batches.iter().filter_map(|batch| batch.delivery);
        let span = trace::commit(deliveries, rows.len());
        let outcome = self.store_all(&rows, refused).instrument(span).await;
        self.metrics.commit.observe(begun.elapsed().as_secs_f64());
        self.count(&rows, &outcome);
        self.live.committed(&rows, &outcome.inserted);
        acknowledge(group.batches, &rows, &origins, &outcome.poisoned);
    }

    /// Stores rows that are in order; returns only when all are stored, or
    /// refused for good.
    async fn store_all(&self, rows: &[Row], refused: Vec<Refused>) -> Outcome {
        let mut outcome = Outcome::default();
        // Halves of a refused part are tried again, down to the single row.
        let mut parts = vec![(rows, refused)];
        while let Some((part, refused)) = parts.pop() {
            match self.store_part(part, &refused).await {
                Ok(mut inserted) => outcome.inserted.append(&mut inserted),
                Err(detail) => match part {
                    [] => {
                        self.log.write(|held_back| {
                            tracing::error!(
                                error = detail,
                                held_back,
                                "rejected events could not be kept in quarantine"
                            );
                        });
                    }
                    [row] => {
                        tracing::error!(event_id = %row.id, error = detail, "event rejected");
                        self.metrics.rejected.get_or_create(&[("reason", "refused")]).inc();
                        outcome.poisoned.push(row.id);
                        let (run, event) = (row.run.clone(), (*row.event).clone());
                        let reason = REFUSED.to_owned();
                        let poisoned = Refused { run, event, unreadable: None, reason };
                        parts.push((&[], [refused, vec![poisoned]].concat()));
                    }
                    rows => {
                        let (left, right) = rows.split_at(rows.len() / 2);
                        parts.push((right, Vec::new()));
                        parts.push((left, refused));
                    }
                },
            }
        }
        outcome
    }

    /// Tries until the part is stored, or refused for one of its values.
    async fn store_part(&self, rows: &[Row], refused: &[Refused]) -> Result<Vec<Uuid>, String> {
        let mut pause = FIRST_PAUSE;
        let mut refusals = 0;
        loop {
            // A connection that died without a word is noticed here.
            let limit = WRITE_TIMEOUT + Duration::from_secs(5);
            let attempt = tokio::time::timeout(limit, self.store.insert(rows, refused)).await;
            let error = match attempt.unwrap_or(Err(Error::Timeout)) {
                Ok(inserted) => return Ok(inserted),
                Err(error) => error,
            };
            if matches!(error, Error::Value(_)) {
                refusals += 1;
                // The first refusal may be that of a partition dropped just now.
                if refusals > 1 {
                    return Err(error.detail());
                }
                continue;
            }
            self.metrics.retries.inc();
            self.log.write(|held_back| {
                tracing::warn!(
                    error = error.detail(),
                    events = rows.len(),
                    held_back,
                    "commit failed; trying again"
                );
            });
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn count(&self, rows: &[Row], outcome: &Outcome) {
        let committed = outcome.inserted.len() as u64;
        let poisoned = outcome.poisoned.len() as u64;
        self.metrics.committed.inc_by(committed);
        let duplicate = (rows.len() as u64).saturating_sub(committed + poisoned);
        self.metrics.duplicate.inc_by(duplicate);
    }
}

/// Tells each batch that it is committed, and which of its rows never will be.
fn acknowledge(batches: Vec<Batch>, rows: &[Row], origins: &[Origin], poisoned: &[Uuid]) {
    let mut late: Vec<Vec<LateReject>> = batches.iter().map(|_| Vec::new()).collect();
    for (row, (batch, sequence)) in rows.iter().zip(origins) {
        if poisoned.contains(&row.id) {
            late[*batch].push(LateReject {
                sequence: *sequence,
                event_id: row.event.event_id.clone(),
                reason: REFUSED.to_owned(),
            });
        }
    }
    for (batch, late) in batches.into_iter().zip(late) {
        // A stream that ended meanwhile asks again with its next one.
        let _ = batch.committed.send(late);
    }
}
