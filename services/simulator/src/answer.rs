//! A response that is ready to be sent, and the memory of those that were built
//! before.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, uri::PathAndQuery};

use crate::{
    dialect::{self, Dialect},
    stats::Told,
    transcript::Transcript,
    turn::{Given, Pace, Refusal, Turn},
    wishes::{Fault, Wishes},
};

/// A response that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) transcript: Arc<Transcript>,
    pub(crate) stream: bool,
    pub(crate) pace: Pace,
    /// Time that a plain answer takes to be made.
    pub(crate) generation: Duration,
    /// What it tells about usage; errors tell nothing.
    pub(crate) told: Option<Arc<Told>>,
}

impl Answer {
    /// Makes the answer to a request.
    pub(crate) fn build(
        dialect: Dialect,
        uri: &Uri,
        wishes: &Wishes,
        body: &[u8],
        given: Given,
    ) -> Self {
        let query = uri.query().unwrap_or_default();
        let turn = Turn::read(dialect, uri.path(), query, wishes, body, given);
        let refusal = match wishes.status.filter(|status| *status >= 400) {
            Some(status) => {
                Some(Refusal { status, message: "The simulated server was asked to fail.".into() })
            }
            None => turn.as_ref().err().cloned(),
        };
        match (turn, refusal) {
            (Ok(turn), None) => Self::success(&turn, wishes),
            (_, refusal) => Self::error(dialect, &refusal.unwrap_or_default(), wishes, given),
        }
    }

    fn success(turn: &Turn, wishes: &Wishes) -> Self {
        let mut headers = HeaderMap::new();
        let content_type = match turn.stream {
            true => turn.dialect.stream_type(turn.sse),
            false => "application/json",
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if turn.stream {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        request_id(turn.dialect, turn.number, &mut headers);
        // Faults take the counts away, but for a broken event in mid-stream.
        let told = match wishes.fault {
            None => true,
            Some(Fault::Malformed) => turn.stream,
            Some(_) => false,
        };
        Self {
            status: wishes
                .status
                .and_then(|status| StatusCode::from_u16(status).ok())
                .unwrap_or_default(),
            headers,
            transcript: Arc::new(dialect::answer(turn, wishes)),
            stream: turn.stream,
            pace: turn.pace,
            generation: turn.generation_time(),
            told: told.then(|| Arc::new(Told::from(turn))),
        }
    }

    fn error(dialect: Dialect, refusal: &Refusal, wishes: &Wishes, given: Given) -> Self {
        let error = dialect.error(refusal.status, &refusal.message);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(refusal.status, 429 | 503 | 529) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        request_id(dialect, given.number, &mut headers);
        let text = error.text();
        Self {
            status: StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST),
            headers,
            transcript: Arc::new(Transcript::plain(text, wishes.fault, &error, None)),
            stream: false,
            pace: Pace { delay: wishes.delay.unwrap_or(given.pace.delay), ..given.pace },
            generation: Duration::ZERO,
            told: None,
        }
    }
}

fn request_id(dialect: Dialect, number: u64, headers: &mut HeaderMap) {
    let name = match dialect {
        Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => "request-id",
        Dialect::OpenAiChat
        | Dialect::OpenAiCompletions
        | Dialect::OpenAiResponses
        | Dialect::OpenAiEmbeddings => "x-request-id",
        _ => return,
    };
    if let Ok(value) = HeaderValue::try_from(format!("req_sim{number:012x}")) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Answers to byte-identical requests. Holds few, as a benchmark asks the same
/// few things; when it is full the oldest goes.
#[derive(Debug, Default)]
pub(crate) struct Prebuilt {
    entries: Mutex<Vec<Entry>>,
}

const PREBUILT_ENTRIES: usize = 16;

#[derive(Debug)]
struct Entry {
    /// With its query, but without the authority that HTTP/2 adds.
    path: Option<PathAndQuery>,
    wishes: Wishes,
    body: Bytes,
    answer: Arc<Answer>,
}

impl Prebuilt {
    /// The answer that was built for this request, or the one that `build` makes
    /// now.
    pub(crate) fn get(
        &self,
        uri: &Uri,
        wishes: &Wishes,
        body: &Bytes,
        build: impl FnOnce() -> Answer,
    ) -> Arc<Answer> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.iter().find(|entry| {
            entry.body == body
                && entry.path.as_ref() == uri.path_and_query()
                && entry.wishes == *wishes
        });
        if let Some(entry) = found {
            return entry.answer.clone();
        }
        if entries.len() == PREBUILT_ENTRIES {
            entries.remove(0);
        }
        let answer = Arc::new(build());
        let entry = Entry {
            path: uri.path_and_query().cloned(),
            wishes: wishes.clone(),
            body: body.clone(),
            answer,
        };
        let answer = entry.answer.clone();
        entries.push(entry);
        answer
    }
}
