//! Finding the end of the plain part of a JSON string: the inner loop of
//! everything. Blocks are compared so that the compiler uses vector
//! instructions; the last bytes go eight at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const BLOCK: usize = 64;

/// Number of bytes before the first `"`, `\` or control character.
#[inline]
pub(crate) fn plain(bytes: &[u8]) -> usize {
    let mut at = 0;
    // Keys and most values end within the first bytes.
    while at < BLOCK {
        let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) else {
            return at + tail(&bytes[at..]);
        };
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    long(bytes, at)
}

#[inline(never)]
fn long(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        let mut any = 0_u8;
        for byte in block {
            any |= u8::from(*byte == b'"') | u8::from(*byte == b'\\') | u8::from(*byte < 0x20);
        }
        if any != 0 {
            break;
        }
        at += BLOCK;
    }
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + tail(&bytes[at..])
}

fn tail(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| *byte == b'"' || *byte == b'\\' || *byte < 0x20)
        .unwrap_or(bytes.len())
}

/// High bit set in the lowest byte that is special; higher ones may be wrong.
#[inline]
fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let escape = word ^ (ONES * b'\\' as u64);
    let found = (quote.wrapping_sub(ONES) & !quote)
        | (escape.wrapping_sub(ONES) & !escape)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    found & HIGH
}

/// Whether two short texts are the same. Written out: for a few bytes a call of
/// the C library's `memcmp` took up to 130 ns where it uses masked loads.
#[inline]
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (ours, our_end) = one.as_chunks::<8>();
    let (theirs, their_end) = other.as_chunks::<8>();
    let differing = ours.iter().zip(theirs).fold(0, |differing, (one, other)| {
        differing | (u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other))
    });
    let end = our_end.iter().zip(their_end).fold(0, |end, (one, other)| end | (one ^ other));
    differing == 0 && end == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_loop_finds(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(plain(&bytes), tail(&bytes));
        }

        #[test]
        fn finds_it_after_long_plain_text(length in 0_usize..300, end in prop::sample::select(vec![b'"', b'\\', 0x1f, 0x00])) {
            let mut bytes = vec![0xc3_u8; length];
            bytes.push(end);
            bytes.extend_from_slice(b"more \" text \\");
            prop_assert_eq!(plain(&bytes), length);
        }
    }
}
