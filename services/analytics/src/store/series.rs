//! The dictionary of dimension sets: each set has an id, so that the rows of
//! requests stay narrow and a filter is decided once for each set. Sets beyond
//! the limit are counted under one that has "other" in place of what callers
//! can make up.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use modash_proto::v1::UsageEvent;
use prometheus_client::metrics::counter::Counter;
use sqlx::types::Json;

use super::{
    Error,
    cache::Cache,
    dimensions::{Canonical, Cube, Dimensions, NARROW, NarrowIds, id_of},
    pool::Pool,
    traced::Traced as _,
};

/// Bytes of full sets whose ids are kept in memory: more than 100,000 of them,
/// unless their texts are long.
const FULL_BYTES: usize = 64 << 20;

/// Bytes of narrow sets whose ids are kept in memory.
const NARROW_BYTES: usize = 16 << 20;

/// Ids that are tried for one set. Each further one is needed only if another
/// set has the same 64-bit hash.
const ATTEMPTS: u8 = 8;

/// How long a count of the series is believed.
const COUNT_AGE: Duration = Duration::from_secs(10);

/// The series of one request: the full set and the narrow ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SeriesIds {
    pub(super) full: i64,
    pub(super) narrow: NarrowIds,
}

/// Ids of the sets that this process met.
#[derive(Debug)]
pub(super) struct SeriesCache {
    limit: i64,
    known: Mutex<Known>,
    overflow: Counter,
}

#[derive(Debug)]
struct Known {
    /// What full sets are counted under.
    members: Cache<Member>,
    /// Narrow sets on their own.
    narrow: Cache<i64>,
    /// Full sets in the database, and when they were counted.
    count: Option<(i64, Instant)>,
}

/// What a full set is counted under.
#[derive(Debug, Clone, Copy)]
struct Member {
    ids: SeriesIds,
    /// It came beyond the limit: the ids are those of a set with "other" in it.
    limited: bool,
}

/// A full set that is not known: what stands for it, and the requests that have it.
#[derive(Debug)]
struct Unknown<'a> {
    set: Dimensions<'a>,
    limited: bool,
    places: Vec<usize>,
}

impl SeriesCache {
    /// A cache for a database that is to have at most `limit` full sets.
    pub(super) fn new(limit: u32) -> Self {
        let known = Known {
            members: Cache::new(FULL_BYTES),
            narrow: Cache::new(NARROW_BYTES),
            count: None,
        };
        Self { limit: limit.into(), known: Mutex::new(known), overflow: Counter::default() }
    }

    /// Requests that were counted under "other".
    pub(super) fn overflow(&self) -> &Counter {
        &self.overflow
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The series of full sets; sets that are new are written first.
    pub(super) async fn resolve<'a>(
        &self,
        pool: &Pool,
        sets: impl IntoIterator<Item = Dimensions<'a>>,
    ) -> Result<Vec<SeriesIds>, Error> {
        let mut canonical = Vec::new();
        let mut found = Vec::new();
        let mut beyond = 0;
        let mut unknown: HashMap<Canonical, Unknown<'a>> = HashMap::new();
        {
            let mut known = self.known();
            for (at, set) in sets.into_iter().enumerate() {
                set.canonical(&mut canonical);
                let member = known.members.get(&canonical);
                found.push(member.map(|member| member.ids).unwrap_or_default());
                match (member, unknown.get_mut(canonical.as_slice())) {
                    (Some(member), _) => beyond += u64::from(member.limited),
                    (None, Some(unknown)) => unknown.places.push(at),
                    (None, None) => {
                        let new = Unknown { set, limited: false, places: vec![at] };
                        unknown.insert(canonical.as_slice().into(), new);
                    }
                }
            }
        }
        if !unknown.is_empty() {
            beyond += self.add(pool, unknown, &mut found).await?;
        }
        self.overflow.inc_by(beyond);
        Ok(found)
    }

