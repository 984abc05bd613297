//! One call of `/rpc`: payload in, question to analytics, frame out. Nothing
//! that happens here ends another call.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use prost_reflect::{DynamicMessage, MethodDescriptor};
use serde_json::{Value, value::RawValue};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tracing::{Instrument as _, Span};

use super::frame::{DatabaseError, Dialect, Frame, Reason, Request, Wanted};
use crate::{
    analytics::TRACEPARENT,
    contract::Contract,
    payload::{self, Mistakes},
    state::App,
    trace,
    view::View,
};

/// A client waits for ever, so every call ends within this time.
const DEADLINE: Duration = Duration::from_secs(10);

/// Runs a call to its frame; `None` if the caller wants no answer. A panic is
/// a `Defect`.
pub(crate) async fn run(app: &App, headers: &HeaderMap, request: Request) -> Option<Frame> {
    let wanted = request.wanted;
    let frame = guarded(answer(app, headers, request)).await;
    (wanted != Wanted::Nothing).then_some(frame)
}

async fn guarded(call: impl Future<Output = Frame>) -> Frame {
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a call panicked");
        Frame::error("Error", "internal error of the gateway; its log has more")
    })
}

async fn answer(app: &App, headers: &HeaderMap, request: Request) -> Frame {
    let Request { dialect, id, tag, payload, .. } = &request;
    let method = app.contract.method(tag).filter(|method| !method.is_server_streaming());
    let Some(method) = method else {
        return Frame::unknown_procedure(*dialect, id.clone(), tag);
    };
    let receipt = request.wanted == Wanted::Receipt;
    if receipt && Contract::only_reads(&method) {
        // The value would be thrown away, so there is nothing to do.
        return Frame::success(id.clone(), RawValue::NULL.to_owned());
    }
    let message = match read_payload(&method, payload.as_deref()) {
        Ok(message) => message,
        Err(defect) => return Frame::failure(*dialect, id.clone(), Reason::Die { defect }),
    };
    let request_is_traced = headers.contains_key(TRACEPARENT);
    let headers = headers_of(headers, &request);
    let span = if !request_is_traced && headers.contains_key(TRACEPARENT) {
        trace::of_its_own(&headers)
    } else {
        Span::none()
    };
    let value = app.analytics.call(&method, message, &headers, DEADLINE).instrument(span).await;
    let value = value.and_then(|message| {
        serde_json::value::to_raw_value(&View(&message))
            .map_err(|error| Status::internal(format!("answer without JSON form: {error}")))
    });
    match value {
        Ok(_) if receipt => Frame::success(id.clone(), RawValue::NULL.to_owned()),
        Ok(value) => Frame::success(id.clone(), value),
        Err(status) => failure(*dialect, id.clone(), tag, &status),
    }
}

/// The request message; an error names every field that is wrong.
fn read_payload(
    method: &MethodDescriptor,
    payload: Option<&RawValue>,
) -> Result<DynamicMessage, String> {
    let payload: Value = payload
        .map_or(Ok(Value::Null), |payload| serde_json::from_str(payload.get()))
        .map_err(|error| format!("payload: {error}"))?;
    let mut mistakes = Mistakes::default();
    let message = payload::read(&method.input(), &payload, &mut mistakes);
    if method.name() == "RecentRequests" {
        // A page that was not asked for is a bug of the caller, and must not
        // cost a question to the database.
        require(&message, "page", u32::MAX, &mut mistakes);
        require(&message, "pageSize", 100, &mut mistakes);
    }
    mistakes.into_result().map(|()| message)
}

/// A field that must be there and from 1 to `most`.
fn require(message: &DynamicMessage, name: &str, most: u32, mistakes: &mut Mistakes) {
    use prost_reflect::ReflectMessage as _;
    let field = message.descriptor().get_field_by_json_name(name);
    let value = field.and_then(|field| message.get_field(&field).as_u32()).unwrap_or_default();
    if !(1..=most).contains(&value) && !mistakes.mention(name) {
        let expected =
            if most == u32::MAX { "1 or more".to_owned() } else { format!("from 1 to {most}") };
        mistakes.add(name, format!("must be given and {expected}"));
    }
}

/// Headers of the HTTP request and those of the frame, which never replace
/// what says who calls.
fn headers_of(headers: &HeaderMap, request: &Request) -> HeaderMap {
    const FIXED: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::HOST];
    let mut all = headers.clone();
    for (name, value) in &request.headers {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>())
        else {
            continue;
        };
        if !(FIXED.contains(&name) && headers.contains_key(&name)) {
            all.insert(name, value);
        }
    }
    if let (false, Some(trace)) = (all.contains_key(TRACEPARENT), &request.traceparent)
        && let Ok(trace) = trace.parse()
    {
        all.insert(TRACEPARENT, trace);
    }
    all
}

/// What a status means to a client of `/rpc`.
fn failure(dialect: Dialect, id: Box<RawValue>, tag: &str, status: &Status) -> Frame {
    let reason = match status.code() {
        Code::Unimplemented => return Frame::unknown_procedure(dialect, id, tag),
        Code::Cancelled => Reason::interrupt(dialect),
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::PermissionDenied
        | Code::Unauthenticated => Reason::Die { defect: refusal(status) },
        _ => {
            let message = match status.message() {
                "" => "usage data is unavailable; try again in a few seconds".to_owned(),
                message => message.to_owned(),
            };
            Reason::Fail { error: DatabaseError { message } }
        }
    };
    Frame::failure(dialect, id, reason)
}

/// Why a request was refused, with fields named as in a payload.
fn refusal(status: &Status) -> String {
    let Some(details) = status.get_details_bad_request() else {
        return status.message().to_owned();
    };
    let lines = details
        .field_violations
        .iter()
        .map(|violation| format!("{}: {}", camel_case(&violation.field), violation.description));
    lines.collect::<Vec<_>>().join("; ")
}

fn camel_case(path: &str) -> String {
    let mut upper = false;
    let mut text = String::with_capacity(path.len());
    for letter in path.chars() {
        match letter {
            '_' => upper = true,
            _ if upper => {
                text.extend(letter.to_uppercase());
                upper = false;
            }
            _ => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_defect() {
        let frame = guarded(async { panic!("kaboom with a secret") }).await;
        let text = serde_json::to_string(&frame).unwrap();
        assert!(text.starts_with(r#"{"_tag":"Defect","defect":{"#), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn fields_are_named_as_in_a_payload() {
        assert_eq!(camel_case("range.time_zone[1].page_size"), "range.timeZone[1].pageSize");
    }
}
