//! Failed requests of one outcome by the type of their error: how many, when, the newest
//! one, and which client keys. Kept with the sums of a bucket, from hours on, so that
//! errors are grouped without a look at the requests. The bytes are part of the storage
//! format.

use std::collections::BTreeMap;

use super::{
    PackedError,
    packed::{pull, push},
    row::{EPOCH_US, pull_outcome, pull_version, push_version},
};

/// Types of errors that an outcome has in one row, so that an upstream that makes them up
/// does not make rows long.
const MOST_TYPES: usize = 64;

/// Stands for all types beyond that.
const OTHER: &str = "other";

/// What is kept of one failed request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'a> {
    pub(crate) error_type: Option<&'a str>,
    pub(crate) event_id: u128,
}

/// Sums of failed requests with one type of error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorSums {
    pub(crate) requests: i64,
    pub(crate) first_started_us: i64,
    /// Start and id of the newest one.
    pub(crate) newest: (i64, u128),
    /// Ascending: ids of the series of client keys in what commits noted, and numbers of
    /// client keys in the levels. Full sets have none, since they have one client key.
    pub(crate) client_keys: Vec<i64>,
}

/// Sums by type of error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Errors(BTreeMap<Option<Box<str>>, ErrorSums>);

impl ErrorSums {
    /// Those of one request.
    pub(crate) fn of(started_us: i64, event_id: u128) -> Self {
        let newest = (started_us, event_id);
        Self { requests: 1, first_started_us: started_us, newest, client_keys: Vec::new() }
    }

    /// Adds all but the client keys.
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.first_started_us = self.first_started_us.min(other.first_started_us);
        self.newest = self.newest.max(other.newest);
    }

    fn add_keys(&mut self, keys: &[i64]) {
        if !keys.is_empty() && self.client_keys != keys {
            self.client_keys.extend_from_slice(keys);
            self.client_keys.sort_unstable();
            self.client_keys.dedup();
        }
    }

    /// Adds others with their client keys.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.add(other);
        self.add_keys(&other.client_keys);
    }
}

impl Errors {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts a request.
    pub(super) fn count(&mut self, started_us: i64, failure: &Failure<'_>) {
        let sums = ErrorSums::of(started_us, failure.event_id);
        self.add(failure.error_type, &sums, &[]);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (error_type, sums) in &other.0 {
            self.add(error_type.as_deref(), sums, &sums.client_keys);
        }
    }

    /// Adds others, all of this client key.
    pub(crate) fn merge_of_key(&mut self, other: &Self, client_key: i64) {
        for (error_type, sums) in &other.0 {
            self.add(error_type.as_deref(), sums, &[client_key]);
        }
    }

    fn add(&mut self, error_type: Option<&str>, sums: &ErrorSums, keys: &[i64]) {
        let mut own: Option<Box<str>> = error_type.map(Into::into);
        if self.0.len() >= MOST_TYPES && !self.0.contains_key(&own) {
            own = Some(OTHER.into());
        }
        match self.0.entry(own) {
            std::collections::btree_map::Entry::Occupied(known) => {
                let known = known.into_mut();
                known.add(sums);
                known.add_keys(keys);
            }
            std::collections::btree_map::Entry::Vacant(new) => {
                new.insert(ErrorSums { client_keys: keys.to_vec(), ..sums.clone() });
            }
        }
    }

    /// The client keys of all types, with repeats.
    pub(crate) fn client_keys(&self) -> impl Iterator<Item = i64> + '_ {
        self.0.values().flat_map(|sums| sums.client_keys.iter().copied())
    }

    /// Puts other numbers in place of the client keys; those without one are left out.
    pub(crate) fn renumber(&mut self, number: impl Fn(i64) -> Option<i64>) {
        for sums in self.0.values_mut() {
            let mut keys: Vec<i64> =
                sums.client_keys.iter().filter_map(|key| number(*key)).collect();
            keys.sort_unstable();
            keys.dedup();
            sums.client_keys = keys;
        }
    }
}

/// Adds the errors of an outcome.
pub(super) fn push_errors(bytes: &mut Vec<u8>, outcome: i16, errors: &Errors) {
    push_version(bytes, outcome);
    push(bytes, errors.0.len() as u64);
    for (error_type, sums) in &errors.0 {
        // No type is 0, a type its length and 1.
        push(bytes, error_type.as_ref().map_or(0, |text| text.len() as u64 + 1));
        bytes.extend_from_slice(error_type.as_deref().unwrap_or_default().as_bytes());
        let (last, event_id) = sums.newest;
        push(bytes, sums.requests.cast_unsigned());
        push(bytes, sums.first_started_us.wrapping_sub(EPOCH_US).cast_unsigned());
        push(bytes, last.wrapping_sub(sums.first_started_us).cast_unsigned());
        bytes.extend_from_slice(&event_id.to_le_bytes());
        push(bytes, sums.client_keys.len() as u64);
        let mut before = 0_i64;
        for key in &sums.client_keys {
            push(bytes, key.wrapping_sub(before).cast_unsigned());
            before = *key;
        }
    }
}

/// Hands out outcome, type and sums of rows that stand one after the other.
///
/// # Errors
/// If a row is damaged, or of a newer version.
pub(crate) fn unpack_errors(
    mut bytes: &[u8],
    mut each: impl FnMut(i16, Option<&str>, ErrorSums),
) -> Result<(), PackedError> {
    while let Some(version) = pull_version(&mut bytes) {
        version?;
        pull_errors(&mut bytes, &mut each).ok_or(PackedError::Damaged)?;
    }
    Ok(())
}

