//! Strings and keys that are cut, escaped or spaced. Escapes are decoded only
//! where the text is wanted.

use crate::json::scanner::{Malformed, Scanner, State, Use};
use crate::json::shape::{DEAD, Shape};
use crate::json::slots::{Slots, Value};
use crate::json::text::plain;

impl Scanner {
    #[inline]
    pub(super) fn begin_string(&mut self, kind: Use) {
        self.scratch.clear();
        self.length = 0;
        self.surrogate = None;
        self.state = State::String(kind);
    }

    /// Inside a string, up to its end or the end of the piece.
    #[inline]
    pub(super) fn string(
        &mut self,
        kind: Use,
        bytes: &[u8],
        mut at: usize,
        shape: &Shape,
        slots: &mut Slots,
    ) -> Result<usize, Malformed> {
        let run = plain(&bytes[at..]);
        let text = &bytes[at..at + run];
        at += run;
        match bytes.get(at) {
            Some(b'"') => {
                if self.scratch.is_empty() && self.length == 0 && kind != Use::Characters {
                    self.length = run as u64;
                    self.string_end(kind, text, shape, slots);
                } else {
                    self.hold(kind, text);
                    let scratch = std::mem::take(&mut self.scratch);
                    self.string_end(kind, &scratch, shape, slots);
                    self.scratch = scratch;
                }
                Ok(at + 1)
            }
            Some(b'\\') => {
                self.hold(kind, text);
                self.state = State::Escape(kind);
                Ok(at + 1)
            }
            Some(_) => self.fail(),
            None => {
                self.hold(kind, text);
                Ok(at)
            }
        }
    }

    /// Keeps a part of a string as far as it is wanted.
    fn hold(&mut self, kind: Use, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        self.surrogate = None;
        self.length += match kind {
            Use::Characters => characters(text),
            _ => text.len() as u64,
        };
        let room = match kind {
            // One byte more than the limit tells that it was passed.
            Use::Key => self.key_bytes + 1,
            Use::Keep => self.value_bytes + 1,
            Use::Length | Use::Characters | Use::Skip => return,
        };
        let room = room.saturating_sub(self.scratch.len()).min(text.len());
        self.scratch.extend_from_slice(&text[..room]);
    }

    #[inline]
    fn string_end(&mut self, kind: Use, text: &[u8], shape: &Shape, slots: &mut Slots) {
        match kind {
            Use::Key => {
                self.state = State::Colon;
                let parent = self.frames.last().map_or(DEAD, |top| top.place);
                self.place = DEAD;
                if text.len() <= self.key_bytes {
                    self.place = shape.child(shape.node(parent), text, text.len());
                    slots.clear(shape.node(self.place).below);
                }
                return;
            }
            Use::Keep => {
                if let Some((slot, _)) = shape.node(self.place).slot {
                    slots.set_text(slot, cut(text, self.value_bytes));
                }
            }
            Use::Length | Use::Characters => {
                if let Some((slot, _)) = shape.node(self.place).slot {
                    slots.set(slot, Value::Length(self.length));
                }
            }
            Use::Skip => {}
        }
        self.value_end(shape, slots);
    }

    pub(super) fn escape(&mut self, kind: Use, byte: u8) -> Result<(), Malformed> {
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.state = State::Unicode(kind, 0, 0);
                return Ok(());
            }
            _ => return self.fail(),
        };
        self.hold(kind, &[plain]);
        self.state = State::String(kind);
        Ok(())
    }

    pub(super) fn unicode(
        &mut self,
        kind: Use,
        seen: u8,
        value: u16,
        byte: u8,
    ) -> Result<(), Malformed> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return self.fail(),
        };
        let value = value << 4 | u16::from(digit);
        if seen < 3 {
            self.state = State::Unicode(kind, seen + 1, value);
            return Ok(());
        }
        self.state = State::String(kind);
        self.unit(kind, value);
        Ok(())
    }

    /// A whole UTF-16 unit. The first half of a pair counts as a replacement
    /// character until its second half comes.
    fn unit(&mut self, kind: Use, unit: u16) {
        let pair = self.surrogate.filter(|_| (0xdc00..0xe000).contains(&unit));
        let character = match pair {
            Some(first) => {
                // U+FFFD, which stands for the first half.
                self.length -= if kind == Use::Characters { 1 } else { 3 };
                if self.scratch.ends_with("\u{fffd}".as_bytes()) {
                    self.scratch.truncate(self.scratch.len() - 3);
                }
                let high = u32::from(first - 0xd800) << 10;
                char::from_u32(0x10000 + high + u32::from(unit - 0xdc00))
            }
            None => char::from_u32(u32::from(unit)),
        };
        let mut buffer = [0; 4];
        let text = character.unwrap_or('\u{fffd}').encode_utf8(&mut buffer);
        self.hold(kind, text.as_bytes());
        self.surrogate = (0xd800..0xdc00).contains(&unit).then_some(unit);
    }
}

/// Unicode characters of UTF-8, which may be cut anywhere: a character counts where its
/// first byte is.
pub(super) fn characters(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count() as u64
}

/// The part of a string that fits, cut before a character that does not.
pub(crate) fn cut(text: &[u8], limit: usize) -> &[u8] {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    while end > 0 && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &text[..end]
}