    /// Finds the series of sets that are not known, and remembers them; gives how
    /// many requests are counted under "other".
    async fn add(
        &self,
        pool: &Pool,
        mut unknown: HashMap<Canonical, Unknown<'_>>,
        found: &mut [SeriesIds],
    ) -> Result<u64, Error> {
        self.limit(pool, &mut unknown).await?;
        let mut canonical = Vec::new();
        let mut sets: HashMap<Canonical, Dimensions<'_>> = HashMap::new();
        for Unknown { set, .. } in unknown.values() {
            for part in parts(*set) {
                part.canonical(&mut canonical);
                sets.insert(canonical.as_slice().into(), part);
            }
        }
        let ids = self.identify(pool, sets).await?;
        let mut id = |set: Dimensions<'_>| {
            set.canonical(&mut canonical);
            ids.get(canonical.as_slice()).copied().unwrap_or_default()
        };
        let mut known = self.known();
        let mut beyond = 0;
        for (original, Unknown { set, limited, places }) in unknown {
            let ids =
                SeriesIds { full: id(set), narrow: NARROW.map(|cube| id(set.narrowed(cube))) };
            beyond += if limited { places.len() as u64 } else { 0 };
            for place in places {
                found[place] = ids;
            }
            known.members.insert(original, Member { ids, limited });
        }
        Ok(beyond)
    }

    /// The narrow series of full sets.
    pub(super) async fn narrow(
        &self,
        pool: &Pool,
        sets: &[Dimensions<'_>],
    ) -> Result<Vec<NarrowIds>, Error> {
        let mut canonical = Vec::new();
        let mut wanted = HashMap::new();
        for set in sets.iter().flat_map(|set| NARROW.map(|cube| set.narrowed(cube))) {
            set.canonical(&mut canonical);
            wanted.insert(canonical.as_slice().into(), set);
        }
        let ids = self.identify(pool, wanted).await?;
        let mut id = |set: Dimensions<'_>| {
            set.canonical(&mut canonical);
            ids.get(canonical.as_slice()).copied().unwrap_or_default()
        };
        Ok(sets.iter().map(|set| NARROW.map(|cube| id(set.narrowed(cube)))).collect())
    }

    /// The series of everything.
    pub(super) async fn total(&self, pool: &Pool) -> Result<i64, Error> {
        let event = UsageEvent::default();
        let narrow = self.narrow(pool, &[Dimensions::from(&event)]).await?;
        Ok(narrow.first().map_or(0, |narrow| narrow[0]))
    }

    /// Puts "other" into sets that would be too many.
    async fn limit(
        &self,
        pool: &Pool,
        unknown: &mut HashMap<Canonical, Unknown<'_>>,
    ) -> Result<(), Error> {
        let known = self.known().count.filter(|(_, at)| at.elapsed() < COUNT_AGE);
        let count = match known {
            Some((count, _)) => count,
            None => {
                let statement = include_str!("queries/count_series.sql");
                sqlx::query_scalar(statement).fetch_one(pool).traced("count_series").await?
            }
        };
        let wanted = count + i64::try_from(unknown.len()).unwrap_or(i64::MAX);
        let counted_at = known.map_or_else(Instant::now, |(_, at)| at);
        if wanted <= self.limit {
            self.known().count = Some((wanted, counted_at));
            return Ok(());
        }
        self.known().count = Some((count, counted_at));
        let ids: Vec<i64> = unknown.keys().map(|canonical| id_of(canonical, 0)).collect();
        let there: Vec<i64> = sqlx::query_scalar(include_str!("queries/known_series.sql"))
            .bind(&ids)
            .fetch_all(pool)
            .traced("known_series")
            .await?;
        let there: HashSet<i64> = there.into_iter().collect();
        // Those without a name of a model that nobody has do not fill up what is
        // left for names of models.
        let models_too = count > self.limit + self.limit / 10;
        for (canonical, unknown) in unknown {
            if !there.contains(&id_of(canonical, 0)) {
                unknown.set = unknown.set.limited(models_too);
                unknown.limited = true;
            }
        }
        Ok(())
    }

    /// The ids of sets; those that are new are written.
    async fn identify(
        &self,
        pool: &Pool,
        mut unknown: HashMap<Canonical, Dimensions<'_>>,
    ) -> Result<HashMap<Canonical, i64>, Error> {
        let mut ids = HashMap::new();
        {
            let mut known = self.known();
            unknown.retain(|canonical, _| match known.narrow.get(canonical) {
                Some(id) => {
                    ids.insert(canonical.clone(), id);
                    false
                }
                None => true,
            });
        }
        for attempt in 0..ATTEMPTS {
            if unknown.is_empty() {
                return Ok(ids);
            }
            let mut batch: Vec<(i64, &Canonical, Dimensions<'_>)> = unknown
                .iter()
                .map(|(canonical, set)| (id_of(canonical, attempt), canonical, *set))
                .collect();
            // Writers that take the rows in one order do not deadlock. Two sets
            // of one batch with the same id: the second one takes another turn.
            batch.sort_unstable_by_key(|(id, canonical, _)| (*id, canonical.len()));
            batch.dedup_by_key(|(id, ..)| *id);
            let ours = write(pool, &batch).await?;
            let settled: Vec<(Canonical, i64, Cube)> = batch
                .iter()
                .filter(|(id, ..)| ours.contains(id))
                .map(|(id, canonical, set)| ((*canonical).clone(), *id, set.cube))
                .collect();
            let mut known = self.known();
            for (canonical, id, cube) in settled {
                unknown.remove(&canonical);
                if cube != Cube::Full {
                    known.narrow.insert(canonical.clone(), id);
                }
                ids.insert(canonical, id);
            }
        }
        // Eight 64-bit hashes of one set that all belong to others.
        Err(Error::Other(sqlx::Error::Protocol("no free series id".to_owned())))
    }
}

