//! The dictionary of dimension sets: each set has an id, so that the rows of
//! requests stay narrow and a filter is decided once for each set.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use modash_proto::v1::UsageEvent;
use sha2::{Digest as _, Sha256};
use sqlx::{PgPool, types::Json};

use super::{Error, Row};

/// Sets whose ids are kept in memory; more, and the cache begins anew.
const CACHE_SIZE: usize = 100_000;

/// Ids that are tried for one set. Each further one is needed only if another
/// set has the same 64-bit hash.
const ATTEMPTS: u8 = 8;

/// Canonical form of a dimension set: equal for equal sets only.
pub(super) type Canonical = Box<[u8]>;

/// Ids of the sets that this process met.
#[derive(Debug, Default)]
pub(super) struct SeriesCache {
    ids: Mutex<HashMap<Canonical, i64>>,
}

/// The dimensions of a request, borrowed from its event.
#[derive(Debug, Clone, Copy)]
struct Dimensions<'a> {
    model: Option<&'a str>,
    upstream: &'a str,
    dialect: &'a str,
    operation: i16,
    stream: bool,
    client_key: Option<&'a str>,
    user_name: Option<&'a str>,
    user_agent_family: Option<&'a str>,
    tags: &'a HashMap<String, String>,
}

impl<'a> From<&'a UsageEvent> for Dimensions<'a> {
    fn from(event: &'a UsageEvent) -> Self {
        Self {
            model: event.model.as_deref().or(event.model_requested.as_deref()),
            upstream: &event.upstream,
            dialect: &event.dialect,
            operation: i16::try_from(event.operation).unwrap_or_default(),
            stream: event.stream,
            client_key: event.client_key.as_deref(),
            user_name: event.user.as_deref(),
            user_agent_family: event.user_agent_family.as_deref(),
            tags: &event.tags,
        }
    }
}

impl Dimensions<'_> {
    /// Every part with its length before it, tags in the order of their names.
    fn canonical(self, into: &mut Vec<u8>) {
        fn part(into: &mut Vec<u8>, text: Option<&str>) {
            // No text is as long as the length that stands for absence.
            let length = text.map_or(u32::MAX, |text| text.len() as u32);
            into.extend_from_slice(&length.to_be_bytes());
            into.extend_from_slice(text.unwrap_or_default().as_bytes());
        }
        into.clear();
        part(into, self.model);
        part(into, Some(self.upstream));
        part(into, Some(self.dialect));
        into.extend_from_slice(&self.operation.to_be_bytes());
        into.push(self.stream.into());
        part(into, self.client_key);
        part(into, self.user_name);
        part(into, self.user_agent_family);
        let mut tags: Vec<_> = self.tags.iter().collect();
        tags.sort_unstable();
        for (name, value) in tags {
            part(into, Some(name));
            part(into, Some(value));
        }
    }
}

