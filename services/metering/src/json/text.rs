//! Finding the end of the plain part of a JSON string: the inner loop of
//! everything. The first bytes go sixteen at a time; long text is searched with
//! wider vector instructions.

use wide::u8x16;

const BLOCK: usize = 16;
/// Bytes after which a text is long.
const SHORT: usize = 64;

/// Number of bytes before the first `"`, `\` or control character.
#[inline]
pub(crate) fn plain(bytes: &[u8]) -> usize {
    let mut at = 0;
    // Keys and most values end within the first bytes.
    while let Some(block) = bytes[at..].first_chunk() {
        let found = special(*block);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += BLOCK;
        if at == SHORT {
            return long(bytes, at);
        }
    }
    at + tail(&bytes[at..])
}

#[inline(never)]
fn long(bytes: &[u8], at: usize) -> usize {
    let end = memchr::memchr2(b'"', b'\\', &bytes[at..]).map_or(bytes.len(), |end| at + end);
    let text = &bytes[at..end];
    // Without an early end, so that the compiler uses vector instructions.
    if text.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < 0x20 {
        return at + tail(text);
    }
    end
}

#[inline(never)]
fn tail(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| *byte == b'"' || *byte == b'\\' || *byte < 0x20)
        .unwrap_or(bytes.len())
}

/// A bit for each byte that is special, the lowest for the first.
#[inline]
fn special(block: [u8; BLOCK]) -> u32 {
    let bytes = u8x16::new(block);
    let quote = bytes.simd_eq(u8x16::splat(b'"'));
    let escape = bytes.simd_eq(u8x16::splat(b'\\'));
    let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    (quote | escape | control).to_bitmask()
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
