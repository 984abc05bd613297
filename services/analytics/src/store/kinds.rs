//! The dictionary of what many requests have in common besides their series:
//! replica, method, path, requested model, tier, finish reason, provider and version of
//! prices. A request whose set is not in it has the texts in its own row, so nothing depends on its
//! size.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use modash_proto::v1::UsageEvent;
use sha2::{Digest as _, Sha256};

use super::{Error, cache::Cache, dimensions::Canonical, pool::Pool, traced::Traced as _};

/// Sets that are kept in the dictionary.
const LIMIT: usize = 50_000;

/// Bytes of sets whose ids are kept in memory.
const CACHE_BYTES: usize = 16 << 20;

/// Ids that are tried for one set: each further one is needed only if another
/// set has the same 32-bit hash.
const ATTEMPTS: u8 = 4;

/// A part of a path that is longer than this is likely the id of something, and
/// the path occurs once.
const LONGEST_PART: usize = 32;

/// A set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind<'a> {
    replica_id: &'a str,
    method: &'a str,
    path: &'a str,
    model_requested: Option<&'a str>,
    service_tier: Option<&'a str>,
    finish_reason: Option<&'a str>,
    provider: Option<&'a str>,
    price_version: Option<&'a str>,
}

/// Ids of the sets that this process met.
#[derive(Debug)]
pub(super) struct Kinds {
    known: Mutex<Cache<Option<i32>>>,
}

impl Default for Kinds {
    fn default() -> Self {
        Self { known: Mutex::new(Cache::new(CACHE_BYTES)) }
    }
}

impl<'a> Kind<'a> {
    /// The set of an event, if it is worth to be kept.
    fn of(event: &'a UsageEvent) -> Option<Self> {
        let cost = event.cost.as_ref();
        let common = event.path.split(['/', '?', '&']).all(|part| part.len() <= LONGEST_PART);
        common.then_some(Self {
            replica_id: &event.replica_id,
            method: &event.method,
            path: &event.path,
            model_requested: event.model_requested.as_deref(),
            service_tier: event.service_tier.as_deref(),
            finish_reason: event.finish_reason.as_deref(),
            provider: cost.and_then(|cost| cost.provider.as_deref()),
            price_version: cost.and_then(|cost| cost.price_version.as_deref()),
        })
    }

    /// Equal for equal sets only: every part with its length before it.
    fn canonical(self, into: &mut Vec<u8>) {
        into.clear();
        for part in [
            Some(self.replica_id),
            Some(self.method),
            Some(self.path),
            self.model_requested,
            self.service_tier,
            self.finish_reason,
            self.provider,
            self.price_version,
        ] {
            // No text is as long as the length that stands for absence.
            let length = part.map_or(u32::MAX, |part| part.len() as u32);
            into.extend_from_slice(&length.to_be_bytes());
            into.extend_from_slice(part.unwrap_or_default().as_bytes());
        }
    }
}

