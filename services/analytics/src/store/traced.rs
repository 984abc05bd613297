//! Durations of statements, and their spans within that of the call or commit that they
//! serve; where that is not traced there are none.

use std::{borrow::Cow, future::Future, time::Instant};

use modash_telemetry::{Work, opentelemetry::KeyValue, semconv, traces};
use tracing::{Instrument as _, Span, field::Empty, info_span};

use super::Error;

const POSTGRESQL: &str = "postgresql";

/// A statement that is timed.
pub(super) trait Traced: Future + Sized {
    /// The same, timed and in a span. `statement` is its file without the ending; values are never
    /// part of a span.
    fn traced(self, statement: &'static str) -> impl Future<Output = Self::Output> + Send;
}

impl<F, T, E> Traced for F
where
    F: Future<Output = Result<T, E>> + Send,
    E: Kind,
{
    async fn traced(self, statement: &'static str) -> Result<T, E> {
        let begun = Instant::now();
        let span = span(statement);
        let result = self.instrument(span.clone()).await;
        Work::Statement.took(begun.elapsed(), || {
            let mut attributes = vec![
                KeyValue::new(semconv::DB_SYSTEM_NAME, POSTGRESQL),
                KeyValue::new(semconv::DB_QUERY_SUMMARY, statement),
            ];
            if let Err(error) = &result {
                attributes.push(KeyValue::new(semconv::ERROR_TYPE, error.kind().into_owned()));
            }
            attributes
        });
        if let Err(error) = &result {
            span.record(semconv::ERROR_TYPE, &*error.kind());
            span.record("otel.status_code", "ERROR");
        }
        result
    }
}

/// A span for a statement, to be entered while it runs.
pub(super) fn span(statement: &'static str) -> Span {
    if !traces() || Span::current().is_none() {
        return Span::none();
    }
    info_span!(
        "statement",
        otel.name = statement,
        otel.kind = "client",
        otel.status_code = Empty,
        { semconv::DB_SYSTEM_NAME } = POSTGRESQL,
        { semconv::DB_QUERY_SUMMARY } = statement,
        { semconv::ERROR_TYPE } = Empty,
    )
}

/// An error as an attribute of few values.
pub(super) trait Kind {
    /// PostgreSQL's code, else what failed.
    fn kind(&self) -> Cow<'_, str>;
}

impl Kind for sqlx::Error {
    fn kind(&self) -> Cow<'_, str> {
        match self {
            Self::Database(error) => error.code().unwrap_or(Cow::Borrowed("database")),
            Self::PoolTimedOut | Self::PoolClosed => "pool".into(),
            Self::Io(_) | Self::Tls(_) | Self::Protocol(_) => "connection".into(),
            _ => "client".into(),
        }
    }
}

impl Kind for Error {
    fn kind(&self) -> Cow<'_, str> {
        match self {
            Self::Unreachable(cause)
            | Self::Conflict(cause)
            | Self::Value(cause)
            | Self::Other(cause) => cause.kind(),
            Self::NotPrepared => "not_prepared".into(),
            Self::Timeout => "57014".into(),
            Self::TooManyRows => "too_many_rows".into(),
            Self::Packed(_) => "packed".into(),
        }
    }
}
