//! Which requests a query is about, in the form that the statements take: the
//! range, the outcomes, the sessions, traces and prompt lengths, and the series that pass the filter with
//! the groups that they belong to.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use modash_proto::{TimeRange, v1::Dimension};
use sqlx::{
    Postgres,
    postgres::PgArguments,
    query::{Query, QueryAs},
    types::{Json, Uuid},
};

use super::{
    Error, Snapshot, dimensions::Cube, grouping::Grouping, rollups::minutes, traced::Traced as _,
};
use crate::{filter::Filter, rollup::Sets};

/// Limit up to which all groups are ranked.
const MOST_GROUPS: i64 = 1_000;

/// Candidates beyond that limit: this number with the greatest weight, and this
/// number that were used last.
const LARGEST: i64 = 500;

/// Groups that single requests may have in one answer.
pub(super) const MOST_KEYS: usize = 100_000;

/// Stands for all groups together, where they are summed up beside each other.
pub(super) const ALL_GROUPS: i32 = i32::MAX;

/// Requests of a range that pass a filter. The first ten parameters of every
/// statement that reads requests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selection {
    pub(crate) start: DateTime<Utc>,
    pub(crate) end: DateTime<Utc>,
    /// Full series; `None`: all.
    pub(super) series: Option<Vec<i64>>,
    outcomes: Option<Vec<i16>>,
    pub(super) sessions: Option<Vec<String>>,
    traces: Option<Vec<Uuid>>,
    excluded_outcomes: Option<Vec<i16>>,
    excluded_sessions: Option<Vec<String>>,
    min_prompt_tokens: Option<i64>,
    max_prompt_tokens: Option<i64>,
    /// As [`Filter::reads_requests`].
    reads_requests: bool,
}

/// The series that a query sums up, in the narrowest cube that tells apart what
/// the filter and the grouping ask for, each with its group.
#[derive(Debug, Clone)]
pub(crate) struct Members {
    pub(super) series: Vec<i64>,
    /// Place of the group of each series in `keys`.
    pub(super) groups: Vec<i32>,
    /// Values of the groups.
    keys: Vec<String>,
    places: HashMap<String, i32>,
    pub(super) grouping: Grouping,
    /// Which rollups they have.
    pub(super) sets: Sets,
    /// Outcomes are no dimension of series: their number is the group.
    pub(super) by_outcome: bool,
    /// Only these groups count.
    only: Option<HashSet<i32>>,
    /// Only candidates are in `series`: there are too many groups to rank.
    partial: bool,
    /// There may be requests that belong to no group: they call no model.
    pub(super) ungrouped: bool,
    /// From this place on, series are those of [`ALL_GROUPS`].
    all_from: Option<usize>,
}

impl Selection {
    /// The same requests of another range.
    pub(crate) fn between(&self, start: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        Self { start, end, ..self.clone() }
    }

    /// Whether all requests of another selection belong to this one too, which has the same
    /// filter.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.start <= other.start
            && other.end <= self.end
            && self.between(other.start, other.end) == *other
    }

    /// As [`Filter::reads_requests`].
    pub(crate) fn reads_requests(&self) -> bool {
        self.reads_requests
    }

    /// The outcomes that count, and those that do not.
    pub(super) fn outcomes(&self) -> [&Option<Vec<i16>>; 2] {
        [&self.outcomes, &self.excluded_outcomes]
    }

    /// Whether requests that ended so count.
    pub(super) fn has_outcome(&self, outcome: i16) -> bool {
        let holds = |outcomes: &Vec<i16>| outcomes.contains(&outcome);
        self.outcomes.as_ref().is_none_or(holds)
            && !self.excluded_outcomes.as_ref().is_some_and(holds)
    }

    /// A statement for rows of the type `T`, with its first ten parameters.
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
            .bind(self.traces.as_deref())
            .bind(self.excluded_outcomes.as_deref())
            .bind(self.excluded_sessions.as_deref())
            .bind(self.min_prompt_tokens)
            .bind(self.max_prompt_tokens)
    }

    /// The same without a row type, and with values of its own.
    pub(super) fn into_query(
        self,
        statement: &'static str,
    ) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(statement)
            .bind(self.start)
            .bind(self.end)
            .bind(self.series)
            .bind(self.outcomes)
            .bind(self.sessions)
            .bind(self.traces)
            .bind(self.excluded_outcomes)
            .bind(self.excluded_sessions)
            .bind(self.min_prompt_tokens)
            .bind(self.max_prompt_tokens)
    }
}

