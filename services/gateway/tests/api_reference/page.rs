//! `docs/api.md`.

use modash_proto::{ErrorCode, Reason};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ServiceDescriptor};
use tonic::Code;

use crate::contract::Contract;

const HEAD: &str = "\
# API

All services, methods, messages and enums of modash, made from the comments of `proto/modash/v1`; a test compares the
page (`MODASH_TEST_WRITE=1 cargo test --workspace --test api_reference` writes it anew). [openapi.json](openapi.json)
describes the plain JSON form as OpenAPI 3.1; the gateway serves it at `/openapi.json`. [examples](../examples/README.md)
has programs in five languages.

## Where to ask

| address | method and path | form |
|---|---|---|
| gateway, 4006 | `POST /rpc/<Method>`, or `POST /modash.v1.AnalyticsService/<Method>` | plain JSON, `content-type: application/json`; unary calls of the Connect protocol |
| gateway, 4006 | `POST /rpc` | frames of Effect RPC, versions 3 and 4 |
| gateway, 4006 | `GET /events` | server-sent events, in place of `Subscribe` |
| gateway, 4006, and analytics, 4007 | `POST /modash.v1.AnalyticsService/<Method>` | grpc-web |
| analytics, 4007 | the same path over HTTP/2 | gRPC, with server reflection and health |

Where access tokens are configured, each of them takes `authorization: Bearer <token>` ([security](security.md)).

## Fields in JSON

Fields are named in lowerCamelCase: `time_zone` is `timeZone`. Requests of plain JSON may use either. Unknown fields of a
request are ignored.

| type | plain JSON | Effect RPC and `/events` |
|---|---|---|
| `uint64`, `int64` | string of digits; requests may use a number | number |
| `fixed64` | string of digits | 16 hexadecimal digits |
| `uint32` | number | number |
| `double` | number, or `\"NaN\"` | number, or `null` for NaN |
| `Timestamp` | text as in RFC 3339, for example `\"2026-11-23T13:42:33.618Z\"` | milliseconds since 1970; requests may use RFC 3339 |
| `Duration` | seconds, for example `\"1.5s\"` | milliseconds; requests may use seconds as text |
| enum | name of the value; requests may use its number | name of the value |
| `bytes` | base64 | base64 |
| `optional` or message, not set | left out | `null` |

## Errors

Plain JSON answers an error with the status of this table and `{\"code\", \"message\", \"details\"}`. `details` is a list of
`{\"type\", \"value\"}`, where the value is a message in base64: `google.rpc.BadRequest` names every field that is wrong,
`google.rpc.ErrorInfo` has a stable reason. gRPC has the same in `grpc-status-details-bin`. Effect RPC answers invalid
arguments with `Die`, other errors with the typed failure `DatabaseError`.

";

const OTHER_ANSWERS: &str = "
Besides, plain JSON answers 404 with the code `unimplemented` for a method that does not exist, 405 without a body for
methods other than POST, and 415 for other content types; a body that is neither plain nor packed with gzip
is `unimplemented`.
";

