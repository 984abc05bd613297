//! A cache bounded in bytes, whatever its keys are; entries that were not used
//! recently are dropped first.

use std::{collections::HashMap, mem};

use super::dimensions::Canonical;

/// Entries by canonical form, in two generations. New entries and entries that are
/// read again go into the young generation. When it holds half of the bytes, it
/// replaces the old one, which is dropped.
#[derive(Debug)]
pub(super) struct Cache<V> {
    young: HashMap<Canonical, V>,
    old: HashMap<Canonical, V>,
    /// Estimated bytes of the young generation.
    young_bytes: usize,
    /// Estimated bytes of the old generation.
    old_bytes: usize,
    /// Limit of each generation in bytes.
    most: usize,
    /// Bytes that a value owns beside its own size.
    owned: fn(&V) -> usize,
}

impl<V: Clone> Cache<V> {
    /// A cache of at most `bytes`, of values that own nothing.
    pub(super) fn new(bytes: usize) -> Self
    where
        V: Copy,
    {
        Self::of_owners(bytes, |_| 0)
    }

    /// A cache of at most `bytes`; `owned` tells how many a value owns beside its own size.
    pub(super) fn of_owners(bytes: usize, owned: fn(&V) -> usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
            old_bytes: 0,
            most: bytes / 2,
            owned,
        }
    }

    /// The value of a key.
    pub(super) fn get(&mut self, key: &[u8]) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.old_bytes -= self.bytes_of(&key, &value);
        self.insert(key, value.clone());
        Some(value)
    }

    /// Adds or replaces an entry.
    pub(super) fn insert(&mut self, key: Canonical, value: V) {
        let bytes = self.bytes_of(&key, &value);
        if bytes > self.most {
            return;
        }
        if self.young_bytes + bytes > self.most {
            self.old = mem::take(&mut self.young);
            self.old_bytes = mem::take(&mut self.young_bytes);
        }
        let replaced = self.young.remove_entry(&key);
        self.young_bytes -= replaced.map_or(0, |(key, value)| self.bytes_of(&key, &value));
        self.young_bytes += bytes;
        self.young.insert(key, value);
    }

    /// Estimated bytes of all entries: never more than the limit.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.young_bytes + self.old_bytes
    }

    /// Estimated bytes of an entry: its key, what its value owns, the allocator's overhead,
    /// and its slot in a hash table with a load factor of 7/16, the lowest after growing.
    fn bytes_of(&self, key: &[u8], value: &V) -> usize {
        (self.owned)(value) + key.len() + 16 + (mem::size_of::<(Canonical, V)>() + 1) * 16 / 7
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Canonical {
        format!("{number:0>200}").into_bytes().into()
    }

    #[test]
    fn a_million_novel_keys_hold_no_more_bytes_than_the_bound() {
        const BOUND: usize = 4 << 20;
        let mut cache = Cache::new(BOUND);
        for number in 0..1_000_000 {
            cache.insert(key(number), number);
            assert!(cache.bytes() <= BOUND, "{} after {number}", cache.bytes());
        }
        let table = |map: &HashMap<Canonical, usize>| {
            let keys: usize = map.keys().map(|key| key.len() + 16).sum();
            // A table of `capacity` has at least 8/7 as many places, a power of two.
            let places = (map.capacity() * 8 / 7).next_power_of_two();
            keys + places * (mem::size_of::<(Canonical, usize)>() + 1)
        };
        let held = table(&cache.young) + table(&cache.old);
        assert!(held <= BOUND, "{held} bytes are held");
        assert!(held >= BOUND / 4, "only {held} bytes are used");
    }

    #[test]
    fn entries_that_are_read_again_stay() {
        let mut cache = Cache::new(100_000);
        cache.insert(key(0), 0);
        for number in 1..100_000 {
            cache.insert(key(number), number);
            assert_eq!(cache.get(&key(0)), Some(0), "after {number}");
        }
        assert_eq!(cache.get(&key(1)), None);
    }

    #[test]
    fn a_key_that_is_replaced_counts_once() {
        let mut cache = Cache::new(100_000);
        cache.insert(key(0), 0);
        let bytes = cache.bytes();
        cache.insert(key(0), 1);
        assert_eq!((cache.bytes(), cache.get(&key(0))), (bytes, Some(1)));
    }

    #[test]
    fn what_values_own_counts() {
        let mut cache = Cache::of_owners(100_000, |value: &Vec<u8>| value.capacity());
        cache.insert(key(0), vec![0; 10_000]);
        cache.insert(key(0), vec![0; 20_000]);
        assert!((20_000..21_000).contains(&cache.bytes()), "{}", cache.bytes());
        for number in 1..100 {
            cache.insert(key(number), vec![0; 10_000]);
            assert!(cache.bytes() <= 100_000, "{} after {number}", cache.bytes());
        }
        assert_eq!((cache.get(&key(0)), cache.get(&key(99)).is_some()), (None, true));
    }

    #[test]
    fn a_key_that_is_too_long_is_not_kept() {
        let mut cache = Cache::new(1_000);
        cache.insert(vec![0; 2_000].into(), 1);
        assert_eq!((cache.bytes(), cache.get(&[0; 2_000])), (0, None));
    }
}
