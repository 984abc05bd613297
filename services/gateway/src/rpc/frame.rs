//! The frames of the Effect RPC protocol in its two dialects: what a client
//! sends, and what it gets.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, value::RawValue};

/// Which generation of clients asks. They cannot read each other's failures;
/// the JSON type of a request's id tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The id is a string of digits.
    V3,
    /// The id is a number.
    V4,
}

/// A frame from a client.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A call, boxed because the others are nothing.
    Request(Box<Request>),
    /// Asks for a `Pong`.
    Ping,
    /// `Eof`, `Interrupt`, `Ack`: mean nothing over HTTP.
    Ignored,
}

/// A call of a procedure.
#[derive(Debug)]
pub(crate) struct Request {
    /// Told by the id.
    pub(crate) dialect: Dialect,
    /// As it was written: it may have more digits than any number here.
    pub(crate) id: Box<RawValue>,
    /// Name of the procedure.
    pub(crate) tag: String,
    /// Absent, null and `{}` are the same.
    pub(crate) payload: Option<Box<RawValue>>,
    /// Further headers for this call.
    pub(crate) headers: Vec<(String, String)>,
    /// Trace of the caller as `traceparent`, for callers without that header.
    pub(crate) traceparent: Option<String>,
    /// How much of an answer is wanted.
    pub(crate) wanted: Wanted,
}

/// How much of an answer a caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    Answer,
    /// Only that the call was understood.
    Receipt,
    /// Nothing.
    Nothing,
}

impl Incoming {
    /// Reads one frame; an error is the `Defect` to answer.
    pub(crate) fn read(text: &RawValue) -> Result<Self, Frame> {
        // As in a client's JSON, the last one of equal keys counts.
        let fields: HashMap<String, &RawValue> = match serde_json::from_str(text.get()) {
            Ok(fields) => fields,
            Err(_) => return Err(Frame::defect("Unknown request tag: undefined")),
        };
        match string(&fields, "_tag").as_deref() {
            Some("Request") => {
                Request::read(&fields).map(|request| Self::Request(Box::new(request)))
            }
            Some("Ping") => Ok(Self::Ping),
            Some("Eof" | "Interrupt" | "Ack") => Ok(Self::Ignored),
            other => {
                let tag = shortened(other.unwrap_or("undefined"));
                Err(Frame::defect(format!("Unknown request tag: {tag}")))
            }
        }
    }
}

impl Request {
    fn read(fields: &HashMap<String, &RawValue>) -> Result<Self, Frame> {
        let id = fields.get("id").copied();
        let Some((id, dialect)) = id.and_then(|id| Some((id, dialect(id)?))) else {
            let id = shortened(id.map_or("undefined", RawValue::get));
            return Err(Frame::defect(format!("Invalid request id: {id}")));
        };
        let flag = |name| fields.get(name).is_some_and(|value| value.get() == "true");
        Ok(Self {
            dialect,
            id: id.to_owned(),
            tag: string(fields, "tag").unwrap_or_else(|| "undefined".to_owned()),
            payload: fields.get("payload").map(|payload| (*payload).to_owned()),
            headers: fields
                .get("headers")
                .and_then(|headers| serde_json::from_str(headers.get()).ok())
                .unwrap_or_default(),
            traceparent: traceparent(fields),
            wanted: match dialect {
                Dialect::V4 if flag("isNotification") => Wanted::Nothing,
                Dialect::V4 if flag("discard") => Wanted::Receipt,
                _ => Wanted::Answer,
            },
        })
    }
}

fn dialect(id: &RawValue) -> Option<Dialect> {
    match id.get().as_bytes().first()? {
        b'-' | b'0'..=b'9' => Some(Dialect::V4),
        b'"' => {
            let digits: String = serde_json::from_str(id.get()).ok()?;
            let decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            decimal.then_some(Dialect::V3)
        }
        _ => None,
    }
}

fn string(fields: &HashMap<String, &RawValue>, name: &str) -> Option<String> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}

