//! What a dialect is made of: how it is recognised, which paths of its JSON
//! matter, what an event means, how totals are made. One static `Wire` each;
//! docs/adding-a-dialect.md walks through one.

use std::sync::LazyLock;

use crate::dialect::Operation;
use crate::json::{Row, Shape, Slots};
use crate::reading::{Tokens, UsageSource};
use crate::record::Record;
use crate::target::{Route, Target};
use crate::usage::{self, Usage};

/// One dialect.
pub(crate) struct Wire {
    /// Stable id, as recorded.
    pub(crate) id: &'static str,
    /// What is asked for, unless the route says otherwise.
    pub(crate) operation: Operation,
    /// Whether a request is of this dialect, by its path and query.
    pub(crate) route: fn(&Target<'_>) -> Option<Route>,
    /// Paths of responses and events.
    pub(crate) shape: &'static LazyLock<Shape>,
    /// A whole event or document.
    pub(crate) event: fn(&Event<'_>, &mut Record),
    /// Totals, once the response has ended.
    pub(crate) tokens: fn(&Record) -> Tokens,
    /// How streams of this dialect are framed where they are not SSE.
    pub(crate) framing: Framing,
    /// `data: [DONE]` is the terminal mark.
    pub(crate) done: bool,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

/// Framing of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Server-sent events.
    Sse,
    /// Not known, and so are the terminal marks.
    Any,
    /// One JSON object each line.
    Lines,
    /// SSE, or one JSON array whose elements are the events.
    Array,
    /// AWS event stream, payloads as they are.
    Frames,
    /// AWS event stream, events in base64 in the member `bytes`.
    Wrapped,
}

/// One whole event or document.
pub(crate) struct Event<'a> {
    pub(crate) slots: &'a Slots,
    /// Name of the event outside its JSON (SSE field, AWS header).
    pub(crate) name: &'a [u8],
    /// The body as a whole, not one event of a stream.
    pub(crate) document: bool,
    /// Response headers with counts or names.
    pub(crate) headers: &'a Headers,
}

/// Facts that come in response headers.
#[derive(Debug, Default)]
pub(crate) struct Headers {
    pub(crate) status: u16,
    pub(crate) prompt: Option<u64>,
    pub(crate) completion: Option<u64>,
    /// The model that answered, as OpenAI's and ngrok's gateways name it.
    pub(crate) model: Option<String>,
    pub(crate) tier: Option<String>,
    pub(crate) error_type: Option<String>,
    pub(crate) rate_limits: Option<Box<crate::rate_limit::Found>>,
}

/// Paths that every shape begins with: errors come alike everywhere.
pub(crate) const COMMON: &[Row] = &[
    value("error x_groq.error"),
    value("error.type"),
    value("error.metadata.error_type"),
    value("error.status"),
    value("error.code"),
    value("error_type"),
    value("type"),
    value("object"),
    value("code"),
    value("__type"),
    value("error_code"),
    value("base_resp.status_code"),
    value("errors"),
    // Without a fold the last one stays.
    value("errors[].code"),
    value("success"),
    value("status"),
    length("message"),
    length("msg"),
    length("detail"),
    length("errorMessage"),
    value("request_id"),
];
pub(crate) const ERROR: usize = 0;
pub(crate) const ERROR_TYPE: usize = 1;
pub(crate) const ERROR_METADATA: usize = 2;
pub(crate) const ERROR_STATUS: usize = 3;
pub(crate) const ERROR_CODE: usize = 4;
pub(crate) const TOP_ERROR_TYPE: usize = 5;
pub(crate) const TYPE: usize = 6;
pub(crate) const OBJECT: usize = 7;
pub(crate) const CODE: usize = 8;
pub(crate) const AWS_TYPE: usize = 9;
pub(crate) const TOP_ERROR_CODE: usize = 10;
/// Of MiniMax.
pub(crate) const BASE_STATUS: usize = 11;
pub(crate) const ERRORS: usize = 12;
pub(crate) const ERRORS_CODE: usize = 13;
pub(crate) const SUCCESS: usize = 14;
pub(crate) const STATUS: usize = 15;
pub(crate) const MESSAGE: usize = 16;
pub(crate) const MSG: usize = 17;
pub(crate) const DETAIL: usize = 18;
pub(crate) const ERROR_MESSAGE: usize = 19;
pub(crate) const REQUEST_ID: usize = 20;

/// A path whose value is kept.
pub(crate) const fn value(path: &'static str) -> Row {
    Row { path, keep: crate::json::Keep::Value, fold: None }
}

/// A path of generated text: only its length is kept.
pub(crate) const fn length(path: &'static str) -> Row {
    Row { path, keep: crate::json::Keep::Length, fold: None }
}

/// Elements of an array, with what to do when one has ended.
pub(crate) const fn fold(path: &'static str, fold: crate::json::Fold) -> Row {
    Row { path, keep: crate::json::Keep::Value, fold: Some(fold) }
}

/// Declares rows, with a constant for the slot of each.
macro_rules! rows {
    ($rows:ident from $first:expr, { $($slot:ident = $row:expr;)* }) => {
        // Only the discriminants are used: they number the rows.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Index { $($slot),* }
        const FIRST: usize = $first;
        $(
            // A row may be there only to be counted or folded.
            #[allow(dead_code)]
            pub(crate) const $slot: $crate::json::Slot = FIRST + Index::$slot as usize;
        )*
        #[allow(dead_code)] // Named only by tables that follow this one.
        pub(crate) const $rows: &[$crate::json::Row] = &[$($row),*];
    };
}
pub(crate) use rows;

/// Declares the table of paths of a dialect and a constant with the slot of each.
/// Errors and counts are in every table. `after OTHER` puts the rows of other
/// tables first, whose constants then hold here too.
macro_rules! shape {
    ($shape:ident $rows:ident $(after $($base:path),+)? { $($slot:ident = $row:expr;)* }) => {
        $crate::wire::rows! { $rows from
            $crate::wire::COMMON.len()
                + $crate::usage::NAMES.len()
                + $crate::usage::PLACES.len()
                $($(+ $base.len())+)?, {
            $($slot = $row;)*
        } }
        pub(super) static $shape: std::sync::LazyLock<$crate::json::Shape> =
            std::sync::LazyLock::new(|| {
                $crate::json::Shape::new(
                    $crate::wire::COMMON
                        .iter()
                        .chain($crate::usage::NAMES)
                        .chain($crate::usage::PLACES)
                        $($(.chain($base))+)?
                        .chain($rows),
                )
            });
    };
}
pub(crate) use shape;

pub(crate) use crate::error::note_error;

impl Wire {
    /// Whether all answers of the dialect are JSON, in whatever framing.
    pub(crate) fn is_json(&self) -> bool {
        use Operation::{Other, Speech, Transcription};
        !matches!(self.operation, Other | Speech | Transcription)
    }

