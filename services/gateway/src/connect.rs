//! Plain JSON: unary calls of the Connect protocol with proto3 JSON to the
//! letter, for people with curl and for clients of Connect libraries.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
    request::Parts,
};
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use tonic::Status;

use crate::{
    body::{self, BodyError},
    contract::SERVICE,
    error,
    media_type::MediaType,
    names,
    state::App,
};

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
const TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// Deadline of callers that name none.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// Serves one call of the method `name`.
pub(crate) async fn serve(app: &App, name: &str, head: &Parts, body: axum::body::Body) -> Response {
    let Some(method) = app.contract.method(name) else {
        return unknown(&format!("{SERVICE}.{name}"));
    };
    if head.method != Method::POST {
        let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    if !is_json(&head.headers) {
        let text = "the content type must be application/json: send the header \
                    `content-type: application/json`";
        let status = Status::invalid_argument(text);
        let mut response = error::response_with(StatusCode::UNSUPPORTED_MEDIA_TYPE, &status);
        response.headers_mut().insert(ACCEPT_POST, HeaderValue::from_static("application/json"));
        return response;
    }
    if method.is_server_streaming() {
        let text =
            format!("{name} has no JSON form; GET /events has the same as server-sent events");
        return error::response(&Status::unimplemented(text));
    }
    let answer = async {
        let deadline = deadline(&head.headers)?;
        let body = body::read(&head.headers, body).await.map_err(|error| status_of(&error))?;
        let message = decode(&method.input(), &body)?;
        let answer = app.analytics.call(&method, message, &head.headers, deadline).await?;
        encode(&answer)
    };
    match answer.await {
        Ok(json) => {
            let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
            (headers, json).into_response()
        }
        Err(status) => error::response(&status),
    }
}

/// No such method or service.
pub(crate) fn unknown(name: &str) -> Response {
    let status = Status::unimplemented(format!("{name} does not exist"));
    error::response_with(StatusCode::NOT_FOUND, &status)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(MediaType::parse).is_some_and(|media_type| {
        media_type.essence == "application/json"
            && media_type.charset.is_none_or(|charset| charset == "utf-8")
    })
}

/// The deadline of the call, also checking the version of the protocol.
fn deadline(headers: &HeaderMap) -> Result<Duration, Status> {
    if headers.get(PROTOCOL_VERSION).is_some_and(|version| version != "1") {
        return Err(Status::invalid_argument("connect-protocol-version must be 1"));
    }
    let Some(timeout) = headers.get(TIMEOUT) else {
        return Ok(DEFAULT_DEADLINE);
    };
    let digits = timeout.to_str().ok().filter(|text| {
        (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    });
    digits
        .and_then(|digits| digits.parse().ok())
        .filter(|milliseconds| *milliseconds > 0)
        .map(Duration::from_millis)
        .ok_or_else(|| {
            Status::invalid_argument("connect-timeout-ms must be 1 to 10 digits, and more than 0")
        })
}

fn status_of(error: &BodyError) -> Status {
    let text = error.to_string();
    match error {
        BodyError::TooLarge => Status::resource_exhausted(text),
        BodyError::Encoding => Status::unimplemented(text),
        BodyError::TooSlow => Status::deadline_exceeded(text),
        BodyError::Compression => Status::invalid_argument(text),
        BodyError::Broken => Status::cancelled(text),
    }
}

/// Reads a request message; an error names the field.
fn decode(descriptor: &MessageDescriptor, body: &[u8]) -> Result<DynamicMessage, Status> {
    let name = descriptor.full_name().to_owned();
    let refused = |place: &str, error: &dyn std::fmt::Display| {
        Status::invalid_argument(format!("cannot decode {place} from JSON: {error}"))
    };
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let whole: serde_json::Value = serde_json::from_slice(body)
        .map_err(|error| refused(&format!("message {name}"), &error))?;
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let message = DynamicMessage::deserialize_with_options(descriptor.clone(), tracked, &options);
    let message = message.map_err(|error| match track.path().to_string() {
        path if path == "." => refused(&format!("message {name}"), &error),
        path => refused(&format!("field {name}.{path}"), &error),
    })?;
    match names::unknown(descriptor, &whole) {
        Some(unknown) => Err(refused(&format!("field {name}.{}", unknown.path), &unknown.problem)),
        None => Ok(message),
    }
}

fn encode(message: &DynamicMessage) -> Result<Vec<u8>, Status> {
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut json = serde_json::Serializer::new(Vec::with_capacity(1024));
    message
        .serialize_with_options(&mut json, &options)
        .map_err(|error| Status::internal(format!("answer without JSON form: {error}")))?;
    Ok(json.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Contract;

    fn refusal(body: &str) -> String {
        let contract = Contract::new().unwrap();
        let descriptor = contract.message("modash.v1.RecentRequestsRequest").unwrap();
        decode(&descriptor, body.as_bytes()).unwrap_err().message().to_owned()
    }

    #[test]
    fn a_refusal_names_the_field() {
        let text = refusal(r#"{"filter":{"users":["a",1]}}"#);
        assert!(text.contains("modash.v1.RecentRequestsRequest.filter.users"), "{text}");
        let text = refusal(r#"{"page":1,"pageSize":"x"}"#);
        assert!(text.contains("modash.v1.RecentRequestsRequest.pageSize"), "{text}");
        let text = refusal(r#"{"filter":{"outcomes":["OUTCOME_OKAY"]}}"#);
        assert!(text.contains("modash.v1.RecentRequestsRequest.filter.outcomes[0]"), "{text}");
    }

    #[test]
    fn what_is_not_json_is_refused_as_message() {
        for body in ["", "{", "{} {}", "[]", "null1"] {
            let text = refusal(body);
            assert!(text.contains("message modash.v1.RecentRequestsRequest"), "{body}: {text}");
        }
    }

    #[test]
    fn the_deadline_has_at_most_ten_digits() {
        let parse = |value: &str| {
            let headers: HeaderMap = [(TIMEOUT, value.parse().unwrap())].into_iter().collect();
            deadline(&headers)
        };
        assert_eq!(parse("1500").unwrap(), Duration::from_millis(1500));
        assert_eq!(parse("9999999999").unwrap(), Duration::from_millis(9_999_999_999));
        for wrong in ["", "0", "12345678901", "-1", "1.5", "+1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
