//! Errors as APIs and gateways state them (spec 2.2), with any status and in any
//! place: in a document, in an event of a stream, in the finish reason.

use std::borrow::Cow;

use crate::json::{Slot, Slots, Value};
use crate::record::Record;
use crate::wire::{
    AWS_TYPE, BASE_STATUS, CODE, COMMON, DETAIL, ERROR, ERROR_CODE, ERROR_MESSAGE, ERROR_METADATA,
    ERROR_STATUS, ERROR_TYPE, ERRORS, ERRORS_CODE, Event, MESSAGE, MSG, OBJECT, STATUS, SUCCESS,
    TOP_ERROR_CODE, TOP_ERROR_TYPE, TYPE,
};

/// Marks the record if the event is an error: it says so, or the status does.
pub(crate) fn note_error(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    let named = event.name == b"error" && !event.document;
    let failed = named || event.headers.status >= 400;
    // Most events have none of these members but their type.
    let silent = slots.present(ERROR, ERROR_MESSAGE).all(|slot| slot == TYPE || slot == OBJECT);
    let typed = slots.is(TYPE, "error") || slots.is(OBJECT, "error");
    if !failed && silent && !typed {
        return;
    }
    if failed || says_so(slots) || is_message(slots) {
        let aws = || {
            let name = slots.text(AWS_TYPE)?.rsplit(|byte| *byte == b'#').next()?;
            event.headers.error_type.is_none().then_some(Cow::Borrowed(name))
        };
        let code = || {
            // A number that repeats the status says less than `http_404`.
            let said = event.headers.status < 400 || slots.is(TYPE, "error");
            let fits = said || slots.text(CODE).is_some();
            (fits && is_failing(slots, CODE)).then(|| slots.code(CODE)).flatten()
        };
        record.fail(error_kind(slots).or_else(aws).or_else(code).as_deref());
    }
}

/// The kind of an error by the order of spec 2.2, then as gateways name it;
/// `None` if no member does.
fn error_kind(slots: &Slots) -> Option<Cow<'_, [u8]>> {
    let text = |slot| slots.text(slot).map(Cow::Borrowed);
    let failing = |slot| is_failing(slots, slot).then(|| slots.code(slot)).flatten();
    text(ERROR_TYPE)
        .or_else(|| text(ERROR_METADATA))
        .or_else(|| text(ERROR_STATUS))
        .or_else(|| slots.code(ERROR_CODE))
        .or_else(|| text(TOP_ERROR_TYPE))
        .or_else(|| slots.is(OBJECT, "error").then(|| text(TYPE)).flatten())
        .or_else(|| failing(BASE_STATUS))
        .or_else(|| failing(TOP_ERROR_CODE))
        .or_else(|| failing(ERRORS_CODE))
}

/// Whether a member states an error, whatever else the event holds.
fn says_so(slots: &Slots) -> bool {
    slots.filled(ERROR)
        || slots.is_true(ERROR)
        || slots.count(ERROR).is_some_and(|number| number > 0)
        || slots.is(TYPE, "error")
        || slots.is(OBJECT, "error")
        || slots.filled(ERRORS)
        || slots.get(SUCCESS) == Some(Value::Bool(false))
        || is_failing(slots, BASE_STATUS)
        || is_failing(slots, TOP_ERROR_CODE)
}

/// Whether an event of any API, of an LLM or not, states an error as an object, or as
/// a list beside the statement that it did not succeed (Cloudflare).
pub(crate) fn has_error_object(slots: &Slots) -> bool {
    matches!(slots.get(ERROR), Some(Value::Object(1..)))
        || is_failing(slots, BASE_STATUS)
        || (slots.get(SUCCESS) == Some(Value::Bool(false)) && slots.filled(ERRORS))
}

/// Whether the event has a message to people and nothing of an answer.
fn is_message(slots: &Slots) -> bool {
    let told = [MESSAGE, MSG, DETAIL, ERROR_MESSAGE].into_iter().any(|slot| slots.filled(slot));
    told && !slots.some(TYPE)
        && !slots.some(OBJECT)
        && !is_success(slots, CODE)
        && !is_success(slots, STATUS)
        && !slots.any_filled_from(COMMON.len())
}

/// Whether a code is one of success.
fn is_success(slots: &Slots, slot: Slot) -> bool {
    match slots.count(slot) {
        Some(code) => code == 0 || (200..300).contains(&code),
        None => slots.text(slot).is_some_and(|text| {
            ["ok", "success", "succeeded"]
                .iter()
                .any(|good| text.eq_ignore_ascii_case(good.as_bytes()))
        }),
    }
}

/// Whether a code stands there that is none of success.
fn is_failing(slots: &Slots, slot: Slot) -> bool {
    slots.code(slot).is_some() && !is_success(slots, slot)
}

/// Whether a finish reason means that the server failed.
pub(crate) fn is_failure(finish: &[u8]) -> bool {
    const FAILURES: [&str; 7] = [
        "error",
        // vLLM and SGLang: the engine dropped the request.
        "abort",
        "aborted",
        // Zhipu.
        "network_error",
        // DeepSeek.
        "insufficient_system_resource",
        // Cohere.
        "ERROR_TOXIC",
        "ERROR_LIMIT",
    ];
    FAILURES.iter().any(|failure| finish.eq_ignore_ascii_case(failure.as_bytes()))
}