impl Members {
    /// The value of a group.
    pub(crate) fn key(&self, group: i32) -> String {
        if self.by_outcome {
            return group.to_string();
        }
        let key = usize::try_from(group).ok().and_then(|group| self.keys.get(group));
        key.cloned().unwrap_or_default()
    }

    /// The group of a value; one that is new is remembered. `None` if it does not
    /// count.
    pub(super) fn group_of(&mut self, key: &str) -> Option<i32> {
        let group = match self.places.get(key) {
            Some(group) => *group,
            // No candidate: only its requests at the ends of the range would count.
            None if self.partial => return None,
            None => {
                let group = i32::try_from(self.keys.len()).unwrap_or(i32::MAX);
                self.keys.push(key.to_owned());
                self.places.insert(key.to_owned(), group);
                group
            }
        };
        let counts = self.only.as_ref().is_none_or(|only| only.contains(&group));
        counts.then_some(group)
    }

    /// The group of requests of a series in `group` that ended so.
    pub(super) fn group_of_outcome(&self, group: i32, outcome: i16) -> i32 {
        if self.by_outcome { outcome.into() } else { group }
    }

    /// Whether groups beside those asked for come with the answer.
    pub(crate) fn tells_all(&self) -> bool {
        self.by_outcome
    }

    /// Adds the series of all groups together, unless sums of both cannot be read at once;
    /// gives whether it did.
    pub(super) fn add_all(&mut self, all: &Self) -> bool {
        let own: HashSet<i64> = self.series.iter().copied().collect();
        let apart = self.sets == all.sets
            && !self.reads_requests()
            && !self.by_outcome
            && !all.series.iter().any(|series| own.contains(series));
        if apart {
            self.all_from = Some(self.series.len());
            self.series.extend_from_slice(&all.series);
            self.groups.resize(self.series.len(), ALL_GROUPS);
        }
        apart
    }

    /// Takes them away again.
    pub(super) fn remove_all(&mut self) {
        if let Some(from) = self.all_from.take() {
            self.series.truncate(from);
            self.groups.truncate(from);
        }
    }

    /// Whether all groups are summed up together, too.
    pub(super) fn has_all(&self) -> bool {
        self.all_from.is_some()
    }

    /// Only these groups.
    pub(crate) fn only(&self, groups: &[i32]) -> Self {
        if self.by_outcome {
            return self.clone();
        }
        let only: HashSet<i32> = groups.iter().copied().collect();
        let kept = self.series.iter().zip(&self.groups).filter(|(_, group)| only.contains(group));
        let (series, of_groups) = kept.map(|(id, group)| (*id, *group)).unzip();
        let only = Some(only);
        Self { series, groups: of_groups, only, ..self.clone() }
    }

    /// What they are grouped by.
    pub(crate) fn grouping(&self) -> &Grouping {
        &self.grouping
    }

    /// As [`Grouping::reads_requests`].
    pub(crate) fn reads_requests(&self) -> bool {
        self.grouping.reads_requests()
    }

    /// Whether requests may belong to no group, groups of models that is: they call none.
    pub(crate) fn may_leave_some_out(&self) -> bool {
        self.ungrouped
    }

    /// Number of groups that may have requests.
    pub(crate) fn groups(&self) -> usize {
        self.keys.len()
    }
}

impl Snapshot {
    /// Finds what passes a filter.
    pub(crate) async fn select(
        &mut self,
        range: TimeRange,
        filter: &Filter,
    ) -> Result<Selection, Error> {
        let series = if filter.has_dimensions() {
            let found = self.matching_series(filter, Cube::Full, &Grouping::None, None).await?;
            Some(found.into_iter().map(|(id, _)| id).collect())
        } else {
            None
        };
        Ok(Selection {
            start: range.start,
            end: range.end,
            series,
            outcomes: filter.outcomes.clone(),
            sessions: filter.sessions.clone(),
            traces: filter.trace_ids(),
            excluded_outcomes: filter.exclude.outcomes.clone(),
            excluded_sessions: filter.exclude.sessions.clone(),
            min_prompt_tokens: filter.min_prompt_tokens,
            max_prompt_tokens: filter.max_prompt_tokens,
            reads_requests: filter.reads_requests(),
        })
    }

