//! What the events of one response have said so far: raw counts as they were
//! reported, names, timings, marks. Dialects fill it; the reading is made of it.

use std::time::Duration;

use modash_histogram::Histogram;

use crate::dialect::Dialect;
use crate::json::{cut, same};
use crate::reading::{RealtimeResponse, Tokens};

/// Counts as they come, before a dialect makes totals of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Prompt,
    ToolPrompt,
    Cached,
    CachedElsewhere,
    CacheWrite,
    CacheWriteShort,
    CacheWriteLong,
    Completion,
    Reasoning,
    ReasoningElsewhere,
    AudioPrompt,
    AudioCompletion,
    Total,
    BilledPrompt,
    BilledCompletion,
    /// Of the timings object of llama.cpp.
    TimedCached,
    TimedPrompt,
    TimedCompletion,
    /// Of the metrics object of Bedrock.
    MetricPrompt,
    MetricCached,
    MetricCacheWrite,
    MetricCompletion,
}

const COUNTS: usize = Count::MetricCompletion as usize + 1;
/// Choices of which per-chunk counts are kept apart (rule U4).
const CHOICES: usize = 128;

/// Merged counts by kind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts([Option<u64>; COUNTS]);

impl Counts {
    pub(crate) fn get(&self, kind: Count) -> Option<u64> {
        self.0[kind as usize]
    }

    /// Rule 1.4: a later number replaces an earlier one, but 0 nothing positive.
    #[inline]
    pub(crate) fn merge(&mut self, kind: Count, number: Option<u64>) {
        let old = &mut self.0[kind as usize];
        match (number, *old) {
            (None, _) | (Some(0), Some(1..)) => {}
            _ => *old = number,
        }
    }
}

/// The same rule for amounts.
pub(crate) fn merge_amount(old: &mut Option<f64>, number: Option<f64>) {
    if let Some(number) = number
        && (number > 0.0 || old.is_none())
    {
        *old = Some(number);
    }
}

/// Generated content of one event, in bytes; an event without text (a tool call
/// that begins) counts as one byte.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Content {
    pub(crate) visible: u64,
    pub(crate) hidden: u64,
}

/// Speeds that the upstream reported, in tokens per second.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Speeds {
    pub(crate) prefill: Option<f64>,
    pub(crate) decode: Option<f64>,
}

/// State of one response.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Set when only the answer tells the dialect.
    pub(crate) dialect: Option<Dialect>,
    pub(crate) model: Option<String>,
    pub(crate) response_id: Option<String>,
    pub(crate) service_tier: Option<String>,
    pub(crate) finish_reason: Option<String>,
    finish_index: u64,
    pub(crate) error_type: Option<String>,
    pub(crate) error: bool,
    /// The response is made in the background: any number of calls may show it.
    pub(crate) background: bool,
    pub(crate) terminal: bool,
    /// `[DONE]` was seen.
    pub(crate) done: bool,
    pub(crate) counts: Counts,
    /// Output tokens by choice, from per-chunk usage.
    per_choice: Vec<(u64, u64)>,
    pub(crate) search_units: Option<f64>,
    pub(crate) audio_seconds: Option<f64>,
    pub(crate) cost: Option<f64>,
    pub(crate) speeds: Speeds,
    /// Content of the event that is being read.
    pub(crate) content: Content,
    /// Of all events.
    pub(crate) content_bytes: u64,
    pub(crate) clock: Clock,
    /// Set over WebSocket: responses are counted one by one.
    pub(crate) session: Option<Session>,
}

impl Record {
    pub(crate) fn set_model(&mut self, text: Option<&[u8]>) {
        keep_last(&mut self.model, text, 256);
    }

    pub(crate) fn set_id(&mut self, text: Option<&[u8]>) {
        if self.response_id.is_none() {
            keep_last(&mut self.response_id, text, 128);
        }
    }

    pub(crate) fn set_tier(&mut self, text: Option<&[u8]>) {
        keep_last(&mut self.service_tier, text, 64);
    }

    pub(crate) fn set_finish(&mut self, text: Option<&[u8]>) {
        self.set_finish_of(0, text);
    }

    /// The finish reason of a choice; that of the lowest index stays.
    pub(crate) fn set_finish_of(&mut self, index: u64, text: Option<&[u8]>) {
        if text.is_some() && (self.finish_reason.is_none() || index <= self.finish_index) {
            self.finish_index = index;
            keep_last(&mut self.finish_reason, text, 64);
        }
    }

