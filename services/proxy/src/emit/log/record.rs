//! One message in a file of the spool.
//!
//! `CRC-32 u32 | length u32 | sequence u64 | payload`, little-endian; the checksum
//! covers everything after itself, so that a record is whole and in its place or
//! is not there. After damage the next record is found by trying every byte.

/// Bytes before the payload.
const HEADER: usize = 16;

/// An undamaged record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emit) struct Record<'a> {
    /// Number of the record.
    pub(in crate::emit) sequence: u64,
    /// The encoded message.
    pub(in crate::emit) payload: &'a [u8],
    /// Where it ends in the bytes in which it was found.
    pub(in crate::emit) end: usize,
}

/// Adds a record to the end of a buffer.
pub(in crate::emit) fn append(buffer: &mut Vec<u8>, sequence: u64, payload: &[u8]) {
    let start = buffer.len();
    buffer.reserve(HEADER + payload.len());
    buffer.extend_from_slice(&[0; 4]);
    // 4 GiB of metadata about one request cannot be.
    buffer.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    buffer.extend_from_slice(&sequence.to_le_bytes());
    buffer.extend_from_slice(payload);
    let checksum = crc32fast::hash(&buffer[start + 4..]);
    buffer[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// The record that begins here, if it is whole and undamaged.
pub(in crate::emit) fn at(bytes: &[u8], start: usize) -> Option<Record<'_>> {
    let (head, rest) = bytes.get(start..)?.split_first_chunk::<HEADER>()?;
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| head[at + byte]));
    let payload = rest.get(..usize::try_from(word(4)).ok()?)?;
    let end = start + HEADER + payload.len();
    let sequence = u64::from(word(8)) | u64::from(word(12)) << 32;
    (word(0) == crc32fast::hash(&bytes[start + 4..end])).then_some(Record {
        sequence,
        payload,
        end,
    })
}

/// The first record from `start` on whose number is at least `least`.
pub(in crate::emit) fn find(bytes: &[u8], start: usize, least: u64) -> Option<Record<'_>> {
    // Numbers in a file follow each other, so few can be right; looking at the
    // number first saves the checksum of nearly every wrong place.
    let most = least.saturating_add((bytes.len() / HEADER) as u64);
    (start..bytes.len().saturating_sub(HEADER - 1)).find_map(|start| {
        let number = bytes.get(start + 8..)?.first_chunk::<8>()?;
        if !(least..=most).contains(&u64::from_le_bytes(*number)) {
            return None;
        }
        at(bytes, start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    fn records(count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for sequence in 1..=count {
            append(&mut bytes, sequence, sequence.to_string().as_bytes());
        }
        bytes
    }

    #[test]
    fn a_record_is_found_again_until_one_of_its_bits_changes() {
        let bytes = records(1);
        let record = find(&bytes, 0, 1).unwrap();
        assert_eq!((record.sequence, record.end), (1, bytes.len()));
        assert_eq!(record.payload, b"1");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(find(&damaged, 0, 1), None, "bit {bit}");
        }
    }

    #[test]
    fn a_record_that_was_not_written_to_its_end_is_no_record() {
        let bytes = records(1);
        for length in 0..bytes.len() {
            assert_eq!(find(&bytes[..length], 0, 1), None);
        }
    }

    #[test]
    fn the_record_after_a_damaged_one_is_found() {
        let mut bytes = records(3);
        let first = at(&bytes, 0).unwrap().end;
        // The length, of all things.
        bytes[first + 4] ^= 0x40;
        assert_eq!(find(&bytes, first, 2).unwrap().sequence, 3);
    }
}
