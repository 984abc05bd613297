//! The result: what one exchange says about itself. `None` is unknown, which is
//! not the same as 0 (spec 1.1). Strings are bounded as the usage event's are.

use std::time::Duration;

use modash_histogram::Histogram;

use crate::dialect::{Dialect, Operation};
use crate::rate_limit::RateLimits;

/// What one exchange reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Wire dialect.
    pub dialect: Dialect,
    /// What the caller asked for.
    pub operation: Operation,
    /// Model named by the request. At most 256 bytes.
    pub model_requested: Option<String>,
    /// Model named by the response, else the one requested. At most 256 bytes.
    pub model: Option<String>,
    /// The request asked for a stream.
    pub stream: bool,
    /// End user named by the request body. At most 128 bytes.
    pub user: Option<String>,
    /// Session or conversation named by the request body. At most 128 bytes.
    pub session: Option<String>,
    /// Counts.
    pub tokens: Tokens,
    /// Where the counts come from.
    pub source: UsageSource,
    /// Raw finish reason of the lowest choice. At most 64 bytes.
    pub finish_reason: Option<String>,
    /// First id of the response. At most 128 bytes.
    pub response_id: Option<String>,
    /// Service tier that was used. At most 64 bytes.
    pub service_tier: Option<String>,
    /// Kind of error (spec 2.2). At most 128 bytes.
    pub error_type: Option<String>,
    /// The counts belong to the background response `response_id`, of which
    /// other calls may show them too: they are to be booked once.
    pub book_once: bool,
    /// How the response ended.
    pub outcome: Outcome,
    /// Time of the first event with generated content.
    pub first_content_at: Option<Duration>,
    /// Time of the last event with generated content.
    pub last_content_at: Option<Duration>,
    /// Time of the first event with content that is not reasoning.
    pub first_visible_at: Option<Duration>,
    /// Stream events that carried generated content.
    pub content_events: u64,
    /// Gaps between content events, in microseconds.
    pub gaps: Histogram,
    /// Uncached prompt tokens per second.
    pub prefill_tokens_per_second: Option<f64>,
    /// Output tokens per second.
    pub decode_tokens_per_second: Option<f64>,
    /// Where the two rates come from; `None` if there are none.
    pub speed_source: Option<SpeedSource>,
    /// The responses of a realtime session one by one, as many as the limits allow.
    pub realtime: Vec<RealtimeResponse>,
    /// Decoded bytes up to the end of the first content event.
    pub first_token_offset: Option<u64>,
    /// Id of the response that this one follows, as the request names it. At most 128
    /// bytes.
    pub previous_response_id: Option<String>,
    /// What the response head, or the messages after it, state about rate limits.
    pub rate_limits: Option<RateLimits>,
}

/// Counts of one exchange; `None` is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tokens {
    /// All input tokens, cached ones included.
    pub prompt: Option<u64>,
    /// Part of the prompt that was read from a cache.
    pub cached_prompt: Option<u64>,
    /// Part of the prompt that was written to a cache.
    pub cache_write: Option<u64>,
    /// Part of the cache write that is kept for an hour and costs more (Anthropic).
    pub cache_write_1h: Option<u64>,
    /// All output tokens, reasoning included.
    pub completion: Option<u64>,
    /// Part of the output that was spent on reasoning.
    pub reasoning: Option<u64>,
    /// Audio part of the prompt.
    pub audio_prompt: Option<u64>,
    /// Audio part of the output.
    pub audio_completion: Option<u64>,
    /// Audio part of what was read from a cache.
    pub cached_audio_prompt: Option<u64>,
    /// Image part of the prompt.
    pub image_prompt: Option<u64>,
    /// Image part of what was read from a cache.
    pub cached_image_prompt: Option<u64>,
    /// Image part of the output.
    pub image_completion: Option<u64>,
    /// Prompt and completion, else the total that was reported.
    pub total: Option<u64>,
    /// Input that is billed, where it is reported apart.
    pub billed_prompt: Option<u64>,
    /// Output that is billed, where it is reported apart.
    pub billed_completion: Option<u64>,
    /// Search units that are billed.
    pub search_units: Option<f64>,
    /// Audio billed by time.
    pub billed_audio: Option<Duration>,
    /// Cost in US dollars that the upstream reported.
    pub upstream_cost_usd: Option<f64>,
    /// Images that a whole answer of the images API holds.
    pub images: Option<u64>,
    /// Unicode characters of the text that was spoken, of a whole answer of the speech API.
    pub characters: Option<u64>,
}

/// One response of a realtime session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RealtimeResponse {
    /// Id of the response.
    pub response_id: Option<String>,
    /// Its counts.
    pub tokens: Tokens,
    /// Its raw finish reason.
    pub finish_reason: Option<String>,
    /// Its kind of error.
    pub error_type: Option<String>,
}

/// Where counts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UsageSource {
    /// Reported by the upstream, in full.
    Upstream,
    /// Reported by the upstream, but the answer broke off: a lower bound.
    UpstreamPartial,
    /// Estimated from the text seen; prompt counts are unknown.
    Estimated,
    /// The answer carried no usage.
    NotReported,
    /// The answer could not be read.
    Unparseable,
    /// No usage is due: the request consumed nothing, or its counts come with
    /// another one (a background response).
    NotDue,
}

/// How a response ended (spec 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A whole answer.
    Complete,
    /// The body or its last event is cut, or no terminal mark came.
    Truncated,
    /// A status of 400 or more, or an error inside the body.
    Error,
    /// A call of a known dialect was answered with the status 200, and with no
    /// body or the form of an answer with nothing in it.
    Empty,
}

/// Where rates come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpeedSource {
    /// Timings reported by the upstream.
    Upstream,
    /// Measured on the stream.
    Measured,
}

/// How the body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyEnd {
    /// As its framing said.
    Complete,
    /// The upstream broke off, or the client left.
    Broken,
}
