//! What the events of one response have said so far: raw counts as they were
//! reported, names, timings, marks. Dialects fill it; the reading is made of it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use modash_histogram::Histogram;

use crate::dialect::Dialect;
use crate::error::is_failure;
use crate::json::{cut, same};
use crate::reading::{RealtimeResponse, Tokens};
use crate::usage::{self, Count, Usage};

/// Choices, or prompts, of which counts are kept apart.
const CHOICES: usize = 128;

/// Generated content of one event, in bytes; an event without text (a tool call
/// that begins) counts as one byte.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Content {
    pub(crate) visible: u64,
    pub(crate) hidden: u64,
}

impl Content {
    /// Whether there is any.
    pub(crate) fn any(self) -> bool {
        self.visible > 0 || self.hidden > 0
    }
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
    /// Whose shape the answer has, where the dialect leaves that open.
    pub(crate) family: Option<Dialect>,
    pub(crate) model: Option<String>,
    pub(crate) response_id: Option<String>,
    pub(crate) service_tier: Option<String>,
    pub(crate) finish_reason: Option<String>,
    finish_index: u64,
    /// Place of the answer in a list of them.
    pub(crate) position: u64,
    pub(crate) error_type: Option<String>,
    pub(crate) error: bool,
    /// The response is made in the background: any number of calls may show it.
    pub(crate) background: bool,
    /// Some of an answer was seen, in a stream or in a document.
    pub(crate) answered: bool,
    pub(crate) terminal: bool,
    /// It has several choices.
    pub(crate) several: bool,
    /// The last event of the stream has come if the body ends properly after it.
    pub(crate) closing: bool,
    /// `[DONE]` was seen.
    pub(crate) done: bool,
    /// Counts of the generation that is going on.
    usage: Usage,
    /// Counts that fill the gaps of these.
    pub(crate) spare: Usage,
    /// Counts by choice, and those of closing chunks, which have none.
    parts: Vec<(Option<u64>, Usage)>,
    /// Some counts stood inside a choice.
    pub(crate) by_choice: bool,
    /// The answer has Gemini's own shape.
    pub(crate) gemini: bool,
    /// What its messages state about rate limits.
    pub(crate) rate_limits: Option<Box<crate::rate_limit::message::Stated>>,
    /// Images that were made, where the answer holds them.
    pub(crate) images: Option<u64>,
    /// Prompts of the request, if it has several.
    pub(crate) prompts: usize,
    /// Hash of the id of the generation.
    generation: Option<u64>,
    /// Sums over the generations before it.
    earlier: Option<Box<Tokens>>,
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

