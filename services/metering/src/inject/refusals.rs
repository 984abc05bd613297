//! Which upstreams must not be asked for usage: they refuse, report anyway, or add what cannot be
//! removed exactly. Remembered per upstream and model, since a gateway sends each model to another
//! server.

use std::collections::{HashMap, HashSet, hash_map::DefaultHasher};
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Upstreams remembered at most; when there are so many, no other one is asked.
const UPSTREAMS: usize = 1024;
/// Models remembered for each upstream; when there are more, it is not asked at all.
const MODELS: usize = 64;

/// The model that a request names, in eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Model(u64);

impl Model {
    /// By its name; requests may name none.
    #[must_use]
    pub fn named(name: Option<&[u8]>) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Upstreams, each with its models, that must not be asked. Shared by all
/// requests of a process; at most about 2 MiB.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<String, Refused>>);

#[derive(Debug)]
enum Refused {
    All,
    Models(HashSet<Model>),
}

impl Refusals {
    /// Do not ask this upstream for this model again. Says whether that is new.
    pub fn remember(&self, upstream: &str, model: Model) -> bool {
        let mut upstreams = self.lock();
        if !upstreams.contains_key(upstream) {
            if upstreams.len() >= UPSTREAMS {
                return false;
            }
            upstreams.insert(upstream.to_owned(), Refused::Models(HashSet::new()));
        }
        let Some(refused) = upstreams.get_mut(upstream) else { return false };
        let Refused::Models(models) = refused else { return false };
        let new = models.insert(model);
        if models.len() > MODELS {
            *refused = Refused::All;
        }
        new
    }

    /// Do not ask this upstream again for any model.
    pub fn remember_all(&self, upstream: &str) {
        let mut upstreams = self.lock();
        if let Some(refused) = upstreams.get_mut(upstream) {
            *refused = Refused::All;
        } else if upstreams.len() < UPSTREAMS {
            upstreams.insert(upstream.to_owned(), Refused::All);
        }
    }

    /// Whether it must not be asked for any model.
    #[must_use]
    pub fn contains_all(&self, upstream: &str) -> bool {
        let upstreams = self.lock();
        match upstreams.get(upstream) {
            Some(refused) => matches!(refused, Refused::All),
            None => upstreams.len() >= UPSTREAMS,
        }
    }

    /// Whether it must not be asked for this model.
    #[must_use]
    pub fn contains(&self, upstream: &str, model: Model) -> bool {
        let upstreams = self.lock();
        match upstreams.get(upstream) {
            Some(Refused::All) => true,
            Some(Refused::Models(models)) => models.contains(&model),
            None => upstreams.len() >= UPSTREAMS,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_bounded_and_full_it_asks_nobody_else() {
        let refusals = Refusals::default();
        let model = |number: usize| Model::named(Some(number.to_string().as_bytes()));
        for number in 0..=MODELS {
            assert!(!refusals.contains("gateway", model(number)));
            assert!(refusals.remember("gateway", model(number)));
        }
        assert!(refusals.contains_all("gateway") && refusals.contains("gateway", model(1 << 20)));
        assert!(!refusals.contains_all("other"));
        for number in 0..2 * UPSTREAMS {
            refusals.remember(&number.to_string(), model(0));
        }
        assert_eq!(refusals.lock().len(), UPSTREAMS);
        assert!(refusals.contains_all("other") && !refusals.contains_all("0"));
    }
}
