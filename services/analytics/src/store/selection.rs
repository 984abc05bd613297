//! Which rows a query reads: the range and the filter, in the form that the
//! statements take. Dimensions are decided once for each series, in
//! `matching_series.sql`; a statement then compares ids.

use chrono::{DateTime, Utc};
use modash_proto::{TimeRange, v1::Dimension};
use sqlx::{
    Postgres,
    postgres::PgArguments,
    query::{Query, QueryAs},
    types::Json,
};

use super::{Error, Store};
use crate::filter::Filter;

/// Rows of a range that pass a filter. The first five parameters of every
/// statement that reads requests.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    series: Option<Vec<i64>>,
    outcomes: Option<Vec<i16>>,
    sessions: Option<Vec<String>>,
}

impl Selection {
    /// The same rows of another range.
    pub(crate) fn during(&self, range: TimeRange) -> Self {
        Self { start: range.start, end: range.end, ..self.clone() }
    }

    /// A statement for rows of the type `T`, with its first five parameters.
    pub(super) fn query_as<T>(
        &self,
        statement: &'static str,
    ) -> QueryAs<'_, Postgres, T, PgArguments>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    {
        sqlx::query_as(statement)
            .bind(self.start)
            .bind(self.end)
            .bind(self.series.as_deref())
            .bind(self.outcomes.as_deref())
            .bind(self.sessions.as_deref())
    }

    /// The same without a row type.
    pub(super) fn query(&self, statement: &'static str) -> Query<'_, Postgres, PgArguments> {
        sqlx::query(statement)
            .bind(self.start)
            .bind(self.end)
            .bind(self.series.as_deref())
            .bind(self.outcomes.as_deref())
            .bind(self.sessions.as_deref())
    }
}

impl Store {
    /// Finds the series that pass a filter.
    pub(crate) async fn select(
        &self,
        range: TimeRange,
        filter: &Filter,
    ) -> Result<Selection, Error> {
        let series = if filter.has_dimensions() {
            let ids = sqlx::query_scalar(include_str!("queries/matching_series.sql"))
                .bind(filter.models.as_deref())
                .bind(filter.upstreams.as_deref())
                .bind(filter.dialects.as_deref())
                .bind(filter.operations.as_deref())
                .bind(filter.client_keys.as_deref())
                .bind(filter.users.as_deref())
                .bind(filter.tags.as_ref().map(Json))
                .bind(filter.stream)
                .fetch_all(self.reader()?)
                .await?;
            Some(ids)
        } else {
            None
        };
        Ok(Selection {
            start: range.start,
            end: range.end,
            series,
            outcomes: filter.outcomes.clone(),
            sessions: filter.sessions.clone(),
        })
    }
}

/// What a time series is split by: two parameters of its statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// Not at all.
    None,
    /// By a column.
    Dimension(Dimension),
    /// By the value of a tag.
    Tag(String),
}

impl Grouping {
    /// Number of the grouping in the statements.
    pub(super) fn code(&self) -> i16 {
        match self {
            Self::None => 0,
            Self::Dimension(dimension) => *dimension as i16,
            Self::Tag(_) => 100,
        }
    }

    /// Name of the tag.
    pub(super) fn tag(&self) -> Option<&str> {
        match self {
            Self::Tag(tag) => Some(tag),
            _ => None,
        }
    }
}