    /// Whether its events tell if there was an answer: text, a finish reason or
    /// output tokens. In the formats of Bedrock's families they need not.
    pub(crate) fn tells_answers(&self) -> bool {
        matches!(self.operation, Operation::Chat | Operation::Completion)
            && self.framing != Framing::Wrapped
    }
}

/// Takes the counts of an event: all objects that stand at a place for them are
/// one set.
pub(crate) fn note_usage(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    if !slots.has_usage() {
        return;
    }
    let mut set = Usage::default();
    for (place, found) in slots.usages() {
        match place {
            usage::CHOICE => {}
            usage::SPARE.. => record.count_spare(found),
            _ => set.merge(found),
        }
    }
    record.set_tier(slots.text(usage::TIER));
    record.count(&set);
}

impl Headers {
    /// Of a response with this status.
    pub(crate) fn new(status: http::StatusCode) -> Self {
        Self { status: status.as_u16(), ..Self::default() }
    }

    /// Takes what a line says, if anything.
    pub(crate) fn take(&mut self, (name, value): crate::head::HeaderLine<'_>) {
        crate::rate_limit::take(&mut self.rate_limits, (name, value));
        // Few have any of these.
        let is = |lower: &str| name.eq_ignore_ascii_case(lower.as_bytes());
        if !matches!(name.first(), Some(b'x' | b'X' | b'o' | b'O' | b'n' | b'N')) {
            return;
        }
        let text =
            || crate::head::text(value).map(str::trim).filter(|text: &&str| !text.is_empty());
        let count = || crate::json::digits(text()?.as_bytes());
        if is("openai-model") || is("ngrok-aig-model") {
            self.model = text().map(|text| text[..text.floor_char_boundary(256)].to_owned());
        } else if is("x-prompt-tokens") || is("x-amzn-bedrock-input-token-count") {
            self.prompt = self.prompt.or_else(count);
        } else if is("x-generated-tokens") || is("x-amzn-bedrock-output-token-count") {
            self.completion = self.completion.or_else(count);
        } else if is("x-amzn-bedrock-service-tier") || is("x-gemini-service-tier") {
            self.tier = self.tier.take().or_else(|| text().map(str::to_owned));
        } else if is("x-amzn-errortype") {
            let kind = text().and_then(|text| text.split(':').next());
            self.error_type = kind.filter(|kind| !kind.is_empty()).map(str::to_owned);
        }
    }
}

impl Tokens {
    /// Whether anything at all was reported.
    pub(crate) fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Where these counts come from, given how the response went.
    pub(crate) fn source(&self, whole: bool, readable: bool) -> UsageSource {
        match (self.any(), whole, readable) {
            (true, true, _) => UsageSource::Upstream,
            (true, false, _) => UsageSource::UpstreamPartial,
            (false, _, true) => UsageSource::NotReported,
            (false, _, false) => UsageSource::Unparseable,
        }
    }
}
