//! Errors, and the only mapping of errors to JSON answers: the error object of
//! the Connect protocol, which all surfaces but `/rpc` use.

use axum::response::{IntoResponse as _, Response};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use modash_proto::ErrorCode;
use prost::Message as _;
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::rpc;

/// Why the gateway could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener could not be bound.
    #[error(transparent)]
    Bind(#[from] modash_runtime::BindError),
    /// A file of certificates or keys is no good.
    #[error(transparent)]
    Tls(#[from] modash_runtime::TlsFileError),
    /// The address of analytics is none.
    #[error("the connection to analytics cannot be prepared")]
    Analytics(#[from] tonic::transport::Error),
    /// The descriptors of the contract are broken.
    #[error(transparent)]
    Contract(#[from] crate::contract::ContractError),
    /// The system failed.
    #[error("the listener failed")]
    Io(#[from] std::io::Error),
}

#[derive(Serialize)]
struct Body<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail>,
}

#[derive(Serialize)]
struct Detail {
    #[serde(rename = "type")]
    name: String,
    value: String,
}

/// The status as HTTP answer, with its details.
pub(crate) fn response(status: &Status) -> Response {
    let code = ErrorCode::from(status.code());
    let http =
        StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response_with(http, status)
}

/// The status as HTTP answer where the code does not tell the HTTP status.
pub(crate) fn response_with(http: StatusCode, status: &Status) -> Response {
    let code = ErrorCode::from(status.code()).name();
    let body = Body { code, message: status.message(), details: details(status) };
    match serde_json::to_vec(&body) {
        Ok(body) => {
            let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
            (http, headers, retry_after(status), body).into_response()
        }
        // The body holds nothing that has no JSON form.
        Err(_) => http.into_response(),
    }
}

/// `retry-after` where the status says when to try again, in whole seconds.
fn retry_after(status: &Status) -> Option<[(HeaderName, HeaderValue); 1]> {
    let wait = status.get_details_retry_info()?.retry_delay?;
    Some([(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)))])
}

fn details(status: &Status) -> Vec<Detail> {
    let details = tonic_types::Status::decode(status.details()).unwrap_or_default().details;
    let detail = |any: prost_types::Any| Detail {
        name: any.type_url.rsplit('/').next().unwrap_or_default().to_owned(),
        value: STANDARD_NO_PAD.encode(any.value),
    };
    details.into_iter().map(detail).collect()
}

/// A refusal before any surface had the request, in the form that the clients
/// of the path can read.
pub(crate) fn refusal(
    path: &str,
    headers: &HeaderMap,
    http: StatusCode,
    status: &Status,
) -> Response {
    if is_rpc(path) {
        rpc::refusal(headers, http, status.message())
    } else {
        response_with(http, status)
    }
}

/// What clients see of a panic.
pub(crate) fn panicked(path: &str, headers: &HeaderMap) -> Response {
    let status = Status::new(Code::Internal, "internal error of the gateway; its log has more");
    // `/rpc` speaks by frames alone, and its frames say 200.
    let http = if is_rpc(path) { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    refusal(path, headers, http, &status)
}

fn is_rpc(path: &str) -> bool {
    matches!(path, "/rpc" | "/rpc/")
}

#[cfg(test)]
mod tests {
    use modash_proto::Reason;

    use super::*;

    #[test]
    fn an_answer_says_when_to_try_again_if_anybody_knows() {
        for (reason, expected) in
            [(Reason::AnalyticsUnreachable, Some("2")), (Reason::AnswerTooLarge, None)]
        {
            let answer = response(&reason.status("text"));
            let after = answer.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!(after, expected, "{reason:?}");
        }
    }
}