    /// Finds the series to sum up; if there are too many groups, the candidates.
    pub(crate) async fn members(
        &mut self,
        filter: &Filter,
        grouping: &Grouping,
    ) -> Result<Members, Error> {
        let cube = cube_for(filter, grouping);
        let limited = may_be_partial(filter, grouping);
        let most = limited.then_some(MOST_GROUPS + 1);
        let mut found = self.matching_series(filter, cube, grouping, most).await?;
        let partial = limited && found.len() as i64 > MOST_GROUPS;
        let ungrouped = found.iter().any(|(_, key)| key.is_none());
        if partial {
            found = sqlx::query_as(include_str!("queries/largest_series.sql"))
                .bind(cube as i16)
                .bind(grouping.code())
                .bind(LARGEST)
                .fetch_all(&mut self.transaction)
                .traced("largest_series")
                .await?;
        }
        let mut members = Members {
            series: Vec::with_capacity(found.len()),
            groups: Vec::with_capacity(found.len()),
            keys: Vec::new(),
            places: HashMap::new(),
            grouping: grouping.clone(),
            sets: if cube == Cube::Full { Sets::Full } else { Sets::Narrow },
            by_outcome: *grouping == Grouping::Dimension(Dimension::Outcome),
            only: None,
            partial: false,
            ungrouped,
            all_from: None,
        };
        for (id, key) in found {
            if let Some(group) = key.and_then(|key| members.group_of(&key)) {
                members.series.push(id);
                members.groups.push(group);
            }
        }
        // From now on no group is added.
        members.partial = partial;
        Ok(members)
    }

    /// Number of groups with requests in the range, `found` of them among `members`.
    /// If members are only candidates: exact for ranges that end now, else an upper
    /// bound; groups first used in the last seconds are missing.
    pub(crate) async fn count_groups(
        &mut self,
        selection: &Selection,
        members: &Members,
        found: usize,
    ) -> Result<u64, Error> {
        let found = found as u64;
        if !members.partial {
            return Ok(found);
        }
        let active: i64 = sqlx::query_scalar(include_str!("queries/count_active_series.sql"))
            .bind(cube_for(&Filter::default(), &members.grouping) as i16)
            .bind(minutes(selection.start))
            .bind(minutes(selection.end + TimeDelta::minutes(1)))
            .fetch_one(&mut self.transaction)
            .traced("count_active_series")
            .await?;
        Ok(found.max(active.cast_unsigned()))
    }

    /// The series whose errors are summed up: those of models and upstreams, unless the
    /// filter asks for more; then the full ones of the selection.
    pub(super) async fn error_series(
        &mut self,
        filter: &Filter,
        selection: &Selection,
    ) -> Result<(Sets, Vec<i64>), Error> {
        let out = &filter.exclude;
        let narrow = filter.client_keys.is_none()
            && out.client_keys.is_none()
            && filter.users.is_none()
            && out.users.is_none()
            && filter.tags.is_none()
            && out.tags.is_none()
            && !has_unsummed(filter);
        if let Some(series) = selection.series.as_ref().filter(|_| !narrow) {
            return Ok((Sets::Full, series.clone()));
        }
        let found = self.matching_series(filter, Cube::Errors, &Grouping::None, None).await?;
        Ok((Sets::Narrow, found.into_iter().map(|(id, _)| id).collect()))
    }

    async fn matching_series(
        &mut self,
        filter: &Filter,
        cube: Cube,
        grouping: &Grouping,
        most: Option<i64>,
    ) -> Result<Vec<(i64, Option<String>)>, Error> {
        Ok(sqlx::query_as(include_str!("queries/matching_series.sql"))
            .bind(filter.models.as_deref())
            .bind(filter.upstreams.as_deref())
            .bind(filter.dialects.as_deref())
            .bind(filter.operations.as_deref())
            .bind(filter.client_keys.as_deref())
            .bind(filter.users.as_deref())
            .bind(filter.tags.as_ref().map(Json))
            .bind(filter.stream)
            .bind(cube as i16)
            .bind(grouping.code())
            .bind(grouping.tag())
            .bind(most)
            .bind(filter.exclude.models.as_deref())
            .bind(filter.exclude.upstreams.as_deref())
            .bind(filter.exclude.dialects.as_deref())
            .bind(filter.exclude.operations.as_deref())
            .bind(filter.exclude.client_keys.as_deref())
            .bind(filter.exclude.users.as_deref())
            .bind(filter.exclude.tags.as_ref().map(Json))
            .fetch_all(&mut self.transaction)
            .traced("matching_series")
            .await?)
    }
}

