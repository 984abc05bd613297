//! OpenAI Responses (spec 5.4) and Realtime (5.9): the same response object,
//! at the top of a document or inside the events of a stream.

use crate::dialect::Operation;
use crate::dialects::{anthropic, cohere, gemini, openai};
use crate::json::{Slot, Slots};
use crate::rate_limit::RateLimitKind;
use crate::rate_limit::message::{self, Counts, Window};
use crate::record::Record;
use crate::target::{Ask, Route, Target};
use crate::usage;
use crate::wire::{
    CODE, Event, Framing, OBJECT, STATUS, TYPE, Wire, fold, length, note_error, note_usage, value,
};

crate::wire::shape! { SHAPE ROWS
after openai::ROWS, anthropic::ROWS, gemini::ROWS, cohere::ROWS {
    DELTA = length("delta");
    BACKGROUND = value("background");
    REASON = value("incomplete_details.reason");

    ANSWER = value("output");
    IN = value("response");
    IN_ID = value("response.id");
    IN_MODEL = value("response.model");
    IN_TIER = value("response.service_tier");
    IN_STATUS = value("response.status");
    IN_BACKGROUND = value("response.background");
    IN_REASON = value("response.incomplete_details.reason");
    IN_ERROR_TYPE = value("response.error.type");
    IN_ERROR_CODE = value("response.error.code");

    // Realtime.
    SESSION_MODEL = value("session.model");
    HEARING_MODEL = value("session.audio.input.transcription.model session.input_audio_transcription.model");
    DETAIL_REASON = value("response.status_details.reason");
    DETAIL_ERROR = value("response.status_details.error.type");

    // Rate limits: of Realtime in a list, of Codex by window.
    LIMIT = fold("rate_limits[]", fold_limit);
    LIMIT_NAME = value("rate_limits[].name");
    LIMIT_MOST = value("rate_limits[].limit");
    LIMIT_LEFT = value("rate_limits[].remaining");
    LIMIT_RESET = value("rate_limits[].reset_seconds");
    REQUESTS_MOST = value("rate_limits.~requests-limit");
    REQUESTS_LEFT = value("rate_limits.~requests-remaining");
    REQUESTS_RESET = value("rate_limits.~requests-reset");
    TOKENS_MOST = value("rate_limits.~tokens-limit");
    TOKENS_LEFT = value("rate_limits.~tokens-remaining");
    TOKENS_RESET = value("rate_limits.~tokens-reset");
    METERED = value("metered_limit_name");
    METERED_BEFORE = value("limit_name");
    PRIMARY_USED = value("rate_limits.primary.used_percent");
    PRIMARY_MINUTES = value("rate_limits.primary.window_minutes");
    PRIMARY_RESET = value("rate_limits.primary.reset_at");
    PRIMARY_AFTER = value("rate_limits.primary.reset_after_seconds");
    SECONDARY_USED = value("rate_limits.secondary.used_percent");
    SECONDARY_MINUTES = value("rate_limits.secondary.window_minutes");
    SECONDARY_RESET = value("rate_limits.secondary.reset_at");
    SECONDARY_AFTER = value("rate_limits.secondary.reset_after_seconds");
} }

const REQUESTS: Counts =
    Counts { limit: REQUESTS_MOST, remaining: REQUESTS_LEFT, reset: REQUESTS_RESET };
const TOKENS: Counts = Counts { limit: TOKENS_MOST, remaining: TOKENS_LEFT, reset: TOKENS_RESET };
const PRIMARY: Window = Window {
    used_percent: PRIMARY_USED,
    minutes: PRIMARY_MINUTES,
    reset_at: PRIMARY_RESET,
    reset_after_seconds: PRIMARY_AFTER,
};
const SECONDARY: Window = Window {
    used_percent: SECONDARY_USED,
    minutes: SECONDARY_MINUTES,
    reset_at: SECONDARY_RESET,
    reset_after_seconds: SECONDARY_AFTER,
};

pub(crate) static RESPONSES: Wire = Wire {
    id: "openai-responses",
    operation: Operation::Chat,
    route: responses_route,
    shape: &SHAPE,
    event: responses_event,
    tokens: usage::tokens,
    framing: Framing::Sse,
    done: false,
};

pub(crate) static REALTIME: Wire = Wire {
    id: "openai-realtime",
    operation: Operation::Realtime,
    route: |target| {
        target.ends("/realtime").then(|| Route {
            model: target.query("model"),
            ask: Ask::Yes,
            ..Route::default()
        })
    },
    event: realtime_event,
    ..RESPONSES
};

fn responses_route(target: &Target<'_>) -> Option<Route> {
    let mut segments = target.path().rsplit('/');
    let last = segments.next()?;
    // `/responses`, `/responses/<id>`, `/responses/<id>/cancel`.
    let one = segments.next() == Some("responses");
    let cancel = last == "cancel" && segments.next() == Some("responses");
    if last != "responses" && !one && !cancel {
        return None;
    }
    // A count, no consumption: the answer has no usage.
    let operation = (last == "input_tokens").then_some(Operation::CountTokens);
    let streams = target.query("stream").as_deref() == Some("true");
    let ask = if streams { Ask::Yes } else { Ask::Member };
    Some(Route { ask, operation, ..Route::default() })
}