const REASONS: &str = "
`google.rpc.ErrorInfo` has the domain `modash` and one of these reasons, or one of those of [tokens](security.md#where-tokens-are-asked-for). They
never change. Where the same call may succeed later, `google.rpc.RetryInfo` says when, and plain JSON has `retry-after`.

| reason | code | try again after | meaning |
|---|---|---|---|
";

/// What may go wrong in a query, in the order of the HTTP statuses.
pub(crate) const ERRORS: [(Code, &str); 10] = [
    (
        Code::InvalidArgument,
        "A field, a header or the body is wrong; the message names each field and what it must be.",
    ),
    (Code::Unauthenticated, "The token is missing, unknown, revoked or expired."),
    (Code::PermissionDenied, "The token does not allow this, or the page of another site asked."),
    (
        Code::ResourceExhausted,
        "The request is larger than 1 MiB, the answer would read too many rows, or too many calls run.",
    ),
    (Code::Cancelled, "The caller disconnected, or the body broke off."),
    (Code::Internal, "The database or the gateway failed; the log says why."),
    (Code::Unimplemented, "The method has no such form, or the running version does not know it."),
    (Code::Unavailable, "Analytics or the database cannot be reached; try again."),
    (
        Code::DeadlineExceeded,
        "The deadline of the caller or of modash passed; try again with a shorter range.",
    ),
    (Code::Unknown, "An error without a code."),
];

/// The whole page.
pub(crate) fn page(contract: &Contract) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("| code | gRPC | HTTP | meaning |\n|---|---|---|---|\n");
    for (grpc, meaning) in ERRORS {
        let code = ErrorCode::from(grpc);
        page.push_str(&format!(
            "| `{}` | {} | {} | {meaning} |\n",
            code.name(),
            grpc as i32,
            code.http_status(),
        ));
    }
    page.push_str(OTHER_ANSWERS);
    page.push_str(REASONS);
    for reason in Reason::ALL {
        let wait = reason.retry_after().map(|wait| format!("{} s", wait.as_secs()));
        page.push_str(&format!(
            "| `{}` | `{}` | {} | {} |\n",
            reason.name(),
            ErrorCode::from(reason.code()).name(),
            wait.as_deref().unwrap_or("–"),
            reason.meaning(),
        ));
    }
    let mut services: Vec<_> =
        contract.files().flat_map(|file| file.services().collect::<Vec<_>>()).collect();
    services.sort_by_key(|service| *service != contract.queries());
    services.iter().for_each(|about| service(contract, about, &mut page));
    page.push_str("\n## Messages\n");
    for file in contract.files() {
        let messages = file.messages();
        messages.for_each(|about| message(contract, &about, &mut page));
    }
    page.push_str("\n## Enums\n");
    for file in contract.files() {
        file.enums().for_each(|about| enumeration(contract, &about, &mut page));
    }
    page
}

fn service(contract: &Contract, service: &ServiceDescriptor, page: &mut String) {
    page.push_str(&format!("\n## {}\n\n{}\n", service.name(), contract.comment(service)));
    for method in service.methods() {
        let stream = |streams: bool| if streams { "stream of " } else { "" };
        let doors = if *service == contract.queries() { "gRPC and grpc-web" } else { "gRPC" };
        page.push_str(&format!(
            "\n### {}\n\n{}\n\n{}{} → {}{}\n\n- {doors}: `{}/{}`\n",
            method.name(),
            contract.comment(&method),
            stream(method.is_client_streaming()),
            link(method.input().name()),
            stream(method.is_server_streaming()),
            link(method.output().name()),
            service.full_name(),
            method.name(),
        ));
        if *service != contract.queries() {
            continue;
        }
        if method.is_server_streaming() {
            page.push_str("- server-sent events: `GET /events`\n");
        } else {
            let name = method.name();
            page.push_str(&format!("- plain JSON: `POST /rpc/{name}`\n"));
            page.push_str(&format!("- Effect RPC: `POST /rpc`, procedure `{name}`\n"));
        }
    }
}

fn message(contract: &Contract, message: &MessageDescriptor, page: &mut String) {
    page.push_str(&format!("\n### {}\n\n{}\n", message.name(), contract.comment(message)));
    if message.fields().len() == 0 {
        return;
    }
    page.push_str("\n| field | type | meaning |\n|---|---|---|\n");
    for field in message.fields() {
        let kind = field_type(&field);
        let meaning = contract.line(&field);
        page.push_str(&format!("| `{}` | {kind} | {meaning} |\n", field.name()));
    }
}

fn enumeration(contract: &Contract, names: &EnumDescriptor, page: &mut String) {
    page.push_str(&format!("\n### {}\n\n{}\n\n", names.name(), contract.comment(names)));
    page.push_str("| value | number | meaning |\n|---|---|---|\n");
    for value in names.values() {
        let meaning = contract.line(&value);
        page.push_str(&format!("| `{}` | {} | {meaning} |\n", value.name(), value.number()));
    }
}

fn field_type(field: &FieldDescriptor) -> String {
    if field.is_map() {
        return "map of string to string".to_owned();
    }
    let kind = match field.kind() {
        Kind::Message(message) if message.package_name() == "modash.v1" => link(message.name()),
        Kind::Message(message) => message.name().to_owned(),
        Kind::Enum(names) => link(names.name()),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    let oneof = field.containing_oneof();
    match oneof.filter(|oneof| !oneof.is_synthetic()) {
        _ if field.is_list() => format!("list of {kind}"),
        Some(oneof) => format!("{kind}, one of `{}`", oneof.name()),
        None if field.supports_presence() && field.kind().as_message().is_none() => {
            format!("optional {kind}")
        }
        None => kind,
    }
}

fn link(name: &str) -> String {
    format!("[{name}](#{})", name.to_lowercase())
}
