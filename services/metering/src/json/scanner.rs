//! The incremental scanner: one JSON value, in pieces cut anywhere. It checks
//! the whole grammar, so that values count only if all of the JSON is well
//! formed, and it holds the open containers and one string at most.

mod digits;
mod short;
mod strings;
#[cfg(test)]
mod tests;

use crate::echo::Marks;
use crate::json::scanner::digits::Digits;
use crate::json::scanner::short::short_value;
pub(crate) use crate::json::scanner::strings::cut;
use crate::json::shape::{DEAD, Keep, Place, ROOT, Shape};
use crate::json::slots::{Slots, Value};
use crate::json::text::plain;
use crate::limits::Limits;

/// The JSON is not well formed, or nests deeper than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// A value must come.
    Value,
    /// The first element or `]`.
    FirstElement,
    /// The first key or `}`.
    FirstKey,
    /// A key must come.
    Key,
    /// `:` must come.
    Colon,
    /// `,` or the end of the container.
    After,
    /// Inside a string.
    String(Use),
    /// After a backslash.
    Escape(Use),
    /// Inside `\uXXXX`: digits seen and their value.
    Unicode(Use, u8, u16),
    /// Inside a number.
    Number(Digits),
    /// Inside `true`, `false` or `null`: what is missing.
    Literal(&'static [u8], Value),
    /// The value has ended.
    Done,
    /// Malformed.
    Failed,
}

/// What a string is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Key,
    Keep,
    Length,
    Skip,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    place: Place,
    array: bool,
    count: u32,
}

/// Scans one JSON value.
#[derive(Debug)]
pub(crate) struct Scanner {
    state: State,
    /// Place of the value that comes or is being read.
    place: Place,
    frames: Vec<Frame>,
    /// A key, string or number that did not lie in one piece as it is.
    scratch: Vec<u8>,
    /// Bytes of the string so far.
    length: u64,
    /// First half of a surrogate pair.
    surrogate: Option<u16>,
    /// Strings of the last piece that events of a stream differ in.
    pub(crate) marks: Marks,
    nesting: usize,
    key_bytes: usize,
    value_bytes: usize,
}