/// The same by outcome.
pub(super) fn unpack_by_outcome(
    bytes: &[u8],
    mut errors_of: impl FnMut(i16, &dyn Fn(&mut Errors)),
) -> Result<(), PackedError> {
    unpack_errors(bytes, |outcome, error_type, sums| {
        errors_of(outcome, &|errors| errors.add(error_type, &sums, &sums.client_keys));
    })
}

fn pull_errors(
    bytes: &mut &[u8],
    each: &mut impl FnMut(i16, Option<&str>, ErrorSums),
) -> Option<()> {
    let outcome = pull_outcome(bytes)?;
    for _ in 0..pull(bytes)? {
        let error_type = match pull(bytes)?.checked_sub(1) {
            None => None,
            Some(length) => {
                let (text, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
                *bytes = rest;
                Some(std::str::from_utf8(text).ok()?)
            }
        };
        let requests = pull(bytes)?.cast_signed();
        let first_started_us = pull(bytes)?.cast_signed().wrapping_add(EPOCH_US);
        let last = first_started_us.wrapping_add(pull(bytes)?.cast_signed());
        let (event_id, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        let newest = (last, u128::from_le_bytes(*event_id));
        let mut client_keys = Vec::new();
        let mut key = 0_i64;
        for _ in 0..pull(bytes)? {
            key = key.wrapping_add(pull(bytes)?.cast_signed());
            client_keys.push(key);
        }
        each(outcome, error_type, ErrorSums { requests, first_started_us, newest, client_keys });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn errors() -> impl Strategy<Value = Errors> {
        let sums = (1..1_000_000_i64, any::<u32>(), any::<u32>(), any::<u128>(), keys()).prop_map(
            |(requests, first, length, event_id, client_keys)| {
                let first_started_us = EPOCH_US - 1_000_000 + i64::from(first);
                let newest = (first_started_us + i64::from(length), event_id);
                ErrorSums { requests, first_started_us, newest, client_keys }
            },
        );
        let error_type = prop::option::of("[a-zé_]{0,12}".prop_map(String::into_boxed_str));
        prop::collection::btree_map(error_type, sums, 1..5).prop_map(Errors)
    }

    fn keys() -> impl Strategy<Value = Vec<i64>> {
        let key = prop_oneof![1..500_i64, any::<i64>()];
        prop::collection::btree_set(key, 0..9).prop_map(|keys| keys.into_iter().collect())
    }

    fn unpacked(bytes: &[u8]) -> Result<BTreeMap<i16, Errors>, PackedError> {
        let mut found: BTreeMap<i16, Errors> = BTreeMap::new();
        unpack_by_outcome(bytes, |outcome, add| add(found.entry(outcome).or_default()))?;
        Ok(found)
    }

    proptest! {
        #[test]
        fn errors_survive_packing_and_add_up(parts in prop::collection::vec((2_i16..5, errors()), 0..6)) {
            let mut bytes = Vec::new();
            let mut expected: BTreeMap<i16, Errors> = BTreeMap::new();
            for (outcome, errors) in &parts {
                push_errors(&mut bytes, *outcome, errors);
                expected.entry(*outcome).or_default().merge(errors);
            }
            prop_assert_eq!(unpacked(&bytes), Ok(expected));
        }

        #[test]
        fn bytes_that_are_no_errors_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = unpacked(&bytes);
        }
    }

    #[test]
    fn types_beyond_the_limit_count_as_other() {
        let mut errors = Errors::default();
        for number in 0..3 * MOST_TYPES {
            let text = format!("type {number}");
            let failure = Failure { error_type: Some(&text), event_id: number as u128 };
            errors.count(number as i64, &failure);
        }
        assert_eq!(errors.0.len(), MOST_TYPES + 1);
        let other = &errors.0[&Some(OTHER.into())];
        assert_eq!(other.requests as usize, 2 * MOST_TYPES);
        assert_eq!(
            errors.0.values().map(|sums| sums.requests).sum::<i64>() as usize,
            3 * MOST_TYPES
        );
    }

    #[test]
    fn a_newer_row_is_an_error() {
        let mut errors = Errors::default();
        errors.count(7, &Failure { error_type: None, event_id: 1 });
        let mut bytes = Vec::new();
        push_errors(&mut bytes, 2, &errors);
        assert!(unpacked(&bytes).is_ok());
        assert_eq!(unpacked(&bytes[..bytes.len() - 1]), Err(PackedError::Damaged));
        bytes[0] = 9;
        assert_eq!(unpacked(&bytes), Err(PackedError::Newer(9)));
    }

    #[test]
    fn client_keys_get_numbers_and_those_without_one_are_left_out() {
        let mut one = Errors::default();
        one.count(7, &Failure { error_type: None, event_id: 1 });
        let mut errors = Errors::default();
        for key in [30, -10, 20, 30] {
            errors.merge_of_key(&one, key);
        }
        assert_eq!(errors.client_keys().collect::<Vec<_>>(), [-10, 20, 30]);
        errors.renumber(|key| (key > 0).then_some(40 - key));
        assert_eq!(errors.client_keys().collect::<Vec<_>>(), [10, 20]);
    }
}