/// A limit of a list, which is that of requests or that of tokens.
fn fold_limit(slots: &mut Slots, _: u64) {
    let places: [Slot; 3] = if slots.is(LIMIT_NAME, "requests") {
        [REQUESTS_MOST, REQUESTS_LEFT, REQUESTS_RESET]
    } else if slots.is(LIMIT_NAME, "tokens") {
        [TOKENS_MOST, TOKENS_LEFT, TOKENS_RESET]
    } else {
        return;
    };
    for (from, to) in [LIMIT_MOST, LIMIT_LEFT, LIMIT_RESET].into_iter().zip(places) {
        slots.copy(from, to);
    }
}

/// Takes rate limits, if that is what an event is about.
fn note_limits(slots: &Slots, record: &mut Record) {
    let stated = &mut record.rate_limits;
    match slots.text(TYPE) {
        Some(b"rate_limits.updated") => {
            use RateLimitKind::{Requests, Tokens};
            message::updated(stated, slots, [(Requests, REQUESTS), (Tokens, TOKENS)]);
        }
        Some(b"codex.rate_limits") => {
            let pool = slots.text(METERED).or_else(|| slots.text(METERED_BEFORE));
            message::plan(stated, slots, pool, [("primary", PRIMARY), ("secondary", SECONDARY)]);
        }
        _ => {}
    }
}

pub(super) fn responses_event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    if slots.is(OBJECT, "response") {
        record.set_id(slots.text(openai::ID));
    }
    note_error(event, record);
    note_limits(slots, record);
    names(slots, record);
    record.set_model(slots.text(openai::MODEL));
    record.set_id(slots.text(openai::ID));
    record.set_tier(slots.text(openai::TIER));
    record.background |= slots.is_true(BACKGROUND) || slots.is_true(IN_BACKGROUND);
    note_usage(event, record);
    let kind = slots.text(TYPE).unwrap_or(b"");
    if kind.ends_with(b".delta") {
        // The arguments and the text are seen, the reasoning is not.
        let hidden = kind.starts_with(b"response.reasoning");
        let place = if hidden { &mut record.content.hidden } else { &mut record.content.visible };
        *place = slots.length(DELTA);
    }
    let reason = slots.text(REASON).or_else(|| slots.text(IN_REASON));
    let status = slots.text(STATUS).or_else(|| slots.text(IN_STATUS));
    match kind {
        b"response.completed"
        | b"response.incomplete"
        | b"response.failed"
        | b"response.cancelled" => {
            record.terminal = true;
            record.set_finish(reason.or(status));
            if kind == b"response.failed" {
                fail(slots, record);
            }
        }
        _ if event.document => {
            record.content.visible = u64::from(slots.filled(ANSWER));
            record.set_finish(reason.or(status));
            if slots.is(STATUS, "failed") {
                fail(slots, record);
            }
        }
        _ => {}
    }
}

fn names(slots: &Slots, record: &mut Record) {
    record.set_model(slots.text(IN_MODEL));
    record.set_id(slots.text(IN_ID));
    record.set_tier(slots.text(IN_TIER));
    if slots.is(TYPE, "response.created") {
        match &mut record.session {
            Some(session) => session.open = true,
            None => record.begin_generation(slots.text(IN_ID)),
        }
    }
}

fn fail(slots: &Slots, record: &mut Record) {
    let code = slots.code(IN_ERROR_CODE).or_else(|| slots.code(CODE));
    let kind = slots.text(IN_ERROR_TYPE).map(std::borrow::Cow::Borrowed).or(code);
    record.fail(kind.as_deref());
}

fn realtime_event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    record.set_model(slots.text(SESSION_MODEL).or_else(|| slots.text(HEARING_MODEL)));
    names(slots, record);
    note_limits(slots, record);
    let kind = slots.text(TYPE).unwrap_or(b"");
    if kind.starts_with(b"response.") && kind.ends_with(b".delta") {
        record.content.visible = slots.length(DELTA);
    }
    if kind == b"conversation.item.input_audio_transcription.completed" {
        // What was said is written down by another model, and billed apart.
        if let (Some(usage), Some(session)) = (slots.usage(usage::TOP), &mut record.session) {
            session.tokens.add(&usage::totals(usage, || false));
        }
        return;
    }
    if kind != b"response.done" {
        // An `error` event answers a message of the client, and the session
        // goes on. Before a session there is only the error.
        if record.model.is_none() {
            note_error(event, record);
        }
        return;
    }
    note_usage(event, record);
    record.terminal = true;
    record.set_finish(slots.text(DETAIL_REASON).or_else(|| slots.text(IN_STATUS)));
    if slots.is(IN_STATUS, "failed") {
        record.fail(slots.text(DETAIL_ERROR));
    }
}
