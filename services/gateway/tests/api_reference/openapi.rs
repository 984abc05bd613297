//! `docs/openapi.json`: the plain JSON form of the gateway as OpenAPI 3.1.

use std::collections::BTreeMap;

use modash_proto::ErrorCode;
use prost_reflect::MethodDescriptor;
use serde_json::{Map, Value, json};

use crate::{
    contract::Contract,
    page,
    schemas::{Direction, Schemas},
};

const ABOUT: &str = "\
The plain JSON form of the gateway: unary calls of the Connect protocol, with messages in proto3 JSON. \
`POST /modash.v1.AnalyticsService/<Method>` is the same as `POST /rpc/<Method>`. Counts of 64 bits are strings of \
digits, unknown fields of a request are ignored, and optional fields that are not set are left out of an answer. \
A method that does not exist is answered with 404 and the code `unimplemented`. Bodies have at most 1 MiB and may be \
packed with gzip. gRPC, grpc-web and Effect RPC are described in docs/api.md.";

const TOKEN: &str = "Needed where access tokens are configured. A token has the form \
    modash_… and is made by `modash token new`.";

/// The description, indented.
pub(crate) fn text(contract: &Contract) -> String {
    let mut schemas = Schemas::new(contract);
    let mut paths: BTreeMap<String, Value> = contract
        .queries()
        .methods()
        .filter(|method| !method.is_server_streaming())
        .map(|method| {
            let operation = call(contract, &method, &mut schemas);
            (format!("/rpc/{}", method.name()), json!({ "post": operation }))
        })
        .collect();
    paths.insert("/events".to_owned(), json!({ "get": events() }));
    paths.insert("/healthz".to_owned(), json!({ "get": health() }));
    paths.insert("/openapi.json".to_owned(), json!({ "get": this() }));
    let mut schemas = schemas.into_all();
    schemas.insert("Error".to_owned(), error());
    let description = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "modash",
            "version": "v1",
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The gateway, http://127.0.0.1:4006 by default." }],
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses(),
            "parameters": parameters(),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": TOKEN },
            },
        },
    });
    format!("{}\n", serde_json::to_string_pretty(&description).unwrap())
}

fn call(contract: &Contract, method: &MethodDescriptor, schemas: &mut Schemas<'_>) -> Value {
    let request = schemas.message(&method.input(), Direction::Request);
    let answer = schemas.message(&method.output(), Direction::Answer);
    let mut responses = Map::from_iter([("200".to_owned(), body("The answer.", &answer))]);
    let errors = page::ERRORS.map(|(code, _)| ErrorCode::from(code).http_status());
    for status in errors.into_iter().chain([405, 415]) {
        let reference = json!({ "$ref": format!("#/components/responses/{status}") });
        responses.insert(status.to_string(), reference);
    }
    json!({
        "operationId": method.name(),
        "summary": contract.line(method),
        "tags": ["queries"],
        "parameters": [
            { "$ref": "#/components/parameters/connect-timeout-ms" },
            { "$ref": "#/components/parameters/connect-protocol-version" },
        ],
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": request } },
        },
        "responses": responses,
    })
}

/// Headers that all methods take.
fn parameters() -> Value {
    json!({
        "connect-timeout-ms": {
            "name": "connect-timeout-ms",
            "in": "header",
            "description": "Deadline in milliseconds: 1 to 10 digits, and more than 0. Absent: 10 s.",
            "schema": {
                "type": "string",
                "pattern": "^[0-9]{0,9}[1-9][0-9]{0,9}$",
                "maxLength": 10,
            },
        },
        "connect-protocol-version": {
            "name": "connect-protocol-version",
            "in": "header",
            "description": "Version of the Connect protocol. Not needed.",
            "schema": { "type": "string", "const": "1" },
        },
    })
}

