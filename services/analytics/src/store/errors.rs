//! Failed requests by error, model and upstream: from the sums of errors in the rollups,
//! and from single requests for the parts of an hour at the ends of a range, or where a
//! filter asks for what only requests tell.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use chrono::{DateTime, Utc};
use sqlx::{Row as _, types::Uuid};

use super::{
    Error, Selection, Snapshot, client_keys,
    dimensions::id_of_client_key,
    rollups::{minutes, moment},
    row::from_row,
    snapshot::segment_of,
    traced::Traced as _,
};
use crate::{
    filter::Filter,
    rollup::{Cover, ErrorSums, LEVELS, Level, Segment, Sets, Source, unpack_errors},
};

/// Failed requests with the same error, model and upstream.
#[derive(Debug, Clone)]
pub(crate) struct ErrorGroup {
    pub(crate) outcome: i16,
    pub(crate) error_type: Option<String>,
    pub(crate) model: String,
    pub(crate) upstream: String,
    pub(crate) requests: i64,
    pub(crate) first_started_us: i64,
    pub(crate) last_started_us: i64,
    pub(crate) client_keys: usize,
    /// The newest one, unless the retention dropped it.
    pub(crate) event_id: Option<Uuid>,
}

/// Groups, those with the most requests first.
#[derive(Debug, Clone, Default)]
pub(crate) struct ErrorGroups {
    pub(crate) rows: Vec<ErrorGroup>,
    /// Groups there are.
    pub(crate) total: usize,
    /// Requests in all of them.
    pub(crate) failed_requests: i64,
}

/// What errors of a series are grouped by.
struct ErrorSeries {
    model: String,
    upstream: String,
    client_key: Option<String>,
}

from_row!(ErrorSeries { model, upstream, client_key });

/// Single requests with the same series and error.
struct Failed {
    outcome: i16,
    error_type: Option<String>,
    requests: i64,
    first_started_at: DateTime<Utc>,
    last_started_at: DateTime<Utc>,
    event_id: Uuid,
    model: String,
    upstream: String,
    client_key: Option<String>,
}

from_row!(Failed {
    outcome,
    error_type,
    requests,
    first_started_at,
    last_started_at,
    event_id,
    model,
    upstream,
    client_key
});

/// What tells groups apart: outcome, type of error, model and upstream.
type GroupKey = (i16, Option<Box<str>>, usize);

/// A group while it is put together. Client keys come as numbers, as ids of their
/// series, and as texts.
struct Group {
    /// Its client keys are numbers.
    sums: ErrorSums,
    ids: Vec<i64>,
    texts: HashSet<usize>,
}

/// Where the client keys of sums are from.
#[derive(Clone, Copy)]
enum Keys {
    Numbers,
    Ids,
    /// Place of the text; `None`: no client key.
    Text(Option<usize>),
}

#[derive(Default)]
struct Groups {
    groups: HashMap<GroupKey, Group>,
    /// Models and upstreams.
    pairs: Vec<(String, String)>,
    places: HashMap<(String, String), usize>,
    /// Client keys.
    texts: Vec<String>,
    places_of_texts: HashMap<String, usize>,
}

/// The series of an answer, with the places of what they are grouped by.
struct ErrorMembers {
    sets: Sets,
    series: Vec<i64>,
    pairs: Vec<usize>,
    keys: Vec<Keys>,
}

impl Groups {
    fn pair(&mut self, model: String, upstream: String) -> usize {
        let pair = (model, upstream);
        *self.places.entry(pair).or_insert_with_key(|pair| {
            self.pairs.push(pair.clone());
            self.pairs.len() - 1
        })
    }

