//! Histograms as bytes: variable-length integers. Part of the storage format.

use modash_histogram::{BUCKETS, Histogram};

pub(super) fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[inline]
pub(super) fn pull(bytes: &mut &[u8]) -> Option<u64> {
    // Most numbers are small.
    if let Some((byte @ ..0x80, rest)) = bytes.split_first() {
        *bytes = rest;
        return Some(u64::from(*byte));
    }
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
    let mut before = 0;
    for (bucket, count) in buckets {
        push(&mut bytes, u64::from(bucket.saturating_sub(before)));
        push(&mut bytes, count);
        before = bucket;
    }
    bytes
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

/// A histogram with the number of its buckets before it. The distance of each
/// bucket from the one before is doubled, and odd if its count follows; else the
/// count is 1, as most are where few requests meet.
pub(super) fn push_list(bytes: &mut Vec<u8>, histogram: &Histogram) {
    let buckets = histogram.buckets();
    push(bytes, buckets.len() as u64);
    let mut before = 0;
    for (bucket, count) in buckets {
        let distance = u64::from(bucket - before) << 1;
        before = *bucket;
        if *count == 1 {
            push(bytes, distance);
        } else {
            push(bytes, distance | 1);
            push(bytes, *count);
        }
    }
}

/// Takes a list from the front of `bytes` and gives its first and its last bucket, of an
/// empty one `BUCKETS` and 0; `None` if it cannot be read.
pub(super) fn pull_list(bytes: &mut &[u8], mut add: impl FnMut(u32, u64)) -> Option<(u32, u32)> {
    // A copy, so that it is kept in registers: most of a long answer's time is spent here.
    let mut rest = *bytes;
    let (mut first, mut bucket) = (BUCKETS, 0_u32);
    for place in 0..pull(&mut rest)? {
        let distance = pull(&mut rest)?;
        let count = if distance & 1 == 0 { 1 } else { pull(&mut rest)? };
        bucket = bucket.checked_add(u32::try_from(distance >> 1).ok()?)?;
        if bucket >= BUCKETS {
            return None;
        }
        if place == 0 {
            first = bucket;
        }
        add(bucket, count);
    }
    *bytes = rest;
    Some((first, bucket))
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
    fn a_list_survives_packing_and_leaves_what_follows() {
        let histogram = Histogram::from_buckets([(0, 2), (3, 1), (700, 300), (1023, 1)]);
        let mut bytes = Vec::new();
        push_list(&mut bytes, &histogram);
        bytes.push(42);
        let (mut rest, mut found) = (bytes.as_slice(), Histogram::default());
        assert_eq!(pull_list(&mut rest, |bucket, count| found.add(bucket, count)), Some((0, 1023)));
        assert_eq!((found, rest), (histogram, &[42][..]));
        assert_eq!(pull_list(&mut &[0][..], |_, _| ()), Some((BUCKETS, 0)));
    }

    #[test]
    fn bytes_that_are_no_list_do_no_harm() {
        for bytes in [&[0xff; 40][..], &[3, 1], &[1, 0xff, 0xff, 0x7f, 1]] {
            let mut found = 0;
            assert_eq!(pull_list(&mut &bytes[..], |_, _| found += 1), None, "{bytes:?}");
            assert!(found < 2, "{bytes:?}");
        }
    }
}