/// A full set and its narrow ones.
fn parts(set: Dimensions<'_>) -> impl Iterator<Item = Dimensions<'_>> {
    NARROW.into_iter().map(move |cube| set.narrowed(cube)).chain([set])
}

/// Writes the sets that are not there; gives the ids that now stand for the
/// sets of this batch, and leaves out those that stand for other sets.
async fn write(
    pool: &Pool,
    batch: &[(i64, &Canonical, Dimensions<'_>)],
) -> Result<HashSet<i64>, Error> {
    let dimensions = || batch.iter().map(|(.., dimensions)| dimensions);
    let ids: Vec<i64> = batch.iter().map(|(id, ..)| *id).collect();
    let models: Vec<_> = dimensions().map(|set| set.model).collect();
    let upstreams: Vec<_> = dimensions().map(|set| set.upstream).collect();
    let dialects: Vec<_> = dimensions().map(|set| set.dialect).collect();
    let operations: Vec<_> = dimensions().map(|set| set.operation).collect();
    let streams: Vec<_> = dimensions().map(|set| set.stream).collect();
    let client_keys: Vec<_> = dimensions().map(|set| set.client_key).collect();
    let user_names: Vec<_> = dimensions().map(|set| set.user_name).collect();
    let families: Vec<_> = dimensions().map(|set| set.user_agent_family).collect();
    let tags: Vec<_> = dimensions().map(|set| Json(set.tags)).collect();
    let cubes: Vec<_> = dimensions().map(|set| set.cube as i16).collect();
    let generating: Vec<_> = dimensions().map(|set| set.generates()).collect();
    let calling_none: Vec<_> = dimensions().map(|set| set.calls_no_model()).collect();
    macro_rules! statement {
        ($name:literal) => {
            sqlx::query_scalar::<_, i64>(include_str!(concat!("queries/", $name)))
                .bind(&ids)
                .bind(&models)
                .bind(&upstreams)
                .bind(&dialects)
                .bind(&operations)
                .bind(&streams)
                .bind(&client_keys)
                .bind(&user_names)
                .bind(&families)
                .bind(&tags)
                .bind(&cubes)
                .bind(&generating)
                .bind(&calling_none)
        };
    }
    statement!("insert_series.sql").fetch_all(pool).traced("insert_series").await?;
    let ours = statement!("matching_series_ids.sql").fetch_all(pool).traced("matching_series_ids");
    Ok(ours.await?.into_iter().collect())
}