    fn text(&mut self, text: String) -> usize {
        *self.places_of_texts.entry(text).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            self.texts.len() - 1
        })
    }

    fn add(&mut self, key: GroupKey, mut sums: ErrorSums, keys: Keys) {
        let mut found = std::mem::take(&mut sums.client_keys);
        let group = self.groups.entry(key).or_insert_with(|| Group {
            sums: ErrorSums { requests: 0, ..sums.clone() },
            ids: Vec::new(),
            texts: HashSet::new(),
        });
        group.sums.merge(&sums);
        match keys {
            Keys::Numbers => group.sums.client_keys.append(&mut found),
            Keys::Ids => group.ids.append(&mut found),
            Keys::Text(text) => group.texts.extend(text),
        }
    }

    /// Adds rows of rollups that stand one after the other.
    fn add_packed(
        &mut self,
        selection: &Selection,
        pair: usize,
        bytes: &[u8],
        keys: Keys,
    ) -> Result<(), Error> {
        unpack_errors(bytes, |outcome, error_type, sums| {
            if selection.has_outcome(outcome) {
                self.add((outcome, error_type.map(Into::into), pair), sums, keys);
            }
        })?;
        Ok(())
    }

    fn add_failed(&mut self, failed: Failed) {
        let pair = self.pair(failed.model, failed.upstream);
        let text = failed.client_key.map(|text| self.text(text));
        let sums = ErrorSums {
            requests: failed.requests,
            first_started_us: failed.first_started_at.timestamp_micros(),
            newest: (failed.last_started_at.timestamp_micros(), failed.event_id.as_u128()),
            client_keys: Vec::new(),
        };
        let error_type = failed.error_type.map(String::into_boxed_str);
        self.add((failed.outcome, error_type, pair), sums, Keys::Text(text));
    }

    /// Ids of the series of client keys whose numbers have to be known, so that a client
    /// key that comes in two forms counts once.
    fn ids(&self) -> Vec<i64> {
        let numbered = self.groups.values().any(|group| !group.sums.client_keys.is_empty());
        let ids = self.groups.values().flat_map(|group| group.ids.iter().copied());
        if !numbered && ids.clone().next().is_none() {
            return Vec::new();
        }
        let of_texts = self.texts.iter().map(|text| id_of_client_key(text));
        let ids: HashSet<i64> = ids.chain(of_texts).collect();
        ids.into_iter().collect()
    }

    /// Gives each client key one form, a number, or the text where it has none.
    fn settle(&mut self, known: Vec<client_keys::KnownKey>) {
        let mut settled = HashMap::new();
        let mut numbers = HashMap::new();
        for key in known {
            let text = self.text(key.client_key);
            settled.insert(key.series_id, (text, key.number));
            numbers.extend(key.number.map(|number| (text, i64::from(number))));
        }
        for group in self.groups.values_mut() {
            // The series of requests without a client key is none of one.
            group.texts.extend(group.ids.iter().filter_map(|id| Some(settled.get(id)?.0)));
            let of_texts = group.texts.extract_if(|text| numbers.contains_key(text));
            group.sums.client_keys.extend(of_texts.filter_map(|text| numbers.get(&text)));
            group.sums.client_keys.sort_unstable();
            group.sums.client_keys.dedup();
        }
    }

    fn answer(self, limit: usize, requests_from: DateTime<Utc>) -> ErrorGroups {
        let total = self.groups.len();
        let failed_requests = self.groups.values().map(|group| group.sums.requests).sum();
        let mut groups: Vec<(GroupKey, Group)> = self.groups.into_iter().collect();
        let order = |((outcome, error_type, pair), group): &(GroupKey, Group)| {
            let none_last = (error_type.is_none(), error_type.clone());
            let (last, _) = group.sums.newest;
            let (requests, last) = (Reverse(group.sums.requests), Reverse(last));
            (requests, last, *outcome, none_last, self.pairs[*pair].clone())
        };
        groups.sort_by_cached_key(order);
        groups.truncate(limit);
        let row = |((outcome, error_type, pair), group): (GroupKey, Group)| {
            let (model, upstream) = self.pairs[pair].clone();
            let (last_started_us, event_id) = group.sums.newest;
            let kept = last_started_us >= requests_from.timestamp_micros();
            ErrorGroup {
                outcome,
                error_type: error_type.map(String::from),
                model,
                upstream,
                requests: group.sums.requests,
                first_started_us: group.sums.first_started_us,
                last_started_us,
                client_keys: group.sums.client_keys.len() + group.texts.len(),
                event_id: kept.then(|| Uuid::from_u128(event_id)),
            }
        };
        ErrorGroups { rows: groups.into_iter().map(row).collect(), total, failed_requests }
    }
}

impl Snapshot {
    /// The groups of a selection, which is that of a filter.
    pub(crate) async fn error_breakdown(
        &mut self,
        selection: &Selection,
        filter: &Filter,
        limit: u32,
    ) -> Result<ErrorGroups, Error> {
        let mut groups = Groups::default();
        let bounds = [selection.start, selection.end];
        let cover = if selection.reads_requests() {
            Cover::of_requests(&bounds)
        } else {
            let members = self.error_members(&mut groups, selection, filter).await?;
            let cover = Cover::new(&bounds, &self.horizons.of(members.sets).of_errors());
            for level in LEVELS.into_iter().filter(|level| level.has_errors()) {
                let segments: Vec<_> = cover.of(Source::Level(level)).copied().collect();
                self.add_errors(&mut groups, selection, &members, level, &segments).await?;
            }
            let segments = cover.rolled_up();
            self.add_error_changes(&mut groups, selection, &members, &segments).await?;
            cover
        };
        self.plan_for_requests().await?;
        for segment in cover.of(Source::Requests) {
            self.add_failed(&mut groups, selection, segment).await?;
        }
        let ids = groups.ids();
        let known = match ids.as_slice() {
            [] => Vec::new(),
            ids => client_keys::find(&mut self.transaction, ids).await?,
        };
        groups.settle(known);
        let requests_from = self.horizons.full.requests_from;
        Ok(groups.answer(limit as usize, requests_from))
    }

