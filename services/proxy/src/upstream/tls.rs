//! What a failed TLS connection to an upstream means.

use crate::settings::UPSTREAM_PEER;

/// What a failed connection says about TLS and what to do about it; `None` if it
/// is about something else.
pub(crate) fn advice(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    modash_runtime::tls_advice(error, &UPSTREAM_PEER)
}
