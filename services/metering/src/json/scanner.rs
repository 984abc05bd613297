//! The incremental scanner: one JSON value, in pieces cut anywhere. It checks
//! the whole grammar, so that values count only if all of the JSON is well
//! formed, and it holds the open containers and one string at most.

use crate::echo::Marks;
use crate::json::shape::{DEAD, Keep, Place, ROOT, Shape};
use crate::json::slots::{self, Slot, Slots, Value};
use crate::json::text::plain;
use crate::limits::Limits;

/// The JSON is not well formed, or nests deeper than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Bytes of one number that are kept; longer ones are no counts.
const NUMBER: usize = 64;

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

/// Where in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digits {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
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
    fn begin_string(&mut self, kind: Use) {
        self.scratch.clear();
        self.length = 0;
        self.surrogate = None;
        self.state = State::String(kind);
    }

    /// Inside a string, up to its end or the end of the piece.
    #[inline]
    fn string(
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
                if self.scratch.is_empty() && self.length == 0 {
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
        self.length += text.len() as u64;
        let room = match kind {
            // One byte more than the limit tells that it was passed.
            Use::Key => self.key_bytes + 1,
            Use::Keep => self.value_bytes + 1,
            Use::Length | Use::Skip => return,
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
                if parent != DEAD && text.len() <= self.key_bytes {
                    self.place = shape.child(parent, text);
                    if self.place != DEAD {
                        slots.clear(shape.node(self.place).below);
                    }
                }
                return;
            }
            Use::Keep => {
                if let Some((slot, _)) = shape.node(self.place).slot {
                    slots.set_text(slot, cut(text, self.value_bytes));
                }
            }
            Use::Length => {
                if let Some((slot, _)) = shape.node(self.place).slot {
                    slots.set(slot, Value::Length(self.length));
                }
            }
            Use::Skip => {}
        }
        self.value_end(shape, slots);
    }

    fn escape(&mut self, kind: Use, byte: u8) -> Result<(), Malformed> {
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

    fn unicode(&mut self, kind: Use, seen: u8, value: u16, byte: u8) -> Result<(), Malformed> {
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
                self.length -= 3;
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

    /// Inside a number, up to its end or the end of the piece.
    #[inline]
    fn number(
        &mut self,
        mut digits: Digits,
        bytes: &[u8],
        start: usize,
        shape: &Shape,
        slots: &mut Slots,
    ) -> Result<usize, Malformed> {
        let mut at = start;
        while let Some(byte) = bytes.get(at) {
            // Runs of digits are most of what embeddings are made of.
            let runs = matches!(digits, Digits::Whole | Digits::Fraction | Digits::Power);
            if runs && byte.is_ascii_digit() {
                at += 1;
                continue;
            }
            let Some(next) = digits.next(*byte) else {
                self.number_end(digits, &bytes[start..at], shape, slots)?;
                return Ok(at);
            };
            digits = next;
            at += 1;
        }
        self.state = State::Number(digits);
        let room = (NUMBER + 1).saturating_sub(self.scratch.len()).min(at - start);
        self.scratch.extend_from_slice(&bytes[start..start + room]);
        Ok(at)
    }

    #[inline]
    fn number_end(
        &mut self,
        digits: Digits,
        text: &[u8],
        shape: &Shape,
        slots: &mut Slots,
    ) -> Result<(), Malformed> {
        if !digits.may_end() {
            return self.fail();
        }
        if shape.node(self.place).slot.is_none() {
            self.value_end(shape, slots);
            return Ok(());
        }
        let value = if self.scratch.is_empty() {
            slots::number(text)
        } else {
            self.scratch.extend_from_slice(&text[..text.len().min(NUMBER)]);
            slots::number(&self.scratch)
        };
        let known = self.scratch.len() <= NUMBER && text.len() <= NUMBER;
        self.scalar(if known { value } else { Value::Float(f64::NAN) }, shape, slots);
        Ok(())
    }
}

/// A string, whole number or literal that ends in this piece, and where. `None`
/// for anything else.
#[inline]
fn short_value(
    bytes: &[u8],
    at: usize,
    slot: Option<(Slot, Keep)>,
    value_bytes: usize,
    slots: &mut Slots,
    marks: &mut Marks,
) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => {
            let text = &bytes[at + 1..];
            let length = plain(text);
            if text.get(length) != Some(&b'"') {
                return None;
            }
            match slot {
                None => marks.padding = Some(at + 1..at + 1 + length),
                Some((slot, Keep::Value)) => {
                    slots.set_text(slot, cut(&text[..length], value_bytes));
                }
                Some((slot, Keep::Length)) => {
                    marks.text = Some(at + 1..at + 1 + length);
                    slots.set(slot, Value::Length(length as u64));
                }
            }
            Some(at + length + 2)
        }
        b'1'..=b'9' => {
            let length =
                bytes[at..].iter().take(18).take_while(|byte| byte.is_ascii_digit()).count();
            // What follows may make it a fraction or a longer number.
            if !matches!(bytes.get(at + length)?, b',' | b'}') {
                return None;
            }
            if let Some((slot, _)) = slot {
                slots.set(slot, slots::number(&bytes[at..at + length]));
            }
            Some(at + length)
        }
        b'0' => literal(bytes, at, b"0", Value::Integer(0), slot, slots),
        b'n' => literal(bytes, at, b"null", Value::Null, slot, slots),
        b't' => literal(bytes, at, b"true", Value::Bool(true), slot, slots),
        b'f' => literal(bytes, at, b"false", Value::Bool(false), slot, slots),
        _ => None,
    }
}

