//! Histograms as bytes: variable-length integers. Part of the storage format.

use modash_histogram::{BUCKETS, Histogram};

fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn pull(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Buckets in ascending order: the distance of each from the one before, then
/// its count.
pub(crate) fn pack_buckets(buckets: impl IntoIterator<Item = (u32, u64)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_buckets(&mut bytes, buckets);
    bytes
}

fn push_buckets(bytes: &mut Vec<u8>, buckets: impl IntoIterator<Item = (u32, u64)>) {
    let mut before = 0;
    for (bucket, count) in buckets {
        push(bytes, u64::from(bucket.saturating_sub(before)));
        push(bytes, count);
        before = bucket;
    }
}

/// What [`pack_buckets`] packed; what cannot be read ends it.
pub(crate) fn unpack_buckets(mut bytes: &[u8]) -> impl Iterator<Item = (u32, u64)> + '_ {
    let mut bucket = 0_u32;
    std::iter::from_fn(move || next(&mut bytes, &mut bucket))
}

fn next(bytes: &mut &[u8], bucket: &mut u32) -> Option<(u32, u64)> {
    let distance = u32::try_from(pull(bytes)?).ok()?;
    *bucket = bucket.checked_add(distance).filter(|bucket| *bucket < BUCKETS)?;
    Some((*bucket, pull(bytes)?))
}

/// A histogram with the number of its buckets before it, so that such lists can
/// be put one after the other by the database; `None` if it is empty.
pub(super) fn pack_list(histogram: &Histogram) -> Option<Vec<u8>> {
    let buckets = histogram.buckets();
    if buckets.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(2 + 2 * buckets.len());
    push(&mut bytes, buckets.len() as u64);
    push_buckets(&mut bytes, buckets.iter().copied());
    Some(bytes)
}

/// Adds up lists that stand one after the other; what cannot be read ends it.
pub(crate) fn unpack_lists(mut bytes: &[u8]) -> Histogram {
    // Counted in place: thousands of lists are merged for one answer.
    let mut counts = [0_u64; BUCKETS as usize];
    while let Some(buckets) = pull(&mut bytes) {
        let mut bucket = 0;
        for _ in 0..buckets {
            let Some((bucket, count)) = next(&mut bytes, &mut bucket) else {
                bytes = &[];
                break;
            };
            let sum = &mut counts[bucket as usize];
            *sum = sum.saturating_add(count);
        }
    }
    Histogram::from_buckets((0..BUCKETS).zip(counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_survive_packing() {
        let buckets = [(0, 1), (3, 127), (200, 128), (1023, u64::from(u32::MAX))];
        let packed = pack_buckets(buckets);
        assert_eq!(unpack_buckets(&packed).collect::<Vec<_>>(), buckets);
        assert_eq!(unpack_buckets(&packed[..3]).count(), 1);
    }

    #[test]
    fn lists_that_stand_one_after_the_other_add_up() {
        let first = Histogram::from_buckets([(0, 2), (700, 300)]);
        let second = Histogram::from_buckets([(5, 1), (700, 1), (1023, 9)]);
        let mut bytes = pack_list(&first).unwrap();
        bytes.extend(pack_list(&second).unwrap());
        assert_eq!(unpack_lists(&bytes).buckets(), [(0, 2), (5, 1), (700, 301), (1023, 9)]);
        assert_eq!(pack_list(&Histogram::default()), None);
        assert!(unpack_lists(&[]).is_empty());
    }

    #[test]
    fn bytes_that_are_no_lists_do_no_harm() {
        for bytes in [&[0xff; 40][..], &[3, 1], &[1, 0xff, 0xff, 0x7f, 1], &[0, 0, 0]] {
            assert!(unpack_lists(bytes).count() < 2, "{bytes:?}");
        }
    }
}