    async fn error_members(
        &mut self,
        groups: &mut Groups,
        selection: &Selection,
        filter: &Filter,
    ) -> Result<ErrorMembers, Error> {
        let (sets, series) = self.error_series(filter, selection).await?;
        let found: Vec<ErrorSeries> = sqlx::query_as(include_str!("queries/error_series.sql"))
            .bind(&series)
            .fetch_all(&mut self.transaction)
            .traced("error_series")
            .await?;
        let (mut pairs, mut keys) = (Vec::new(), Vec::new());
        for ErrorSeries { model, upstream, client_key } in found {
            pairs.push(groups.pair(model, upstream));
            keys.push(match sets {
                Sets::Narrow => Keys::Numbers,
                Sets::Full => Keys::Text(client_key.map(|text| groups.text(text))),
            });
        }
        Ok(ErrorMembers { sets, series, pairs, keys })
    }

    async fn add_errors(
        &mut self,
        groups: &mut Groups,
        selection: &Selection,
        members: &ErrorMembers,
        level: Level,
        segments: &[Segment],
    ) -> Result<(), Error> {
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
            return Ok(());
        };
        let rows = sqlx::query(include_str!("queries/errors_of_segments.sql"))
            .bind(segments.iter().map(|segment| minutes(segment.start)).collect::<Vec<_>>())
            .bind(segments.iter().map(|segment| minutes(segment.end)).collect::<Vec<_>>())
            .bind(&members.series)
            .bind(level.number(members.sets))
            .bind(minutes(first.start))
            .bind(minutes(last.end))
            .fetch_all(&mut self.transaction)
            .traced("errors_of_segments")
            .await?;
        for row in rows {
            let place: i32 = row.try_get(0)?;
            self.spend(row.try_get(1)?)?;
            // Counted by the database from 1.
            let place = usize::try_from(place - 1).unwrap_or_default();
            let errors: Option<&[u8]> = row.try_get(2)?;
            let (pair, keys) = (members.pairs[place], members.keys[place]);
            groups.add_packed(selection, pair, errors.unwrap_or_default(), keys)?;
        }
        Ok(())
    }

    async fn add_error_changes(
        &mut self,
        groups: &mut Groups,
        selection: &Selection,
        members: &ErrorMembers,
        segments: &[Segment],
    ) -> Result<(), Error> {
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
            return Ok(());
        };
        let rows = sqlx::query(include_str!("queries/error_changes.sql"))
            .bind(minutes(first.start))
            .bind(minutes(last.end))
            .bind(&members.series)
            .fetch_all(&mut self.transaction)
            .traced("error_changes")
            .await?;
        self.spend(rows.len() as i64)?;
        let places: HashMap<i64, usize> = members.series.iter().copied().zip(0..).collect();
        for row in rows {
            let Some(place) = places.get(&row.try_get(0)?).copied() else { continue };
            if segment_of(segments, moment(row.try_get(1)?)).is_none() {
                continue;
            }
            let keys = match members.keys[place] {
                Keys::Numbers => Keys::Ids,
                of_series => of_series,
            };
            groups.add_packed(selection, members.pairs[place], row.try_get(2)?, keys)?;
        }
        Ok(())
    }

    async fn add_failed(
        &mut self,
        groups: &mut Groups,
        selection: &Selection,
        segment: &Segment,
    ) -> Result<(), Error> {
        let part = selection.between(segment.start, segment.end);
        let failed: Vec<Failed> = part
            .query_as(include_str!("queries/failed_requests.sql"))
            .bind(self.rows_left + 1)
            .fetch_all(&mut self.transaction)
            .traced("failed_requests")
            .await?;
        self.spend(failed.iter().map(|failed| failed.requests).sum())?;
        failed.into_iter().for_each(|failed| groups.add_failed(failed));
        Ok(())
    }
}
