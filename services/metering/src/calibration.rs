//! Estimates of output tokens for streams without usage: what the same process
//! learned from streams that reported theirs, by model. An estimate is always
//! marked as one; docs/metering.md says how good it is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Models that are told apart; the others share one entry.
const MODELS: usize = 256;
/// Weight of what was learned: after so many answers old ones count half.
const MEMORY: f64 = 64.0;
/// Answers shorter than this teach nothing.
const SHORTEST: u64 = 8;
/// Bytes of a token where nothing was learned: English text on common vocabularies.
const BYTES: f64 = 4.4;
/// Events with fewer bytes on average hold one token each.
const ONE_TOKEN: f64 = 1.5 * BYTES;

/// What was learned in this process. Shared by all meters.
#[derive(Debug, Default)]
pub struct Calibration {
    models: Mutex<HashMap<String, Learned>>,
}

/// Sums over the answers of one model.
#[derive(Debug, Clone, Copy, Default)]
struct Learned {
    answers: f64,
    tokens: f64,
    events: f64,
    bytes: f64,
    /// Relative errors of an estimate by events and by bytes.
    event_error: f64,
    byte_error: f64,
}

impl Calibration {
    /// Nothing learned yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of models that are told apart, and one for all others.
    #[must_use]
    pub fn models(&self) -> usize {
        self.models.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Learns from a whole answer whose output tokens are known.
    pub(crate) fn learn(&self, model: &str, tokens: u64, events: u64, bytes: u64) {
        if tokens < SHORTEST || events == 0 || bytes == 0 {
            return;
        }
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let known = models.len() < MODELS || models.contains_key(model);
        // The empty name is that of all models beyond the limit.
        let entry = models.entry(if known { model } else { "" }.to_owned()).or_default();
        entry.learn(tokens as f64, events as f64, bytes as f64);
    }

    /// Output tokens of a stream with so many content events and bytes of text.
    #[must_use]
    pub(crate) fn estimate(&self, model: &str, events: u64, bytes: u64) -> u64 {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let learned = models.get(model).or_else(|| models.get("")).copied().unwrap_or_default();
        drop(models);
        learned.estimate(events as f64, bytes as f64).round().max(1.0) as u64
    }
}

impl Learned {
    fn learn(&mut self, tokens: f64, events: f64, bytes: f64) {
        if self.answers > 0.0 {
            self.event_error += (self.by_events(events) / tokens - 1.0).abs();
            self.byte_error += (self.by_bytes(bytes) / tokens - 1.0).abs();
        }
        self.answers += 1.0;
        self.tokens += tokens;
        self.events += events;
        self.bytes += bytes;
        if self.answers > MEMORY {
            for sum in [
                &mut self.answers,
                &mut self.tokens,
                &mut self.events,
                &mut self.bytes,
                &mut self.event_error,
                &mut self.byte_error,
            ] {
                *sum /= 2.0;
            }
        }
    }

    fn by_events(&self, events: f64) -> f64 {
        events * self.tokens / self.events
    }

    fn by_bytes(&self, bytes: f64) -> f64 {
        bytes * self.tokens / self.bytes
    }

    /// By whichever of the two was nearer so far. Before anything is known the
    /// length of the events tells: most servers send a token an event.
    fn estimate(&self, events: f64, bytes: f64) -> f64 {
        if self.answers < 1.0 {
            if bytes < events * ONE_TOKEN { events } else { bytes / BYTES }
        } else if self.event_error <= self.byte_error {
            self.by_events(events)
        } else {
            self.by_bytes(bytes)
        }
    }
}
