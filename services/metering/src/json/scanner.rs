//! The incremental scanner: one JSON value, in pieces cut anywhere. It checks
//! the whole grammar, so that values count only if all of the JSON is well
//! formed, and it holds the open containers and one string at most.

mod digits;
mod members;
mod strings;
#[cfg(test)]
mod tests;
mod whole;

use crate::echo::Marks;
use crate::json::scanner::digits::Digits;
use crate::json::scanner::strings::characters;
pub(crate) use crate::json::scanner::strings::cut;
use crate::json::scanner::whole::{kept_number, whole_number, whole_string};
use crate::json::shape::{DEAD, Keep, Place, ROOT, Shape};
use crate::json::slots::{Slots, Value};
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
    Characters,
    Skip,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    place: Place,
    array: bool,
    count: u32,
}

/// Containers that are open at the same time in almost all answers.
const FRAMES: usize = 16;

/// Scans one JSON value.
#[derive(Debug)]
pub(crate) struct Scanner {
    state: State,
    /// Place of the value that comes or is being read.
    place: Place,
    frames: Vec<Frame>,
    /// A key, string or number that did not lie in one piece as it is.
    scratch: Vec<u8>,
    /// Bytes of the string so far; characters, if those are counted.
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
        matches!(self.state, State::Done)
    }

    /// Whether nothing but white space was seen.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self.state, State::Value) && self.frames.is_empty()
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
                _ => at = self.tokens(bytes, at, shape, slots)?,
            }
        }
        Ok(at)
    }

    /// Whole tokens, one after another, up to the end of the value or the piece, or to
    /// a token that is cut or escaped: that one is begun.
    fn tokens(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        shape: &Shape,
        slots: &mut Slots,
    ) -> Result<usize, Malformed> {
        while let Some(&byte) = bytes.get(at) {
            if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                at += 1;
                continue;
            }
            match self.state {
                State::FirstKey | State::Key if byte == b'"' => {
                    let before = at;
                    at = self.members(bytes, at, shape, slots)?;
                    if at == before {
                        // Cut, escaped or spaced.
                        self.begin_string(Use::Key);
                        return Ok(at + 1);
                    }
                }
                State::Value => match self.value(byte, bytes, at, shape, slots)? {
                    Token::Whole(end) => at = end,
                    Token::Begun(end) => return Ok(end),
                },
                State::FirstElement if byte != b']' => {
                    match self.value(byte, bytes, at, shape, slots)? {
                        Token::Whole(end) => at = end,
                        Token::Begun(end) => return Ok(end),
                    }
                }
                State::After if byte == b',' => {
                    self.comma(shape);
                    at += 1;
                }
                State::Colon if byte == b':' => {
                    self.state = State::Value;
                    at += 1;
                }
                State::After | State::FirstKey if byte == b'}' => {
                    self.close(false, shape, slots)?;
                    at += 1;
                }
                State::After | State::FirstElement if byte == b']' => {
                    self.close(true, shape, slots)?;
                    at += 1;
                }
                State::Done => return Ok(at),
                _ => return self.fail(),
            }
            if matches!(self.state, State::Done) {
                return Ok(at);
            }
        }
        Ok(at)
    }

    /// A value: the whole of it, or the beginning of a container, or of one that is cut
    /// or escaped.
    #[inline]
    fn value(
        &mut self,
        byte: u8,
        bytes: &[u8],
        at: usize,
        shape: &Shape,
        slots: &mut Slots,
    ) -> Result<Token, Malformed> {
        if let Some(frame) = self.frames.last_mut() {
            frame.count = frame.count.saturating_add(1);
        }
        match byte {
            b'"' => {
                let slot = shape.node(self.place).slot;
                if let Some((length, end)) = whole_string(bytes, at + 1) {
                    let text = &bytes[at + 1..at + 1 + length];
                    match slot {
                        None => self.marks.padding = Some(at + 1..end - 1),
                        Some((_, Keep::Members)) => {}
                        Some((slot, Keep::Value)) => {
                            slots.set_text(slot, cut(text, self.value_bytes));
                        }
                        Some((slot, Keep::Length)) => {
                            self.marks.text = Some(at + 1..end - 1);
                            slots.set(slot, Value::Length(length as u64));
                        }
                        Some((slot, Keep::Characters)) => {
                            slots.set(slot, Value::Length(characters(text)));
                        }
                    }
                    self.value_end(shape, slots);
                    return Ok(Token::Whole(end));
                }
                self.begin_string(match slot {
                    None | Some((_, Keep::Members)) => Use::Skip,
                    Some((_, Keep::Value)) => Use::Keep,
                    Some((_, Keep::Length)) => Use::Length,
                    Some((_, Keep::Characters)) => Use::Characters,
                });
                Ok(Token::Begun(at + 1))
            }
            b'{' => {
                self.open(false)?;
                self.state = State::FirstKey;
                Ok(Token::Whole(at + 1))
            }
            b'[' => {
                self.open(true)?;
                self.place = shape.node(self.place).element;
                self.state = State::FirstElement;
                Ok(Token::Whole(at + 1))
            }
            b'-' | b'0'..=b'9' => {
                if let Some(end) = whole_number(bytes, at) {
                    if let Some((slot, _)) = shape.node(self.place).slot {
                        slots.set(slot, kept_number(&bytes[at..end]));
                    }
                    self.value_end(shape, slots);
                    return Ok(Token::Whole(end));
                }
                self.scratch.clear();
                self.state = State::Number(Digits::Start);
                Ok(Token::Begun(at))
            }
            b't' => self.begin_literal(b"true", Value::Bool(true), bytes, at, shape, slots),
            b'f' => self.begin_literal(b"false", Value::Bool(false), bytes, at, shape, slots),
            b'n' => self.begin_literal(b"null", Value::Null, bytes, at, shape, slots),
            _ => self.fail(),
        }
    }

    fn open(&mut self, array: bool) -> Result<(), Malformed> {
        if self.frames.len() >= self.nesting {
            return self.fail();
        }
        if self.frames.capacity() == 0 {
            self.frames.reserve(FRAMES);
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
    fn begin_literal<const N: usize>(
        &mut self,
        text: &'static [u8; N],
        value: Value,
        bytes: &[u8],
        at: usize,
        shape: &Shape,
        slots: &mut Slots,
    ) -> Result<Token, Malformed> {
        if bytes[at..].first_chunk::<N>() == Some(text) {
            self.scalar(value, shape, slots);
            return Ok(Token::Whole(at + N));
        }
        self.state = State::Literal(text, value);
        Ok(Token::Begun(at))
    }

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

/// How far a token went.
enum Token {
    /// It ended before this place.
    Whole(usize),
    /// It goes on at this place.
    Begun(usize),
}
