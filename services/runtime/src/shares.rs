//! Places that callers share: there are so many in all, and one caller takes at most its
//! share, so that others find room.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The places that are taken, by caller. Clones share them. With each caller something is
/// kept for as long as it has a place.
#[derive(Debug)]
pub struct Shares<C, K = ()>(Arc<Mutex<Taken<C, K>>>);

#[derive(Debug)]
struct Taken<C, K> {
    most: usize,
    all: usize,
    by_caller: HashMap<C, (usize, K)>,
}

/// A place of one caller, free again when it is dropped.
#[derive(Debug)]
pub struct Place<C: Eq + Hash, K = ()> {
    shares: Shares<C, K>,
    caller: C,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// All are taken.
    All,
    /// The caller has taken its share.
    Share,
}

impl<C, K> Clone for Shares<C, K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Eq + Hash + Clone, K: Default> Shares<C, K> {
    /// With so many places in all.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Taken { most, all: 0, by_caller: HashMap::new() })))
    }

    /// Takes a place for a caller, who may have `share` of them.
    ///
    /// # Errors
    /// Why there is none.
    pub fn take(&self, caller: C, share: usize) -> Result<Place<C, K>, NoPlace> {
        let mut taken = self.taken();
        if taken.by_caller.get(&caller).is_some_and(|(count, _)| *count >= share) {
            return Err(NoPlace::Share);
        }
        if taken.all >= taken.most {
            return Err(NoPlace::All);
        }
        taken.all += 1;
        taken.by_caller.entry(caller.clone()).or_default().0 += 1;
        Ok(Place { shares: self.clone(), caller })
    }
}

impl<C, K> Shares<C, K> {
    /// Whether nobody has a place; nothing is kept then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken().by_caller.is_empty()
    }

    fn taken(&self) -> MutexGuard<'_, Taken<C, K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Eq + Hash, K> Place<C, K> {
    /// Uses what is kept with the caller.
    ///
    /// # Panics
    /// Never: it is kept while there is a place.
    pub fn with<T>(&self, use_it: impl FnOnce(&mut K) -> T) -> T {
        let mut taken = self.shares.taken();
        let kept = taken.by_caller.get_mut(&self.caller);
        use_it(&mut kept.unwrap_or_else(|| unreachable!("a caller with a place is known")).1)
    }
}

impl<C: Eq + Hash, K> Drop for Place<C, K> {
    fn drop(&mut self) {
        let mut taken = self.shares.taken();
        taken.all -= 1;
        if let Some((count, _)) = taken.by_caller.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                taken.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_takes_its_share_and_others_find_room_until_all_are_taken() {
        let shares: Shares<&str> = Shares::new(5);
        let mut greedy: Vec<_> = (0..3).map(|_| shares.take("greedy", 3).unwrap()).collect();
        assert_eq!(shares.take("greedy", 3).unwrap_err(), NoPlace::Share);
        let others = [shares.take("a", 3).unwrap(), shares.take("b", 3).unwrap()];
        assert_eq!(shares.take("c", 3).unwrap_err(), NoPlace::All);
        greedy.pop();
        drop(shares.take("c", 3).unwrap());
        greedy.push(shares.take("greedy", 3).unwrap());
        drop((greedy, others));
        assert!(shares.is_empty(), "nothing is kept of callers that left");
    }

    #[test]
    fn what_is_kept_with_a_caller_lasts_as_long_as_its_places() {
        let shares: Shares<&str, u32> = Shares::new(5);
        let [one, two] = [shares.take("a", 2).unwrap(), shares.take("a", 2).unwrap()];
        one.with(|kept| *kept += 1);
        drop(one);
        assert_eq!(two.with(|kept| *kept), 1);
        drop(two);
        assert_eq!(shares.take("a", 2).unwrap().with(|kept| *kept), 0);
    }
}
