//! Protobuf fields, written as `prost` writes them: a field that is absent, or empty and
//! not optional, is left out.

use std::time::Duration;

use modash_proto::storable;

// Wire types.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;

/// Appends the fields of one message.
pub(super) struct Fields<'a>(pub(super) &'a mut Vec<u8>);

impl Fields<'_> {
    #[inline]
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    #[inline]
    fn tag(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    /// Bytes that need no check.
    #[inline]
    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A number, a flag or the value of an enum.
    #[inline]
    pub(super) fn number(&mut self, field: u32, number: u64) {
        self.optional(field, Some(number).filter(|number| *number > 0));
    }

    /// An optional number.
    #[inline]
    pub(super) fn optional(&mut self, field: u32, number: Option<u64>) {
        if let Some(number) = number {
            self.tag(field, VARINT);
            self.varint(number);
        }
    }

    /// An optional number with a fraction.
    #[inline]
    pub(super) fn double(&mut self, field: u32, number: Option<f64>) {
        self.fixed(field, number.map(f64::to_bits));
    }

    /// An optional number of always eight bytes.
    #[inline]
    pub(super) fn fixed(&mut self, field: u32, number: Option<u64>) {
        if let Some(number) = number {
            self.tag(field, FIXED64);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// A text, made storable.
    pub(super) fn text(&mut self, field: u32, text: &str, limit: usize) {
        if !text.is_empty() {
            self.bytes(field, storable(text, limit).as_bytes());
        }
    }

    /// An optional text, made storable.
    pub(super) fn optional_text(&mut self, field: u32, text: Option<&str>, limit: usize) {
        if let Some(text) = text {
            self.bytes(field, storable(text, limit).as_bytes());
        }
    }

    /// An entry of a map of texts, made storable.
    pub(super) fn entry(&mut self, field: u32, (key, limit): (&str, usize), value: (&str, usize)) {
        let mut entry = Vec::with_capacity(limit + value.1 + 8);
        Fields(&mut entry).text(1, key, limit);
        Fields(&mut entry).text(2, value.0, value.1);
        self.bytes(field, &entry);
    }

    /// A `Timestamp` or a `Duration`, in microseconds from 0 on.
    pub(super) fn micros(&mut self, field: u32, micros: u64) {
        self.tag(field, BYTES);
        let length = self.0.len();
        self.0.push(0);
        self.number(1, micros / 1_000_000);
        self.number(2, micros % 1_000_000 * 1_000);
        // Never more than two numbers of ten bytes with their tags.
        self.0[length] = (self.0.len() - length - 1) as u8;
    }

    /// A duration.
    pub(super) fn duration(&mut self, field: u32, duration: Option<Duration>) {
        if let Some(duration) = duration {
            self.micros(field, u64::try_from(duration.as_micros()).unwrap_or(u64::MAX >> 1));
        }
    }

    /// Any other message.
    pub(super) fn message(&mut self, field: u32, message: Option<&impl prost::Message>) {
        if let Some(message) = message {
            self.bytes(field, &message.encode_to_vec());
        }
    }
}
