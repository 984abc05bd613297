//! Errors of the OpenAI family.

use crate::wire::{Null, Object, object};

/// The error body for a status.
pub(super) fn error(status: u16, message: &str) -> Object {
    let (kind, code) = match status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("tokens", Some("rate_limit_exceeded")),
        400..=499 => ("invalid_request_error", None),
        _ => ("server_error", None),
    };
    object! { "error": object! {
        "message": message, "type": kind, "param": Null, "code": code,
    } }
}
