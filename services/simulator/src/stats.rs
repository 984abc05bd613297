//! What the server counts: every request to an API ends in exactly one of
//! completed, broken or abandoned, so tests can compare with what a proxy saw.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde::Serialize;

use crate::turn::Turn;

/// Counters of a simulator since its start. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    started: AtomicU64,
    completed: AtomicU64,
    broken: AtomicU64,
    abandoned: AtomicU64,
    totals: Mutex<Totals>,
    /// Labels of completed responses, in the order of their ends.
    labels: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Totals {
    models: BTreeMap<String, ModelTotals>,
    dialects: BTreeMap<&'static str, u64>,
}

/// Token totals that were told to clients, by the model named in the response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ModelTotals {
    /// Successful answers that came to their regular end.
    pub responses: u64,
    /// Those among them that told no counts.
    pub responses_without_usage: u64,
    /// All input tokens, cached ones included.
    pub prompt_tokens: u64,
    /// Input tokens read from a cache.
    pub cached_prompt_tokens: u64,
    /// Output tokens, reasoning included.
    pub completion_tokens: u64,
    /// Output tokens spent on reasoning.
    pub reasoning_tokens: u64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Requests to an API whose head arrived.
    pub started: u64,
    /// Responses whose last byte was handed to the connection, errors included.
    pub completed: u64,
    /// Responses that were cut off on purpose.
    pub broken: u64,
    /// Requests whose client left before the end.
    pub abandoned: u64,
    /// Requests that are none of these yet.
    pub in_flight: u64,
    /// Totals by model.
    pub models: BTreeMap<String, ModelTotals>,
    /// Successful answers that came to their regular end, by API.
    pub dialects: BTreeMap<&'static str, u64>,
}

impl Stats {
    /// Responses whose last byte was handed to the connection, errors included.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.shared.completed.load(Relaxed)
    }

    /// Requests to an API whose head arrived.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.shared.started.load(Relaxed)
    }

    /// The labels of completed responses, as `SimulatorConfig::label` has them
    /// read, in the order of their ends.
    #[must_use]
    pub fn completed_labels(&self) -> Vec<String> {
        self.shared.labels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All counters.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let shared = &self.shared;
        let (completed, broken, abandoned) = (
            shared.completed.load(Relaxed),
            shared.broken.load(Relaxed),
            shared.abandoned.load(Relaxed),
        );
        let started = shared.started.load(Relaxed);
        let totals = shared.totals.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            started,
            completed,
            broken,
            abandoned,
            in_flight: started.saturating_sub(completed + broken + abandoned),
            models: totals.models.clone(),
            dialects: totals.dialects.clone(),
        }
    }

    /// Counts the begin of a request.
    pub(crate) fn start(&self) -> Tally {
        self.shared.started.fetch_add(1, Relaxed);
        Tally { stats: self.clone(), told: None, label: None, end: End::Abandoned }
    }
}

/// What one answer tells the client, for the totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    model: String,
    dialect: &'static str,
    totals: ModelTotals,
}

impl Told {
    /// Input and output tokens.
    pub(crate) fn tokens(&self) -> (u64, u64) {
        (self.totals.prompt_tokens, self.totals.completion_tokens)
    }
}

impl From<&Turn> for Told {
    fn from(turn: &Turn) -> Self {
        let mut totals = ModelTotals { responses: 1, ..ModelTotals::default() };
        if turn.announces_usage() {
            totals.prompt_tokens = turn.prompt_tokens;
            totals.cached_prompt_tokens = turn.cached_tokens;
            totals.completion_tokens = turn.reported_output_tokens();
            totals.reasoning_tokens = totals.completion_tokens.min(turn.reasoning_tokens);
        } else {
            totals.responses_without_usage = 1;
        }
        Self { model: turn.model.clone(), dialect: turn.dialect.name(), totals }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Completed,
    Broken,
    Abandoned,
}

/// Counts how one request ends, when it is dropped.
#[derive(Debug)]
pub(crate) struct Tally {
    stats: Stats,
    told: Option<Arc<Told>>,
    label: Option<String>,
    end: End,
}

impl Tally {
    /// What the answer will have told when it is complete.
    pub(crate) fn tell(&mut self, told: Option<Arc<Told>>) {
        self.told = told;
    }

    /// By which name the response is remembered when it is complete.
    pub(crate) fn label(&mut self, label: Option<String>) {
        self.label = label;
    }

    /// The last byte was handed over.
    pub(crate) fn complete(mut self) {
        self.end = End::Completed;
    }

    /// The answer was cut off on purpose.
    pub(crate) fn broken(mut self) {
        self.end = End::Broken;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let shared = &self.stats.shared;
        match self.end {
            End::Completed => {
                if let Some(told) = self.told.take() {
                    shared.totals.lock().unwrap_or_else(PoisonError::into_inner).add(&told);
                }
                if let Some(label) = self.label.take() {
                    shared.labels.lock().unwrap_or_else(PoisonError::into_inner).push(label);
                }
                shared.completed.fetch_add(1, Relaxed);
            }
            End::Broken => {
                shared.broken.fetch_add(1, Relaxed);
            }
            End::Abandoned => {
                shared.abandoned.fetch_add(1, Relaxed);
            }
        }
    }
}

impl Totals {
    fn add(&mut self, told: &Told) {
        *self.dialects.entry(told.dialect).or_default() += 1;
        // Names are cloned once for each model, not once for each response.
        if !self.models.contains_key(&told.model) {
            self.models.insert(told.model.clone(), ModelTotals::default());
        }
        let Some(sum) = self.models.get_mut(&told.model) else {
            return;
        };
        sum.responses += told.totals.responses;
        sum.responses_without_usage += told.totals.responses_without_usage;
        sum.prompt_tokens += told.totals.prompt_tokens;
        sum.cached_prompt_tokens += told.totals.cached_prompt_tokens;
        sum.completion_tokens += told.totals.completion_tokens;
        sum.reasoning_tokens += told.totals.reasoning_tokens;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_ends_in_exactly_one_counter() {
        let stats = Stats::default();
        let running = stats.start();
        stats.start().complete();
        stats.start().broken();
        drop(stats.start());
        let seen = stats.snapshot();
        assert_eq!((seen.started, seen.completed, seen.broken), (4, 1, 1));
        assert_eq!((seen.abandoned, seen.in_flight), (1, 1));
        drop(running);
        assert_eq!(stats.snapshot().in_flight, 0);
    }
}
