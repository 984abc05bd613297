//! The request observer: finds model, stream and user in the body without
//! holding it, through content codings, in JSON or in a multipart form.

mod multipart;

use std::sync::LazyLock;

use crate::decode::Decoder;
use crate::head::{BodyLines, text};
use crate::json::{Keep, Row, Scanner, Shape, Slots, Value};
use crate::limits::Limits;
use crate::request::multipart::Multipart;
use crate::target::Ask;
use crate::wire::{fold, value};

crate::wire::rows! { ROWS from 0, {
    MODEL = value("model");
    STREAM = value("stream");
    STREAM_FORMAT = value("stream_format");
    USER = value("user");
    USER_ID = value("metadata.user_id user_id");
    SAFETY_ID = value("safety_identifier");
    // OpenRouter, LiteLLM, Codex, Gemini CLI, Cohere.
    SESSION = value("session_id metadata.session_id litellm_session_id client_metadata.session_id request.session_id conversation_id");
    CONVERSATION = value("conversation");
    CONVERSATION_ID = value("conversation.id");
    // The Responses API, Gemini's Interactions.
    PREVIOUS = value("previous_response_id previous_interaction_id");
    PROMPT = fold("prompt[]", fold_prompt);
    PROMPTS = value("prompt.~count");
} }

static SHAPE: LazyLock<Shape> = LazyLock::new(|| Shape::new(ROWS));

/// Text to speech: what is spoken is counted, and in no other request.
static SPEECH: LazyLock<Shape> = LazyLock::new(|| Shape::new(ROWS.iter().chain(&[SPOKEN_ROW])));
const SPOKEN_ROW: Row = Row { path: "input", keep: Keep::Characters, fold: None };
const SPOKEN: usize = ROWS.len();

/// An element of a list of prompts; a list of numbers is one prompt in tokens.
fn fold_prompt(slots: &mut Slots, _: u64) {
    if matches!(slots.get(PROMPT), Some(Value::Text { .. } | Value::Array(_))) {
        slots.add(PROMPTS, 1);
    }
}

/// Observes one request body.
#[derive(Debug)]
pub(crate) struct Request {
    decoder: Option<Box<Decoder>>,
    body: Body,
    ended: bool,
}

#[derive(Debug)]
enum Body {
    Json(Box<Json>),
    Form(Box<Multipart>),
    Unreadable,
}

#[derive(Debug)]
struct Json {
    shape: &'static Shape,
    scanner: Scanner,
    slots: Slots,
    /// Something other than a byte order mark was read.
    begun: bool,
}

impl Request {
    /// `speech`: the request is for speech.
    pub(crate) fn new(lines: &BodyLines<'_>, speech: bool, limits: &Limits) -> Self {
        let decoder = Decoder::new(lines.codings.iter().copied(), limits);
        let shape: &'static Shape = if speech { &SPEECH } else { &SHAPE };
        let body = match lines.kind.and_then(text).and_then(multipart::boundary) {
            Some(boundary) => Body::Form(Box::new(Multipart::new(boundary, limits))),
            None => Body::Json(Box::new(Json {
                shape,
                scanner: Scanner::new(limits),
                slots: Slots::new(shape.slots()),
                begun: false,
            })),
        };
        Self { decoder: decoder.map(Box::new), body, ended: false }
    }

    /// A piece of the body as it crossed the wire.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let body = &mut self.body;
        match &mut self.decoder {
            None => body.push(bytes),
            Some(decoder) => {
                if decoder.push(bytes, &mut |decoded| body.push(decoded)).is_err() {
                    *body = Body::Unreadable;
                    self.decoder = None;
                }
            }
        }
    }

    /// The body has ended: nothing more will become known.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn model(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Json(json) => json.slots.text(MODEL),
            Body::Form(form) => form.model(),
            Body::Unreadable => None,
        }
    }

    pub(crate) fn user(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Json(json) => {
                let slots = &json.slots;
                slots.text(USER).or_else(|| slots.text(USER_ID)).or_else(|| slots.text(SAFETY_ID))
            }
            Body::Form(form) => form.user(),
            Body::Unreadable => None,
        }
    }

    /// Number of prompts, if it is a list of them.
    pub(crate) fn prompts(&self) -> usize {
        let Body::Json(json) = &self.body else { return 0 };
        json.slots.count(PROMPTS).and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
    }

    /// Characters of the text that is to be spoken, once all of the body was read.
    pub(crate) fn characters(&self) -> Option<u64> {
        let Body::Json(json) = &self.body else { return None };
        match json.slots.get(SPOKEN)? {
            Value::Length(characters) if self.is_conclusive() => Some(characters),
            _ => None,
        }
    }

    pub(crate) fn session(&self) -> Option<&[u8]> {
        let Body::Json(json) = &self.body else { return None };
        [SESSION, CONVERSATION_ID, CONVERSATION].iter().find_map(|slot| json.slots.text(*slot))
    }

    /// Id of the response that the answer follows.
    pub(crate) fn previous_response(&self) -> Option<&[u8]> {
        let Body::Json(json) = &self.body else { return None };
        json.slots.text(PREVIOUS)
    }

    /// Whether a stream is asked for, as far as the body was read.
    pub(crate) fn stream(&self, ask: Ask) -> bool {
        let (stream, refused, format) = match &self.body {
            Body::Json(json) => (
                json.slots.is_true(STREAM),
                json.slots.get(STREAM) == Some(Value::Bool(false)),
                json.slots.is(STREAM_FORMAT, "sse"),
            ),
            Body::Form(form) => (form.stream(), false, false),
            Body::Unreadable => (false, false, false),
        };
        match ask {
            Ask::Member => stream,
            Ask::Format => format,
            Ask::UnlessFalse => !refused,
            Ask::Yes => true,
            Ask::No => false,
        }
    }

    /// Whether it is certain that no stream is asked for.
    pub(crate) fn is_conclusive(&self) -> bool {
        let readable = match &self.body {
            Body::Json(json) => json.scanner.is_done(),
            Body::Form(_) => true,
            Body::Unreadable => false,
        };
        self.ended && readable
    }
}

impl Body {
    fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Json(json) => {
                let Json { shape, scanner, slots, begun } = &mut **json;
                let mut bytes = bytes;
                if !*begun {
                    bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
                    *begun = !bytes.is_empty();
                }
                if scanner.feed(bytes, shape, slots).is_err() {
                    *self = Self::Unreadable;
                }
            }
            Self::Form(form) => form.push(bytes),
            Self::Unreadable => {}
        }
    }
}