/// The id of a set: the first 64 bits of SHA-256. Part of the storage format.
fn id_of(canonical: &[u8], attempt: u8) -> i64 {
    let mut hash = Sha256::new();
    hash.update(canonical);
    if attempt > 0 {
        hash.update([attempt]);
    }
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

impl SeriesCache {
    /// The series of each row; sets that are new are written first.
    pub(super) async fn resolve(&self, pool: &PgPool, rows: &[Row]) -> Result<Vec<i64>, Error> {
        let mut canonical = Vec::new();
        let mut ids = vec![0; rows.len()];
        let mut unknown: HashMap<Canonical, Vec<usize>> = HashMap::new();
        {
            let cache = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            for (at, row) in rows.iter().enumerate() {
                Dimensions::from(&row.event).canonical(&mut canonical);
                match cache.get(canonical.as_slice()) {
                    Some(id) => ids[at] = *id,
                    None => match unknown.get_mut(canonical.as_slice()) {
                        Some(places) => places.push(at),
                        None => {
                            unknown.insert(canonical.as_slice().into(), vec![at]);
                        }
                    },
                }
            }
        }
        for attempt in 0..ATTEMPTS {
            if unknown.is_empty() {
                return Ok(ids);
            }
            let mut batch: Vec<(i64, &Canonical, Dimensions<'_>)> = unknown
                .iter()
                .map(|(canonical, places)| {
                    let event = &rows[places[0]].event;
                    (id_of(canonical, attempt), canonical, Dimensions::from(event))
                })
                .collect();
            // Writers that take the rows in one order do not deadlock. Two sets
            // of one batch with the same id: the second one takes another turn.
            batch.sort_unstable_by_key(|(id, canonical, _)| (*id, canonical.len()));
            batch.dedup_by_key(|(id, ..)| *id);
            let ours = write(pool, &batch).await?;
            let settled: Vec<(Canonical, i64)> = batch
                .iter()
                .filter(|(id, ..)| ours.contains(id))
                .map(|(id, canonical, _)| ((*canonical).clone(), *id))
                .collect();
            let mut cache = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            if cache.len() + settled.len() > CACHE_SIZE {
                cache.clear();
            }
            for (canonical, id) in settled {
                for place in unknown.remove(&canonical).unwrap_or_default() {
                    ids[place] = id;
                }
                cache.insert(canonical, id);
            }
        }
        // Eight 64-bit hashes of one set that all belong to others.
        Err(Error::Other(sqlx::Error::Protocol("no free series id".to_owned())))
    }
}

/// Writes the sets that are not there; gives the ids that now stand for the
/// sets of this batch, and leaves out those that stand for other sets.
async fn write(
    pool: &PgPool,
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
        };
    }
    statement!("insert_series.sql").fetch_all(pool).await?;
    Ok(statement!("matching_series_ids.sql").fetch_all(pool).await?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(event: &UsageEvent) -> Vec<u8> {
        let mut bytes = Vec::new();
        Dimensions::from(event).canonical(&mut bytes);
        bytes
    }

    #[test]
    fn sets_that_differ_have_different_canonical_forms() {
        let event = UsageEvent { upstream: "a".into(), ..UsageEvent::default() };
        let others = [
            UsageEvent { upstream: "ab".into(), ..event.clone() },
            UsageEvent { dialect: "a".into(), ..event.clone() },
            UsageEvent { model: Some(String::new()), ..event.clone() },
            UsageEvent { client_key: Some("a".into()), ..event.clone() },
            UsageEvent { user: Some("a".into()), ..event.clone() },
            UsageEvent { stream: true, ..event.clone() },
            UsageEvent { operation: 1, ..event.clone() },
            UsageEvent { tags: [("a".into(), String::new())].into(), ..event.clone() },
        ];
        let mut forms: HashSet<_> = others.iter().map(canonical).collect();
        forms.insert(canonical(&event));
        assert_eq!(forms.len(), others.len() + 1);
    }

    #[test]
    fn the_order_of_tags_does_not_matter() {
        let tags = [("a", "1"), ("b", "2"), ("c", "3")].map(|(a, b)| (a.into(), b.into()));
        let mut reversed = tags.clone();
        reversed.reverse();
        let one = UsageEvent { tags: tags.into(), ..UsageEvent::default() };
        let other = UsageEvent { tags: reversed.into(), ..UsageEvent::default() };
        assert_eq!(canonical(&one), canonical(&other));
    }

    #[test]
    fn the_id_of_a_set_never_changes() {
        let event = UsageEvent {
            model: Some("qwen3-8b".into()),
            upstream: "default".into(),
            dialect: "openai-chat".into(),
            operation: 1,
            stream: true,
            ..UsageEvent::default()
        };
        assert_eq!(id_of(&canonical(&event), 0), 2_588_361_860_925_044_709);
        assert_ne!(id_of(&canonical(&event), 0), id_of(&canonical(&event), 1));
    }
}