    /// The response failed; the first kind of error that is named stays.
    pub(crate) fn fail(&mut self, kind: Option<&[u8]>) {
        self.error = true;
        if self.error_type.is_none() {
            keep_last(&mut self.error_type, kind, 128);
        }
    }

    /// Usage on a chunk of one choice.
    pub(crate) fn set_choice(&mut self, index: u64, completion: u64) {
        if let Some(entry) = self.per_choice.iter_mut().find(|entry| entry.0 == index) {
            // By the merge rule.
            if completion > 0 {
                entry.1 = completion;
            }
        } else if self.per_choice.len() < CHOICES {
            self.per_choice.push((index, completion));
        }
    }

    /// The closing chunk has come: its sum holds.
    pub(crate) fn forget_choices(&mut self) {
        self.per_choice.clear();
    }

    /// Sum over the choices, if the stream broke and more than one carried usage
    /// (rule U4).
    pub(crate) fn sum_of_choices(&self) -> Option<u64> {
        (self.per_choice.len() > 1 && !self.done)
            .then(|| self.per_choice.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.1)))
    }

    /// Ends one response of a session and begins the next.
    pub(crate) fn close_response(&mut self, tokens: Tokens, limit: usize) {
        let response = RealtimeResponse {
            response_id: self.response_id.take(),
            tokens,
            finish_reason: self.finish_reason.clone(),
            error_type: self.error_type.clone(),
        };
        self.counts = Counts::default();
        self.cost = None;
        self.search_units = None;
        self.audio_seconds = None;
        self.terminal = false;
        let session = self.session.get_or_insert_default();
        session.open = false;
        session.sum(&tokens);
        if session.responses.len() < limit {
            session.responses.push(response);
        }
    }
}

/// Responses of a WebSocket session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// A response has begun and not ended.
    pub(crate) open: bool,
    pub(crate) responses: Vec<RealtimeResponse>,
    pub(crate) tokens: Tokens,
}

impl Session {
    /// Adds the counts of one response.
    pub(crate) fn sum(&mut self, tokens: &Tokens) {
        let sum = &mut self.tokens;
        for (sum, part) in [
            (&mut sum.prompt, tokens.prompt),
            (&mut sum.cached_prompt, tokens.cached_prompt),
            (&mut sum.cache_write, tokens.cache_write),
            (&mut sum.completion, tokens.completion),
            (&mut sum.reasoning, tokens.reasoning),
            (&mut sum.audio_prompt, tokens.audio_prompt),
            (&mut sum.audio_completion, tokens.audio_completion),
            (&mut sum.total, tokens.total),
        ] {
            if let Some(part) = part {
                *sum = Some(sum.unwrap_or(0).saturating_add(part));
            }
        }
        if let Some(part) = tokens.billed_audio {
            sum.billed_audio = Some(sum.billed_audio.unwrap_or_default().saturating_add(part));
        }
        if let Some(part) = tokens.upstream_cost_usd {
            sum.upstream_cost_usd = Some(sum.upstream_cost_usd.unwrap_or(0.0) + part);
        }
    }
}

/// When content came.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    pub(crate) events: u64,
    pub(crate) first: Option<Duration>,
    pub(crate) last: Option<Duration>,
    pub(crate) first_visible: Option<Duration>,
    pub(crate) gaps: Histogram,
    /// Decoded bytes up to the end of the first content event.
    pub(crate) offset: Option<u64>,
}

impl Clock {
    /// An event with content has ended.
    #[inline]
    pub(crate) fn content(&mut self, visible: bool, at: Duration, offset: u64) {
        self.events += 1;
        if let Some(last) = self.last {
            // Through u64: converting 128 bits is slow.
            let gap = at.saturating_sub(last).as_micros();
            self.gaps.record(u64::try_from(gap).unwrap_or(u64::MAX) as f64);
        } else {
            self.first = Some(at);
            self.offset = Some(offset);
        }
        self.last = Some(at);
        if visible && self.first_visible.is_none() {
            self.first_visible = Some(at);
        }
    }
}

/// Replaces a name by a later one that is not empty.
#[inline]
pub(crate) fn keep_last(old: &mut Option<String>, text: Option<&[u8]>, limit: usize) {
    let Some(text) = text.map(|text| cut(text, limit)) else { return };
    if old.as_ref().is_some_and(|old| same(old.as_bytes(), text)) {
        return;
    }
    let new = String::from_utf8_lossy(text);
    // Replacement characters are longer than what they replace.
    let new = cut(new.as_bytes(), limit);
    *old = Some(String::from_utf8_lossy(new).into_owned());
}
