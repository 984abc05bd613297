//! How many questions each caller has open: one that asks without waiting for answers
//! takes no place from others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Questions that the bearer of one token may have open. A dashboard asks ten at once.
pub(super) const MOST_QUESTIONS: usize = 64;

/// The open questions by the names of tokens. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Callers(Arc<Mutex<HashMap<String, usize>>>);

/// A question that is open until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    callers: Callers,
    name: String,
}

impl Callers {
    /// A place for one more question; `None`: there are too many.
    pub(super) fn place(&self, name: &str) -> Option<Place> {
        let mut all = self.all();
        let open = all.entry(name.to_owned()).or_default();
        (*open < MOST_QUESTIONS).then(|| {
            *open += 1;
            Place { callers: self.clone(), name: name.to_owned() }
        })
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.callers.all();
        if let Some(open) = all.get_mut(&self.name) {
            *open -= 1;
            if *open == 0 {
                all.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_its_own_places_and_gets_them_back() {
        let callers = Callers::default();
        let mut places: Vec<_> =
            (0..MOST_QUESTIONS).map(|_| callers.place("greedy").unwrap()).collect();
        assert!(callers.place("greedy").is_none());
        assert!(callers.place("other").is_some());
        places.pop();
        places.push(callers.place("greedy").unwrap());
        drop(places);
        assert!(callers.all().is_empty());
    }
}