#[inline]
fn literal<const N: usize>(
    bytes: &[u8],
    at: usize,
    text: &[u8; N],
    value: Value,
    slot: Option<(Slot, Keep)>,
    slots: &mut Slots,
) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.first_chunk::<N>() != Some(text) || !matches!(rest.get(N)?, b',' | b'}') {
        return None;
    }
    if let Some((slot, _)) = slot {
        slots.set(slot, value);
    }
    Some(at + N)
}

/// What to do after a byte.
enum Step {
    Next,
    Again,
}

impl Digits {
    #[inline]
    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Self::Whole,
            (Self::Zero | Self::Whole, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::Sign,
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Self::Power,
            _ => return None,
        })
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Row, Shape};
    use crate::wire::value;
    use proptest::prelude::*;

    fn scan(json: &[u8], size: usize, rows: &[Row]) -> Option<Slots> {
        let shape = Shape::new(rows);
        let mut slots = Slots::new(shape.slots());
        let mut scanner = Scanner::new(&Limits::default());
        for piece in json.chunks(size) {
            let read = scanner.feed(piece, &shape, &mut slots).ok()?;
            if !piece[read..].iter().all(u8::is_ascii_whitespace) {
                return None;
            }
        }
        scanner.end(&shape, &mut slots).ok()?;
        Some(slots)
    }

    fn count(json: &str) -> Option<u64> {
        let rows = [value("usage.n")];
        let whole = scan(json.as_bytes(), usize::MAX, &rows).unwrap().count(0);
        for size in 1..4 {
            assert_eq!(scan(json.as_bytes(), size, &rows).unwrap().count(0), whole, "{json}");
        }
        whole
    }

    #[test]
    fn numbers_are_read_as_the_specification_says() {
        let n = |number: &str| count(&format!(r#"{{"usage":{{"n":{number}}}}}"#));
        for (number, want) in [
            ("0", 0),
            ("7", 7),
            ("9223372036854775807", i64::MAX as u64),
            ("12.0", 12),
            ("4.6e1", 46),
            ("9007199254740992.0", 1 << 53),
            ("\"34\"", 34),
            ("\"007\"", 7),
            ("\"\\u0033\"", 3),
            ("1E2", 100),
            ("0e9", 0),
            ("\"9223372036854775807\"", i64::MAX as u64),
        ] {
            assert_eq!(n(number), Some(want), "{number}");
        }
        for number in [
            "-1",
            "1.5",
            "1e30",
            "9223372036854775808",
            "18446744073709551616",
            "9007199254740994.0",
            "\" 7\"",
            "\"7 \"",
            "\"+7\"",
            "\"-7\"",
            "\"\"",
            "\"1.0\"",
            "\"NaN\"",
            "true",
            "false",
            "null",
            "[1]",
            "{}",
            "\"9223372036854775808\"",
            "\"00000000000000000007\"",
        ] {
            assert_eq!(n(number), None, "{number}");
        }
    }

    #[test]
    fn only_the_exact_path_counts_and_the_last_of_repeated_keys_wins() {
        for (json, want) in [
            (r#"{"usage":{"n":1},"usage":{"n":2}}"#, Some(2)),
            (r#"{"usage":{"n":1},"usage":{}}"#, None),
            (r#"{"usage":{"n":1},"usage":null}"#, None),
            (r#"{"usage":{"n":1,"n":null}}"#, None),
            (r#"{"us\u0061ge":{"\u006E":3}}"#, Some(3)),
            (r#"{"x":{"usage":{"n":1}}}"#, None),
            (r#"{"x":"{\"usage\":{\"n\":1}}"}"#, None),
            (r#"[{"usage":{"n":1}}]"#, None),
            (r#"{"usage":[{"n":1}]}"#, None),
            (r#"{"usage.n":1}"#, None),
            (r#"{"USAGE":{"n":1}}"#, None),
            (" { \"usage\" : { \"n\" : 5 } } ", Some(5)),
        ] {
            assert_eq!(count(json), want, "{json}");
        }
    }

    #[test]
    fn nesting_beyond_the_limit_is_malformed() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(scan(nested(256).as_bytes(), 7, &[]).is_some());
        assert!(scan(nested(257).as_bytes(), 7, &[]).is_none());
    }

    #[test]
    fn long_values_are_cut_at_a_character_and_long_keys_are_unknown() {
        let rows = [value("model")];
        let json = format!(r#"{{"model":"{}","{}model":1}}"#, "é".repeat(400), "k".repeat(500));
        for size in [1, 3, 5000] {
            let slots = scan(json.as_bytes(), size, &rows).unwrap();
            assert_eq!(slots.text(0), Some("é".repeat(256).as_bytes()));
        }
    }

    #[test]
    fn escapes_are_decoded_across_cuts() {
        let rows = [value("model")];
        for (text, want) in [
            (r"a\n\t\\\/\b\f\r\u00e9", "a\n\t\\/\u{8}\u{c}\r\u{e9}"),
            (r"\ud83d\ude00!", "\u{1f600}!"),
            (r"\ud83dx\ude00", "\u{fffd}x\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
        ] {
            let json = format!(r#"{{"model":"{text}"}}"#);
            for size in 1..9 {
                let slots = scan(json.as_bytes(), size, &rows).unwrap();
                assert_eq!(slots.text(0), Some(want.as_bytes()), "{text} by {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn accepts_what_serde_json_accepts(
            tokens in proptest::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "\"", "\\", "\\u00", "1", "0", "-", ".5", "e",
                "E+", "true", "null", "fals", " ", "\n", "x", "\u{1}",
            ]), 0..24),
            size in 1_usize..6,
        ) {
            let json = tokens.concat();
            let rows = [value("a"), value("a.a")];
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok();
            prop_assert_eq!(scan(json.as_bytes(), size, &rows).is_some(), theirs, "{}", json);
            prop_assert_eq!(scan(json.as_bytes(), 1000, &rows).is_some(), theirs, "{}", json);
        }

        #[test]
        fn finds_what_serde_json_finds(
            members in proptest::collection::vec(("[ab]", prop::sample::select(vec![
                "1", "\"x\"", "{\"a\":2}", "{\"b\":3,\"a\":null}", "[4]", "null", "{\"a\":{\"a\":5}}", "-0.5",
            ])), 0..6),
            size in 1_usize..9,
        ) {
            let members: Vec<String> = members.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
            let json = format!("{{{}}}", members.join(","));
            let rows = [value("a"), value("a.a"), value("a.a.a"), value("b"), value("b.b")];
            let slots = scan(json.as_bytes(), size, &rows).unwrap();
            let theirs: serde_json::Value = serde_json::from_str(&json).unwrap();
            for (slot, path) in ["/a", "/a/a", "/a/a/a", "/b", "/b/b"].iter().enumerate() {
                let their = theirs.pointer(path);
                prop_assert_eq!(slots.get(slot).is_some(), their.is_some(), "{} {}", json, path);
                prop_assert_eq!(slots.count(slot), their.and_then(serde_json::Value::as_u64));
            }
        }
    }
}
