//! Bounds of what one meter holds. Everything that is kept of a body has a
//! limit here; docs/metering.md says what happens at each of them.

/// Limits of one meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nesting of JSON that is followed. A document or event that nests deeper
    /// is not read. At most 512.
    pub nesting: usize,
    /// Bytes of a JSON key that are compared. A longer one is not a known one.
    pub key_bytes: usize,
    /// Bytes kept of one string value. Longer ones are cut at a character.
    pub value_bytes: usize,
    /// Bytes of one stream event or frame. A longer event is not read.
    pub event_bytes: usize,
    /// Bytes of one AWS frame, which has to be held until its checksum is known.
    pub frame_bytes: usize,
    /// Decoded bytes of a compressed body that are read.
    pub decoded_bytes: u64,
    /// Decoded bytes that one encoded byte may give, once 8 MiB were decoded.
    pub expansion: u64,
    /// Largest window that a compressed body may ask for.
    pub window_bytes: usize,
    /// Realtime responses kept one by one; the sums hold the others too.
    pub realtime_records: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nesting: 256,
            key_bytes: 128,
            value_bytes: 512,
            event_bytes: 64 << 20,
            frame_bytes: 1 << 20,
            decoded_bytes: 1 << 30,
            expansion: 100,
            window_bytes: 16 << 20,
            realtime_records: 64,
        }
    }
}