impl Scanner {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            state: State::Value,
            place: ROOT,
            frames: Vec::new(),
            scratch: Vec::new(),
            length: 0,
            surrogate: None,
            marks: Marks::default(),
            nesting: limits.nesting.clamp(1, 512),
            key_bytes: limits.key_bytes,
            value_bytes: limits.value_bytes,
        }
    }

    /// The next value begins.
    pub(crate) fn reset(&mut self) {
        self.state = State::Value;
        self.place = ROOT;
        self.frames.clear();
        self.scratch.clear();
        self.marks = Marks::default();
    }

    /// Whether a whole value was seen.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether nothing but white space was seen.
    pub(crate) fn is_fresh(&self) -> bool {
        self.state == State::Value && self.frames.is_empty()
    }

    /// The input has ended, which ends a number too.
    pub(crate) fn end(&mut self, shape: &Shape, slots: &mut Slots) -> Result<(), Malformed> {
        if let State::Number(digits) = self.state {
            self.number_end(digits, &[], shape, slots)?;
        }
        if self.is_done() { Ok(()) } else { self.fail() }
    }

    fn fail<T>(&mut self) -> Result<T, Malformed> {
        self.state = State::Failed;
        Err(Malformed)
    }

    /// Reads a piece. Returns how much of it belongs to the value: less than all
    /// of it only if the value has ended.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        shape: &Shape,
        slots: &mut Slots,
    ) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Done => return Ok(at),
                State::Failed => return Err(Malformed),
                State::String(kind) => at = self.string(kind, bytes, at, shape, slots)?,
                State::Escape(kind) => {
                    self.escape(kind, bytes[at])?;
                    at += 1;
                }
                State::Unicode(kind, seen, value) => {
                    self.unicode(kind, seen, value, bytes[at])?;
                    at += 1;
                }
                State::Number(digits) => at = self.number(digits, bytes, at, shape, slots)?,
                State::Literal(rest, value) => {
                    at = self.literal(rest, value, bytes, at, shape, slots)?;
                }
                State::FirstKey | State::Key if bytes[at] == b'"' => {
                    let before = at;
                    at = self.members(bytes, at, shape, slots)?;
                    if at == before {
                        // Cut, escaped or spaced: the long way.
                        self.begin_string(Use::Key);
                        at += 1;
                    }
                }
                _ => {
                    let byte = bytes[at];
                    at += 1;
                    if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                        continue;
                    }
                    match self.token(byte, shape, slots)? {
                        Step::Next => {}
                        // The byte belongs to the number.
                        Step::Again => at -= 1,
                    }
                }
            }
        }
        Ok(at)
    }

    /// Members that lie in this piece without white space or escapes, one after
    /// another: almost everything that servers write. Stops where that ends, with
    /// the state set for the byte there.
    fn members(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        shape: &Shape,
        slots: &mut Slots,
    ) -> Result<usize, Malformed> {
        let Some(frame) = self.frames.last_mut() else { return Ok(at) };
        let parent = frame.place;
        while bytes.get(at) == Some(&b'"') {
            let end = at + 1 + plain(&bytes[at + 1..]);
            if bytes.get(end) != Some(&b'"') || bytes.get(end + 1) != Some(&b':') {
                return Ok(at);
            }
            let length = end - at - 1;
            let mut place = DEAD;
            if parent != DEAD && length <= self.key_bytes {
                place = shape.child_at(parent, &bytes[at + 1..], length);
                if place != DEAD {
                    slots.clear(shape.node(place).below);
                }
            }
            at = end + 2;
            at += usize::from(bytes.get(at) == Some(&b' '));
            let slot = shape.node(place).slot;
            let Some(end) = short_value(bytes, at, slot, self.value_bytes, slots, &mut self.marks)
            else {
                self.place = place;
                self.state = State::Value;
                return Ok(at);
            };
            at = end;
            frame.count = frame.count.saturating_add(1);
            match bytes.get(at) {
                Some(b',') => {
                    self.state = State::Key;
                    at += 1;
                    at += usize::from(bytes.get(at) == Some(&b' '));
                }
                Some(b'}') => {
                    self.close(false, shape, slots)?;
                    return Ok(at + 1);
                }
                _ => {
                    self.state = State::After;
                    return Ok(at);
                }
            }
        }
        Ok(at)
    }

    /// One byte outside strings, numbers and literals.
    #[inline]
    fn token(&mut self, byte: u8, shape: &Shape, slots: &mut Slots) -> Result<Step, Malformed> {
        match (self.state, byte) {
            (State::FirstKey, b'}') => self.close(false, shape, slots)?,
            (State::Colon, b':') => self.state = State::Value,
            (State::After, b',') => self.comma(shape),
            (State::After, b'}') => self.close(false, shape, slots)?,
            (State::After | State::FirstElement, b']') => self.close(true, shape, slots)?,
            (State::Value | State::FirstElement, _) => return self.value(byte, shape),
            _ => return self.fail(),
        }
        Ok(Step::Next)
    }

    /// The first byte of a value.
    #[inline]
    fn value(&mut self, byte: u8, shape: &Shape) -> Result<Step, Malformed> {
        if let Some(frame) = self.frames.last_mut() {
            frame.count = frame.count.saturating_add(1);
        }
        match byte {
            b'"' => {
                let kind = match shape.node(self.place).slot {
                    None => Use::Skip,
                    Some((_, Keep::Value)) => Use::Keep,
                    Some((_, Keep::Members)) => Use::Skip,
                    Some((_, Keep::Length)) => Use::Length,
                };
                self.begin_string(kind);
            }
            b'{' => {
                self.open(false)?;
                self.state = State::FirstKey;
            }
            b'[' => {
                self.open(true)?;
                self.place = shape.node(self.place).element;
                self.state = State::FirstElement;
            }
            b'-' | b'0'..=b'9' => {
                self.scratch.clear();
                self.state = State::Number(Digits::Minus);
                if byte != b'-' {
                    return Ok(Step::Again);
                }
                self.scratch.push(byte);
            }
            b't' => self.state = State::Literal(b"rue", Value::Bool(true)),
            b'f' => self.state = State::Literal(b"alse", Value::Bool(false)),
            b'n' => self.state = State::Literal(b"ull", Value::Null),
            _ => return self.fail(),
        }
        Ok(Step::Next)
    }

    fn open(&mut self, array: bool) -> Result<(), Malformed> {
        if self.frames.len() >= self.nesting {
            return self.fail();
        }
        self.frames.push(Frame { place: self.place, array, count: 0 });
        Ok(())
    }

    #[inline]
    fn comma(&mut self, shape: &Shape) {
        let Some(frame) = self.frames.last() else { return };
        if frame.array {
            self.place = shape.node(frame.place).element;
            self.state = State::Value;
        } else {
            self.state = State::Key;
        }
    }

    #[inline]
    fn close(&mut self, array: bool, shape: &Shape, slots: &mut Slots) -> Result<(), Malformed> {
        match self.frames.pop() {
            Some(frame) if frame.array == array => {
                self.place = frame.place;
                let value =
                    if array { Value::Array(frame.count) } else { Value::Object(frame.count) };
                let node = shape.node(self.place);
                if let (Some((slot, Keep::Members)), Some(fold), false) =
                    (node.slot, node.fold, array)
                {
                    fold(slots, slot as u64);
                }
                self.scalar(value, shape, slots);
                Ok(())
            }
            _ => self.fail(),
        }
    }

    /// A value other than a string has ended.
    #[inline]
    fn scalar(&mut self, value: Value, shape: &Shape, slots: &mut Slots) {
        if let Some((slot, _)) = shape.node(self.place).slot {
            slots.set(slot, value);
        }
        self.value_end(shape, slots);
    }

    #[inline]
    fn value_end(&mut self, shape: &Shape, slots: &mut Slots) {
        let Some(frame) = self.frames.last() else {
            self.state = State::Done;
            return;
        };
        self.state = State::After;
        if frame.array && self.place != DEAD {
            let node = shape.node(self.place);
            if let Some(fold) = node.fold {
                fold(slots, u64::from(frame.count).saturating_sub(1));
                slots.clear(node.below);
            }
        }
    }

    #[inline]
    fn literal(
        &mut self,
        rest: &'static [u8],
        value: Value,
        bytes: &[u8],
        at: usize,
        shape: &Shape,
        slots: &mut Slots,
    ) -> Result<usize, Malformed> {
        let length = rest.len().min(bytes.len() - at);
        if bytes[at..at + length] != rest[..length] {
            return self.fail();
        }
        if length < rest.len() {
            self.state = State::Literal(&rest[length..], value);
        } else {
            self.scalar(value, shape, slots);
        }
        Ok(at + length)
    }
}

/// What to do after a byte.
enum Step {
    Next,
    Again,
}