    /// The id of the response; that of an error is none.
    pub(crate) fn set_id(&mut self, text: Option<&[u8]>) {
        if self.response_id.is_none() && !self.error {
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
        let index = index.saturating_add(self.position);
        if text.is_some() && (self.finish_reason.is_none() || index <= self.finish_index) {
            self.finish_index = index;
            keep_last(&mut self.finish_reason, text, 64);
            if text.is_some_and(is_failure) {
                self.fail(text);
            }
        }
    }

    /// Whether the response has the form of an answer and nothing in it.
    pub(crate) fn is_shell(&self, tokens: &Tokens) -> bool {
        let counted = tokens.completion.is_some_and(|count| count > 0);
        !self.answered && !self.background && self.finish_reason.is_none() && !counted
    }

    /// The response failed; the first kind of error that is named stays.
    pub(crate) fn fail(&mut self, kind: Option<&[u8]>) {
        self.error = true;
        if self.error_type.is_none() {
            keep_last(&mut self.error_type, kind, 128);
        }
    }

    /// Takes the counts of an event.
    pub(crate) fn count(&mut self, usage: &Usage) {
        self.usage.merge(usage);
        self.take_rates(usage);
    }

    /// Takes counts that only fill gaps.
    pub(crate) fn count_spare(&mut self, usage: &Usage) {
        self.spare.merge(usage);
        self.take_rates(usage);
    }

    /// Whether the server said anything about tokens.
    pub(crate) fn has_counts(&self) -> bool {
        self.usage.has_counts()
    }

    fn take_rates(&mut self, usage: &Usage) {
        let (prefill, decode) = usage.rates();
        self.speeds.prefill = prefill.or(self.speeds.prefill);
        self.speeds.decode = decode.or(self.speeds.decode);
    }

    /// Keeps the counts of a chunk apart: those of one choice, or of a closing
    /// chunk without any.
    pub(crate) fn count_part(&mut self, choice: Option<u64>, usage: &Usage) {
        if !usage.has_counts() {
            return;
        }
        let same = |(index, _): &&mut (Option<u64>, Usage)| choice.is_some() && *index == choice;
        if let Some((_, part)) = self.parts.iter_mut().find(same) {
            part.merge(usage);
        } else if self.parts.len() < CHOICES {
            self.parts.push((choice, *usage));
        }
    }

    /// The counts of the generation. Counts on chunks with a choice are those of
    /// the choice until a closing chunk has the sum (rule U4); with several
    /// prompts each of which is answered by itself, of one prompt.
    pub(crate) fn own_usage(&self) -> Usage {
        if self.parts.len() < 2 {
            return self.usage;
        }
        let of =
            |choices: bool| self.parts.iter().filter(move |(index, _)| index.is_some() == choices);
        let add = |choices: bool| {
            of(choices).fold(Usage::default(), |mut sum, (_, part)| {
                sum.add(part);
                sum
            })
        };
        let (choices, closings) = (of(true).count(), of(false).count());
        let mut usage = self.usage;
        if self.prompts > 1 && (2..=self.prompts).contains(&closings) {
            usage.replace_counts(&add(false));
        } else if self.prompts > 1 && closings == 0 && choices > 1 {
            usage.replace_counts(&add(true));
        } else if closings == 0 && choices > 1 && (self.by_choice || !self.done) {
            usage.set(Count::Completion, add(true).get(Count::Completion));
        }
        usage
    }

    /// Whether Gemini answers, whose thoughts may be in the total only.
    pub(crate) fn is_gemini(&self) -> bool {
        let named = |model: &String| model.to_ascii_lowercase().contains("gemini");
        self.gemini || self.model.as_ref().is_some_and(named)
    }

    /// A generation begins. One with another id that follows in the same body, as
    /// an intermediary makes by a retry, was consumed beside the first.
    pub(crate) fn begin_generation(&mut self, id: Option<&[u8]>) {
        let Some(id) = id else { return };
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let id = hasher.finish();
        if self.generation.is_some_and(|old| old != id) {
            let mut tokens = usage::tokens(self);
            if !self.terminal {
                // What a message starts with is no count of its output.
                (tokens.completion, tokens.total) = (None, tokens.prompt);
            }
            self.earlier.get_or_insert_default().add(&tokens);
            self.forget_counts();
        }
        self.generation = Some(id);
    }

    /// The same for streams without an event for the beginning: content that
    /// follows the end of a generation under another id.
    pub(crate) fn begin_anew(&mut self, id: Option<&[u8]>) {
        let Content { visible, hidden } = self.content;
        if self.generation.is_none() || (self.terminal && visible + hidden > 0) {
            self.begin_generation(id);
        }
    }

    /// Whether anything was generated.
    pub(crate) fn has_content(&self) -> bool {
        self.content_bytes + self.content.visible + self.content.hidden > 0
    }

    fn forget_counts(&mut self) {
        self.usage = Usage::default();
        self.spare = Usage::default();
        self.parts.clear();
        self.terminal = false;
    }

    /// Sums over the generations before the last one.
    pub(crate) fn earlier(&self) -> Option<&Tokens> {
        self.earlier.as_deref()
    }

    /// Ends one response of a session and begins the next.
    pub(crate) fn close_response(&mut self, tokens: Tokens, limit: usize) {
        let response = RealtimeResponse {
            response_id: self.response_id.take(),
            tokens,
            finish_reason: self.finish_reason.clone(),
            error_type: self.error_type.clone(),
        };
        self.forget_counts();
        let session = self.session.get_or_insert_default();
        session.open = false;
        session.tokens.add(&tokens);
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

/// When content came.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    pub(crate) events: u64,
    pub(crate) first: Option<Duration>,
    pub(crate) last: Option<Duration>,
    /// Those with content that is not reasoning.
    pub(crate) visible_events: u64,
    pub(crate) first_visible: Option<Duration>,
    pub(crate) last_visible: Option<Duration>,
    /// Reasoning that was streamed.
    pub(crate) hidden_bytes: u64,
    pub(crate) gaps: Histogram,
    /// Decoded bytes up to the end of the first content event.
    pub(crate) offset: Option<u64>,
}

impl Clock {
    /// An event with content has ended.
    #[inline]
    pub(crate) fn content(&mut self, content: Content, at: Duration, offset: u64) {
        self.events += 1;
        self.hidden_bytes = self.hidden_bytes.saturating_add(content.hidden);
        if let Some(last) = self.last {
            // Through u64: converting 128 bits is slow.
            let gap = at.saturating_sub(last).as_micros();
            self.gaps.record(u64::try_from(gap).unwrap_or(u64::MAX) as f64);
        } else {
            self.first = Some(at);
            self.offset = Some(offset);
        }
        self.last = Some(at);
        if content.visible > 0 {
            self.visible_events += 1;
            self.first_visible = self.first_visible.or(Some(at));
            self.last_visible = Some(at);
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
    // Nearly all names are printable ASCII, and as they should be.
    let plain = text.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    *old = Some(match std::str::from_utf8(text) {
        Ok(text) if plain => text.to_owned(),
        _ => presentable(text, limit),
    });
}

/// A name that a database takes and a page shows, of at most `limit` bytes.
#[cold]
fn presentable(text: &[u8], limit: usize) -> String {
    let mut name = String::from_utf8_lossy(text).replace(char::is_control, "\u{fffd}");
    // Replacement characters are longer than what they replace.
    name.truncate(name.floor_char_boundary(limit));
    name
}
