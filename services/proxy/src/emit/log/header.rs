//! The first bytes of every file of a spool: what it is, the version of its
//! format, and one number, protected by a checksum.
//!
//! `kind [4] | version u32 | number u64 | CRC-32 u32`, little-endian. This much
//! is the same in every version.

/// Length of a header in bytes.
pub(in crate::emit) const LENGTH: usize = 20;

/// Version of the format that this program writes and reads.
const VERSION: u32 = 1;

/// What a file is, and what its number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emit) enum Kind {
    /// Usage events; the sequence number of the first.
    Segment,
    /// The highest sequence number that needs no sending any more.
    Position,
    /// The journal of a process; how many numbers the file has.
    Journal,
}

/// Why a header is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::emit) enum HeaderError {
    #[error("the header is damaged")]
    Damaged,
    #[error("its format has version {0}; this program knows version {VERSION} and leaves it alone")]
    Version(u32),
}

impl Kind {
    fn magic(self) -> [u8; 4] {
        *match self {
            Self::Segment => b"MSEG",
            Self::Position => b"MPOS",
            Self::Journal => b"MJRN",
        }
    }

    /// The header of a file of this kind.
    pub(in crate::emit) fn header(self, number: u64) -> [u8; LENGTH] {
        let mut header = [0; LENGTH];
        header[..4].copy_from_slice(&self.magic());
        header[4..8].copy_from_slice(&VERSION.to_le_bytes());
        header[8..16].copy_from_slice(&number.to_le_bytes());
        let checksum = crc32fast::hash(&header[..16]);
        header[16..].copy_from_slice(&checksum.to_le_bytes());
        header
    }

    /// The number in the header of a file of this kind.
    pub(in crate::emit) fn read(self, file: &[u8]) -> Result<u64, HeaderError> {
        let (header, _) = file.split_first_chunk::<LENGTH>().ok_or(HeaderError::Damaged)?;
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| header[at + byte]));
        if header[..4] != self.magic() || word(16) != crc32fast::hash(&header[..16]) {
            return Err(HeaderError::Damaged);
        }
        match word(4) {
            VERSION => Ok(u64::from(word(8)) | u64::from(word(12)) << 32),
            newer => Err(HeaderError::Version(newer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_and_a_damaged_one_is_not() {
        let header = Kind::Segment.header(u64::MAX - 7);
        assert_eq!(Kind::Segment.read(&header), Ok(u64::MAX - 7));
        assert_eq!(Kind::Position.read(&header), Err(HeaderError::Damaged));
        assert_eq!(Kind::Segment.read(&header[..LENGTH - 1]), Err(HeaderError::Damaged));
        for bit in 0..LENGTH * 8 {
            let mut damaged = header;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Kind::Segment.read(&damaged), Err(HeaderError::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut header = Kind::Segment.header(1);
        header[4] = 2;
        let checksum = crc32fast::hash(&header[..16]);
        header[16..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Kind::Segment.read(&header), Err(HeaderError::Version(2)));
    }
}