/// Whether candidates are enough: each group has one series, so the sums of the
/// groups that are shown are complete, and the filter excludes no group.
fn may_be_partial(filter: &Filter, grouping: &Grouping) -> bool {
    let of_series = matches!(
        grouping,
        Grouping::Dimension(
            Dimension::Model | Dimension::Upstream | Dimension::ClientKey | Dimension::User
        )
    );
    of_series && !filter.has_dimensions() && !filter.reads_requests()
}

/// Whether a filter asks for a dimension that no narrow cube has.
fn has_unsummed(filter: &Filter) -> bool {
    let out = &filter.exclude;
    filter.dialects.is_some()
        || filter.operations.is_some()
        || filter.stream.is_some()
        || out.dialects.is_some()
        || out.operations.is_some()
}

/// The narrowest cube that has all dimensions that are asked for.
fn cube_for(filter: &Filter, grouping: &Grouping) -> Cube {
    let grouped = |dimension| *grouping == Grouping::Dimension(dimension);
    let out = &filter.exclude;
    let model = filter.models.is_some() || out.models.is_some();
    let upstream = filter.upstreams.is_some() || out.upstreams.is_some();
    let client_key = filter.client_keys.is_some() || out.client_keys.is_some();
    let user = filter.users.is_some() || out.users.is_some();
    let tags = filter.tags.is_some() || out.tags.is_some();
    let wanted = [
        (Cube::Model, model || grouped(Dimension::Model)),
        (Cube::Upstream, upstream || grouped(Dimension::Upstream)),
        (Cube::ClientKey, client_key || grouped(Dimension::ClientKey)),
        (Cube::User, user || grouped(Dimension::User)),
        (Cube::Tags, tags || matches!(grouping, Grouping::Tag(_))),
    ];
    let others = has_unsummed(filter)
        || [Dimension::Operation, Dimension::UserAgent, Dimension::Dialect]
            .into_iter()
            .any(grouped);
    let mut wanted = wanted.into_iter().filter_map(|(cube, is)| is.then_some(cube));
    match (others, wanted.next(), wanted.next()) {
        (false, None, _) => Cube::Total,
        (false, Some(cube), None) => cube,
        _ => Cube::Full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Exclusion;

    #[test]
    fn the_narrowest_cube_that_has_the_dimensions_answers() {
        let by = |dimension| Grouping::Dimension(dimension);
        let model = || Filter { models: Some(vec!["a".into()]), ..Filter::default() };
        let all = Filter::default();
        assert_eq!(cube_for(&all, &Grouping::None), Cube::Total);
        assert_eq!(cube_for(&all, &by(Dimension::Outcome)), Cube::Total);
        assert_eq!(cube_for(&model(), &by(Dimension::Outcome)), Cube::Model);
        assert_eq!(cube_for(&model(), &by(Dimension::Model)), Cube::Model);
        assert_eq!(cube_for(&model(), &by(Dimension::User)), Cube::Full);
        assert_eq!(cube_for(&all, &by(Dimension::User)), Cube::User);
        assert_eq!(cube_for(&all, &Grouping::Tag("a".into())), Cube::Tags);
        assert_eq!(cube_for(&model(), &Grouping::Tag("a".into())), Cube::Full);
        let without = Exclusion { models: Some(vec!["a".into()]), ..Exclusion::default() };
        let without = Filter { exclude: without, ..Filter::default() };
        assert_eq!(cube_for(&without, &Grouping::None), Cube::Model);
        assert_eq!(cube_for(&without, &by(Dimension::User)), Cube::Full);
        let operations = Exclusion { operations: Some(vec![1]), ..Exclusion::default() };
        let without = Filter { exclude: operations, ..Filter::default() };
        assert_eq!(cube_for(&without, &Grouping::None), Cube::Full);
        let streams = Filter { stream: Some(true), ..model() };
        assert_eq!(cube_for(&streams, &Grouping::None), Cube::Full);
    }
}
