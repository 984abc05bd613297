//! `POST /rpc`: a body of frames in, a body of frames out, for unmodified
//! Effect RPC clients. All of it is frames, errors of the HTTP layer too.

mod call;
mod frame;

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use serde_json::value::RawValue;
use tracing::{Instrument as _, Span};

pub(crate) use frame::Frame;

use crate::{
    body::{self, BodyError},
    media_type::MediaType,
    state::App,
};
use frame::Incoming;

/// Most frames of one body.
const MOST_CALLS: usize = 128;

/// Calls of one body that run at the same time.
const CONCURRENT_CALLS: usize = 16;

/// How frames are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Framing {
    /// One JSON array.
    Json,
    /// One line each; answered with the media type of the request.
    Lines(&'static str),
}

impl Framing {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let Some(media_type) = headers.get(CONTENT_TYPE) else {
            return Some(Self::Json);
        };
        match MediaType::parse(media_type)?.essence.as_str() {
            "application/json" | "text/plain" => Some(Self::Json),
            "application/ndjson" => Some(Self::Lines("application/ndjson")),
            "application/x-ndjson" => Some(Self::Lines("application/x-ndjson")),
            _ => None,
        }
    }
}

/// Serves `/rpc` and `/rpc/`.
pub(crate) async fn serve(State(app): State<App>, request: Request) -> Response {
    if request.method() != Method::POST {
        let text = "calls are posted to this path";
        let mut response = refusal(request.headers(), StatusCode::METHOD_NOT_ALLOWED, text);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let (head, body) = request.into_parts();
    let Some(framing) = Framing::of(&head.headers) else {
        let text = "the content type must be application/json or application/ndjson";
        return refusal(&head.headers, StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    };
    let body = match body::read(&head.headers, body).await {
        Ok(body) => body,
        Err(error) => return refusal(&head.headers, status_of(&error), error.to_string()),
    };
    match framing {
        Framing::Json => json(&app, &head.headers, &body).await,
        Framing::Lines(media_type) => lines(app, head.headers, &body, media_type),
    }
}

/// A `Defect` with a status other than 200: the call never began. Framed as the request
/// is, since a client of lines ignores an array and waits for ever.
pub(crate) fn refusal(
    headers: &HeaderMap,
    status: StatusCode,
    text: impl Into<String>,
) -> Response {
    let defect = Frame::error("Error", text);
    match Framing::of(headers) {
        Some(Framing::Lines(media_type)) => match line(&defect) {
            Ok(line) => (status, line_headers(media_type), line).into_response(),
            // Frames hold nothing that has no JSON form.
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        },
        Some(Framing::Json) | None => (status, array(&[defect])).into_response(),
    }
}

fn status_of(error: &BodyError) -> StatusCode {
    match error {
        BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
        BodyError::Compression | BodyError::Broken => StatusCode::BAD_REQUEST,
    }
}

/// One frame, or an array of frames; answers in the order of the requests.
async fn json(app: &App, headers: &HeaderMap, body: &[u8]) -> Response {
    let frames = match parse(body) {
        Ok(frames) => frames,
        Err(defect) => return array(&[defect]).into_response(),
    };
    let answers = stream::iter(frames)
        .map(|frame| answer(app, headers, frame))
        .buffered(CONCURRENT_CALLS)
        .filter_map(std::future::ready);
    array(&answers.collect::<Vec<_>>().await).into_response()
}

/// Frames of a JSON body, read one by one so that a bad one does not spoil the
/// others.
fn parse(body: &[u8]) -> Result<Vec<Result<Incoming, Frame>>, Frame> {
    let body: &RawValue =
        serde_json::from_slice(body).map_err(|error| syntax_error(body, &error))?;
    if body.get().starts_with('[') {
        let frames: Vec<&RawValue> = serde_json::from_str(body.get())
            .map_err(|error| Frame::error("SyntaxError", error.to_string()))?;
        if frames.len() > MOST_CALLS {
            return Err(too_many());
        }
        Ok(frames.into_iter().map(Incoming::read).collect())
    } else {
        Ok(vec![Incoming::read(body)])
    }
}

fn too_many() -> Frame {
    Frame::error("Error", format!("a body may have at most {MOST_CALLS} calls; send several"))
}

fn syntax_error(body: &[u8], error: &serde_json::Error) -> Frame {
    let message = if body.trim_ascii().is_empty() {
        "Unexpected end of JSON input".to_owned()
    } else {
        format!("the body is not JSON: {error}")
    };
    Frame::error("SyntaxError", message)
}

/// One frame each line; answers as they come. A bad line ends the body.
fn lines(app: App, headers: HeaderMap, body: &[u8], media_type: &'static str) -> Response {
    let mut frames = Vec::new();
    let mut defect = None;
    // As in an array: none of too many calls runs.
    let calls = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    if calls.count() > MOST_CALLS {
        defect = Some(too_many());
    }
    let body: &[u8] = if defect.is_some() { &[] } else { body };
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        match serde_json::from_slice::<&RawValue>(line) {
            Ok(text) => match Incoming::read(text) {
                Ok(frame) => frames.push(frame),
                Err(frame) => defect = Some(frame),
            },
            Err(error) => defect = Some(syntax_error(line, &error)),
        }
        if defect.is_some() {
            break;
        }
    }
    // The body is made after its head was answered.
    let span = Span::current();
    let answers = stream::iter(frames)
        .map(move |frame| {
            let (app, headers) = (app.clone(), headers.clone());
            async move { answer(&app, &headers, Ok(frame)).await }.instrument(span.clone())
        })
        .buffer_unordered(CONCURRENT_CALLS)
        .filter_map(std::future::ready)
        .chain(stream::iter(defect))
        .map(|frame| line(&frame));
    (line_headers(media_type), Body::from_stream(answers)).into_response()
}

fn line(frame: &Frame) -> serde_json::Result<Bytes> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    Ok(line.into())
}

fn line_headers(media_type: &'static str) -> [(HeaderName, &'static str); 2] {
    [(CONTENT_TYPE, media_type), (CACHE_CONTROL, "no-store")]
}

async fn answer(app: &App, headers: &HeaderMap, frame: Result<Incoming, Frame>) -> Option<Frame> {
    match frame {
        Ok(Incoming::Request(request)) => call::run(app, headers, *request).await,
        Ok(Incoming::Ping) => Some(Frame::Pong),
        Ok(Incoming::Ignored) => None,
        Err(defect) => Some(defect),
    }
}

fn array(frames: &[Frame]) -> Response {
    match serde_json::to_vec(frames) {
        Ok(body) => {
            let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
            (headers, body).into_response()
        }
        // Frames hold nothing that has no JSON form.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