/// The first 32 bits of SHA-256. Part of the storage format.
fn id_of(canonical: &[u8], attempt: u8) -> i32 {
    let mut hash = Sha256::new();
    hash.update(canonical);
    if attempt > 0 {
        hash.update([attempt]);
    }
    let digest = hash.finalize();
    i32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

impl Kinds {
    fn known(&self) -> std::sync::MutexGuard<'_, Cache<Option<i32>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kinds of events; sets that are new are written first. `None`: the row
    /// of the request has the texts.
    pub(super) async fn resolve<'a>(
        &self,
        pool: &Pool,
        events: impl IntoIterator<Item = &'a UsageEvent>,
    ) -> Result<Vec<Option<i32>>, Error> {
        let mut canonical = Vec::new();
        let mut found = Vec::new();
        let mut unknown: HashMap<Canonical, (Kind<'a>, Vec<usize>)> = HashMap::new();
        {
            let mut known = self.known();
            for (at, event) in events.into_iter().enumerate() {
                let Some(kind) = Kind::of(event) else {
                    found.push(None);
                    continue;
                };
                kind.canonical(&mut canonical);
                let id = known.get(&canonical);
                found.push(id.flatten());
                if id.is_none() {
                    let places = unknown.entry(canonical.as_slice().into());
                    places.or_insert_with(|| (kind, Vec::new())).1.push(at);
                }
            }
        }
        if unknown.is_empty() {
            return Ok(found);
        }
        let sets = unknown.iter().map(|(canonical, (kind, _))| (canonical.clone(), *kind));
        let ids = identify(pool, sets.collect()).await?;
        let mut known = self.known();
        for (canonical, (_, places)) in unknown {
            let id = ids.get(&canonical).copied();
            places.into_iter().for_each(|place| found[place] = id);
            known.insert(canonical, id);
        }
        Ok(found)
    }
}

/// The ids of sets; those that are new are written, as long as there is room.
async fn identify(
    pool: &Pool,
    mut unknown: HashMap<Canonical, Kind<'_>>,
) -> Result<HashMap<Canonical, i32>, Error> {
    let mut ids = HashMap::new();
    let statement = include_str!("queries/count_kinds.sql");
    let count: i64 = sqlx::query_scalar(statement).fetch_one(pool).traced("count_kinds").await?;
    let room = usize::try_from(count).unwrap_or(LIMIT) + unknown.len() <= LIMIT;
    for attempt in 0..ATTEMPTS {
        if unknown.is_empty() {
            break;
        }
        let mut batch: Vec<(i32, &Canonical, Kind<'_>)> = unknown
            .iter()
            .map(|(canonical, kind)| (id_of(canonical, attempt), canonical, *kind))
            .collect();
        // Writers that take the rows in one order do not deadlock. Two sets of one
        // batch with the same id: the second one takes another turn.
        batch.sort_unstable_by_key(|(id, canonical, _)| (*id, canonical.len()));
        batch.dedup_by_key(|(id, ..)| *id);
        let ours = write(pool, &batch, room).await?;
        let settled: Vec<(Canonical, i32)> = batch
            .iter()
            .filter(|(id, ..)| ours.contains(id))
            .map(|(id, canonical, _)| ((*canonical).clone(), *id))
            .collect();
        for (canonical, id) in settled {
            unknown.remove(&canonical);
            ids.insert(canonical, id);
        }
    }
    Ok(ids)
}

/// Writes the sets that are not there, if there is room; gives the ids that stand
/// for the sets of this batch, and leaves out those that stand for other sets.
async fn write(
    pool: &Pool,
    batch: &[(i32, &Canonical, Kind<'_>)],
    room: bool,
) -> Result<HashSet<i32>, Error> {
    let kinds = || batch.iter().map(|(.., kind)| kind);
    let ids: Vec<i32> = batch.iter().map(|(id, ..)| *id).collect();
    let replicas: Vec<_> = kinds().map(|kind| kind.replica_id).collect();
    let methods: Vec<_> = kinds().map(|kind| kind.method).collect();
    let paths: Vec<_> = kinds().map(|kind| kind.path).collect();
    let models: Vec<_> = kinds().map(|kind| kind.model_requested).collect();
    let tiers: Vec<_> = kinds().map(|kind| kind.service_tier).collect();
    let reasons: Vec<_> = kinds().map(|kind| kind.finish_reason).collect();
    let providers: Vec<_> = kinds().map(|kind| kind.provider).collect();
    let versions: Vec<_> = kinds().map(|kind| kind.price_version).collect();
    macro_rules! statement {
        ($name:literal) => {
            sqlx::query_scalar::<_, i32>(include_str!(concat!("queries/", $name)))
                .bind(&ids)
                .bind(&replicas)
                .bind(&methods)
                .bind(&paths)
                .bind(&models)
                .bind(&tiers)
                .bind(&reasons)
                .bind(&providers)
                .bind(&versions)
        };
    }
    if room {
        statement!("insert_kinds.sql").fetch_all(pool).traced("insert_kinds").await?;
    }
    let ours = statement!("matching_kind_ids.sql").fetch_all(pool).traced("matching_kind_ids");
    Ok(ours.await?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use modash_proto::v1::RequestCost;

    use super::*;

    #[test]
    fn sets_that_differ_have_different_canonical_forms_and_ids() {
        let event = UsageEvent { path: "/v1/a".into(), ..UsageEvent::default() };
        let with_cost = |cost| UsageEvent { cost: Some(cost), ..event.clone() };
        let others = [
            UsageEvent { method: "a".into(), ..event.clone() },
            UsageEvent { replica_id: "a".into(), ..event.clone() },
            UsageEvent { path: "/v1/b".into(), ..event.clone() },
            UsageEvent { model_requested: Some(String::new()), ..event.clone() },
            UsageEvent { service_tier: Some(String::new()), ..event.clone() },
            UsageEvent { finish_reason: Some(String::new()), ..event.clone() },
            with_cost(RequestCost { provider: Some(String::new()), ..RequestCost::default() }),
            with_cost(RequestCost { price_version: Some(String::new()), ..RequestCost::default() }),
            event.clone(),
        ];
        let ids: HashSet<i32> = others
            .iter()
            .map(|event| {
                let mut canonical = Vec::new();
                Kind::of(event).unwrap().canonical(&mut canonical);
                assert_ne!(id_of(&canonical, 0), id_of(&canonical, 1));
                id_of(&canonical, 0)
            })
            .collect();
        assert_eq!(ids.len(), others.len());
    }

    #[test]
    fn a_path_with_an_id_has_no_kind() {
        let of = |path: &str| {
            Kind::of(&UsageEvent { path: path.into(), ..UsageEvent::default() }).is_some()
        };
        assert!(of("/v1/chat/completions"));
        assert!(of("/v1beta/models/gemini-2.5-flash:generate"));
        assert!(!of("/v1/responses/resp_68af4030baa48193b0b43b4c2a176a1a0e6967589f080e78"));
    }
}