/// The answers that all methods share, by status.
fn responses() -> Map<String, Value> {
    let mut by_status = BTreeMap::<u16, Vec<String>>::new();
    for (code, meaning) in page::ERRORS {
        let code = ErrorCode::from(code);
        let meanings = by_status.entry(code.http_status()).or_default();
        meanings.push(format!("`{}`: {meaning}", code.name()));
    }
    let reference = json!({ "$ref": "#/components/schemas/Error" });
    let mut responses: Map<String, Value> = by_status
        .into_iter()
        .map(|(status, meanings)| (status.to_string(), body(&meanings.join("\n\n"), &reference)))
        .collect();
    let header =
        |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    responses["401"]["headers"] = json!({ "www-authenticate": header("The scheme: Bearer.") });
    responses.insert("405".to_owned(), empty("Another method than the one of this path.", "allow"));
    let media_type = "The content type is not application/json in UTF-8.";
    responses.insert("415".to_owned(), empty(media_type, "accept-post"));
    responses
}

/// An answer without a body, with a header that names what can be used.
fn empty(description: &str, header: &str) -> Value {
    json!({
        "description": description,
        "headers": {
            header: { "description": "What can be used.", "schema": { "type": "string" } },
        },
    })
}

fn body(description: &str, schema: &Value) -> Value {
    json!({
        "description": description,
        "content": { "application/json": { "schema": schema } },
    })
}

fn error() -> Value {
    let codes = page::ERRORS.map(|(code, _)| ErrorCode::from(code).name());
    json!({
        "type": "object",
        "description": "An error of the Connect protocol.",
        "required": ["code", "message"],
        "properties": {
            "code": { "type": "string", "enum": codes },
            "message": { "type": "string", "description": "What failed and what to do." },
            "details": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["type", "value"],
                    "properties": {
                        "type": {
                            "type": "string",
                            "description": "Name of a message, for example google.rpc.BadRequest.",
                        },
                        "value": {
                            "type": "string",
                            "contentEncoding": "base64",
                            "description": "The message in binary form, in base64 without padding.",
                        },
                    },
                },
            },
        },
    })
}

fn events() -> Value {
    let failure =
        |description: &str| body(description, &json!({ "$ref": "#/components/schemas/Error" }));
    json!({
        "operationId": "Events",
        "summary": "Changes as they happen, as server-sent events.",
        "description": "The first event is `connected`, then come `usage-updated` and \
            `request-state-updated`. The data of each is a JSON object in which numbers are numbers \
            and times are milliseconds since 1970. The stream ends only with the client or the gateway.",
        "tags": ["events"],
        "parameters": [
            {
                "name": "last-event-id",
                "in": "header",
                "description": "Id of the last event received: the stream continues after it.",
                "schema": { "type": "string" },
            },
            {
                "name": "lastEventId",
                "in": "query",
                "description": "The same, for clients that cannot set the header.",
                "schema": { "type": "string" },
            },
        ],
        "responses": {
            "200": {
                "description": "The stream.",
                "content": { "text/event-stream": { "schema": { "type": "string" } } },
            },
            "401": { "$ref": "#/components/responses/401" },
            "403": { "$ref": "#/components/responses/403" },
            "405": { "$ref": "#/components/responses/405" },
            "406": failure("The header `accept` excludes text/event-stream."),
            "500": { "$ref": "#/components/responses/500" },
            "503": failure("256 streams are open already."),
        },
    })
}

fn health() -> Value {
    let schema = json!({
        "type": "object",
        "required": ["status"],
        "properties": { "status": { "const": "ok" } },
    });
    json!({
        "operationId": "Health",
        "summary": "Whether the gateway answers. Needs no token.",
        "tags": ["service"],
        "security": [],
        "responses": {
            "200": body("It does.", &schema),
            "405": { "$ref": "#/components/responses/405" },
        },
    })
}

fn this() -> Value {
    json!({
        "operationId": "OpenApi",
        "summary": "This description. Needs no token.",
        "tags": ["service"],
        "security": [],
        "responses": {
            "200": body("The description.", &json!({ "type": "object" })),
            "405": { "$ref": "#/components/responses/405" },
        },
    })
}