/// All three parts or none.
fn traceparent(fields: &HashMap<String, &RawValue>) -> Option<String> {
    let hex = |name, digits| {
        string(fields, name)
            .filter(|id| id.len() == digits && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let sampled: bool = serde_json::from_str(fields.get("sampled")?.get()).ok()?;
    let (trace, span) = (hex("traceId", 32)?, hex("spanId", 16)?);
    Some(format!("00-{trace}-{span}-0{}", u8::from(sampled)).to_ascii_lowercase())
}

/// Text of a caller, short enough to be sent back.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

/// A frame for a client.
#[derive(Debug, Serialize)]
#[serde(tag = "_tag")]
pub(crate) enum Frame {
    /// The end of one call.
    Exit {
        /// As the client wrote it.
        #[serde(rename = "requestId")]
        request_id: Box<RawValue>,
        /// How it ended.
        exit: Exit,
    },
    /// The end of all calls of the client.
    Defect {
        /// A text, or an object with `name` and `message`.
        defect: Value,
    },
    /// The answer to a `Ping`.
    Pong,
}

/// How a call ended.
#[derive(Debug, Serialize)]
#[serde(tag = "_tag")]
pub(crate) enum Exit {
    /// With a value.
    Success {
        /// JSON of the value.
        value: Box<RawValue>,
    },
    /// Without one.
    Failure {
        /// Why.
        cause: Cause,
    },
}

/// Why a call failed, in the form of either dialect.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Cause {
    /// v3.
    Tree(Reason),
    /// v4.
    List([Reason; 1]),
}

/// One reason of a failure.
#[derive(Debug, Serialize)]
#[serde(tag = "_tag")]
pub(crate) enum Reason {
    /// A failure that callers expect.
    Fail {
        /// What failed.
        error: DatabaseError,
    },
    /// A mistake of the caller or of ours.
    Die {
        /// What is wrong.
        defect: String,
    },
    /// The gateway or analytics stops.
    Interrupt {
        /// Nobody in particular.
        #[serde(rename = "fiberId")]
        fiber_id: Value,
    },
}

/// The one failure that callers declare.
#[derive(Debug, Serialize)]
#[serde(tag = "_tag")]
pub(crate) struct DatabaseError {
    /// For a person: what failed and whether to try again.
    pub(crate) message: String,
}

impl Frame {
    /// A defect that is a text.
    pub(crate) fn defect(text: impl Into<String>) -> Self {
        Self::Defect { defect: Value::String(text.into()) }
    }

    /// A defect that a client turns into an Error.
    pub(crate) fn error(name: &str, message: impl Into<String>) -> Self {
        Self::Defect { defect: serde_json::json!({"name": name, "message": message.into()}) }
    }

    /// A success.
    pub(crate) fn success(request_id: Box<RawValue>, value: Box<RawValue>) -> Self {
        Self::Exit { request_id, exit: Exit::Success { value } }
    }

    /// A failure in the form of the dialect.
    pub(crate) fn failure(dialect: Dialect, request_id: Box<RawValue>, reason: Reason) -> Self {
        let cause = match dialect {
            Dialect::V3 => Cause::Tree(reason),
            Dialect::V4 => Cause::List([reason]),
        };
        Self::Exit { request_id, exit: Exit::Failure { cause } }
    }

    /// No such procedure, as the dialect says it.
    pub(crate) fn unknown_procedure(dialect: Dialect, id: Box<RawValue>, tag: &str) -> Self {
        let defect = format!("Unknown request tag: {}", shortened(tag));
        match dialect {
            Dialect::V3 => Self::defect(defect),
            Dialect::V4 => Self::failure(dialect, id, Reason::Die { defect }),
        }
    }
}

impl Reason {
    /// The call was given up, by nobody in particular.
    pub(crate) fn interrupt(dialect: Dialect) -> Self {
        let fiber_id = match dialect {
            Dialect::V3 => serde_json::json!({"_tag": "None"}),
            Dialect::V4 => Value::Null,
        };
        Self::Interrupt { fiber_id }
    }
}
