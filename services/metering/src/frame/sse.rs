//! Server-sent events (spec 3.1): LF, CRLF and CR mixed, comments, data over
//! several lines, names, `[DONE]`, and a last event without its blank line. Also
//! what servers make of them: events without blank lines between them, several
//! JSON objects in one, JSON lines without `data:`.

use std::time::Duration;

use memchr::memchr2;

use crate::reader::{Ended, Reader};

/// Longest event name that is told apart.
const NAME: usize = 64;
/// Data longer than this is not `[DONE]`.
const HEAD: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// A line begins.
    Start,
    /// In the name of a field.
    Field,
    /// After the colon, where one space is dropped.
    Space(Field),
    /// In the value.
    Value(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    Other,
}

/// Cuts a body into server-sent events.
#[derive(Debug)]
pub(crate) struct Sse {
    line: Line,
    field: [u8; 8],
    field_len: usize,
    /// A CR was the last byte: an LF now belongs to it.
    after_cr: bool,
    /// Offset of an event that such a CR has ended.
    ended_at: Option<u64>,
    name: Vec<u8>,
    has_data: bool,
    /// When the last line of data came.
    data_at: Duration,
    head: [u8; HEAD],
    head_len: usize,
    /// `[DONE]` was seen.
    pub(crate) done: bool,
}

impl Sse {
    pub(crate) fn new() -> Self {
        Self {
            line: Line::Start,
            field: [0; 8],
            field_len: 0,
            after_cr: false,
            ended_at: None,
            name: Vec::new(),
            has_data: false,
            data_at: Duration::ZERO,
            head: [0; HEAD],
            head_len: 0,
            done: false,
        }
    }

    /// A piece of the body that begins at a decoded offset.
    pub(crate) fn push(&mut self, bytes: &[u8], offset: u64, at: Duration, reader: &mut Reader) {
        let mut next = 0;
        while next < bytes.len() && !self.done {
            let rest = &bytes[next..];
            if self.after_cr {
                self.after_cr = false;
                let ended_at = self.ended_at.take();
                if rest[0] == b'\n' {
                    next += 1;
                    let first = &mut reader.record.clock.offset;
                    if first.is_some() && *first == ended_at {
                        *first = ended_at.map(|end| end + 1);
                    }
                    continue;
                }
            }
            match self.line {
                Line::Start if rest[0] == b'\n' || rest[0] == b'\r' => {
                    next += 1;
                    let end = offset + next as u64;
                    self.after_cr = rest[0] == b'\r';
                    self.ended_at = self.after_cr.then_some(end);
                    self.end_event(at, end, reader);
                }
                Line::Start if self.ends_event_before(rest[0], reader) => {
                    self.end_event(self.data_at, offset + next as u64, reader);
                }
                Line::Start if self.is_bare_data(rest[0], reader) => {
                    self.begin_value(Field::Data, false, reader);
                }
                Line::Start if rest.starts_with(b"data:") => {
                    if let Some(length) = self.whole_event(rest, offset + next as u64, at, reader) {
                        next += length;
                        continue;
                    }
                    next += 5;
                    self.begin_value(Field::Data, true, reader);
                }
                Line::Start => {
                    self.field_len = 0;
                    self.line = Line::Field;
                }
                Line::Field => next += self.in_field(rest, reader),
                Line::Space(field) => {
                    next += usize::from(rest[0] == b' ');
                    self.line = Line::Value(field);
                }
                Line::Value(field) => {
                    next += self.in_value(field, rest, offset + next as u64, at, reader);
                }
            }
        }
    }

    /// Whether an event ends before a line with this first byte although no blank
    /// line stands there: its JSON has ended, and the next one's data or name
    /// begins.
    fn ends_event_before(&self, first: u8, reader: &Reader) -> bool {
        let begins = first == b'd' || first == b'{' || (first == b'e' && !self.name.is_empty());
        begins && self.has_data && reader.is_whole()
    }

    /// Whether a line with this first byte is JSON without the name of a field.
    fn is_bare_data(&self, first: u8, reader: &Reader) -> bool {
        let goes_on = matches!(first, b'}' | b'"' | b'[' | b']' | b' ' | b'\t');
        first == b'{' || (goes_on && self.has_data && reader.is_open())
    }

    /// An event whose only line of data and blank line lie in this piece, which
    /// is what servers send. Returns its length.
    fn whole_event(
        &mut self,
        rest: &[u8],
        offset: u64,
        at: Duration,
        reader: &mut Reader,
    ) -> Option<usize> {
        let data = rest.get(5..)?;
        let data = data.strip_prefix(b" ").unwrap_or(data);
        let end = memchr2(b'\n', b'\r', data).filter(|end| *end > HEAD && !self.has_data)?;
        let blank = match data[end..] {
            [b'\n', b'\n', ..] => 2,
            [b'\r', b'\n', b'\r', b'\n', ..] => 4,
            _ => return None,
        };
        let length = rest.len() - data.len() + end + blank;
        if !reader.whole_event(&data[..end], &self.name, at, offset + length as u64) {
            return None;
        }
        self.name.clear();
        Some(length)
    }

    fn in_field(&mut self, rest: &[u8], reader: &mut Reader) -> usize {
        for (read, byte) in rest.iter().enumerate() {
            match byte {
                b':' => {
                    let field = self.field();
                    self.begin_value(field, true, reader);
                    return read + 1;
                }
                b'\n' | b'\r' => {
                    let field = self.field();
                    self.begin_value(field, true, reader);
                    self.end_line(*byte);
                    return read + 1;
                }
                _ => {
                    if let Some(place) = self.field.get_mut(self.field_len) {
                        *place = *byte;
                        self.field_len += 1;
                    }
                }
            }
        }
        rest.len()
    }

    fn field(&self) -> Field {
        match &self.field[..self.field_len] {
            b"data" => Field::Data,
            b"event" => Field::Event,
            _ => Field::Other,
        }
    }

    /// A value begins, after a colon or, if it is bare, with the line.
    fn begin_value(&mut self, field: Field, colon: bool, reader: &mut Reader) {
        match field {
            Field::Data => {
                // Lines of data are joined with LF.
                if self.has_data {
                    reader.feed(b"\n");
                    self.hold_head(b"\n");
                }
                self.has_data = true;
            }
            Field::Event => self.name.clear(),
            Field::Other => {}
        }
        self.line = if colon { Line::Space(field) } else { Line::Value(field) };
    }

    fn in_value(
        &mut self,
        field: Field,
        rest: &[u8],
        offset: u64,
        at: Duration,
        reader: &mut Reader,
    ) -> usize {
        let end = memchr2(b'\n', b'\r', rest);
        let text = &rest[..end.unwrap_or(rest.len())];
        match field {
            Field::Data => {
                self.hold_head(text);
                self.data_at = at;
                let mut from = 0;
                // An object that follows another one is an event of its own.
                while let Some(next) = reader.feed_first(&text[from..]) {
                    from += next;
                    reader.end_event(&self.name, at, offset + from as u64);
                }
            }
            Field::Event => {
                let room = NAME.saturating_sub(self.name.len()).min(text.len());
                self.name.extend_from_slice(&text[..room]);
            }
            Field::Other => {}
        }
        match end {
            Some(end) => {
                self.end_line(rest[end]);
                end + 1
            }
            None => rest.len(),
        }
    }

    fn end_line(&mut self, byte: u8) {
        self.line = Line::Start;
        self.after_cr = byte == b'\r';
    }

    #[inline]
    fn hold_head(&mut self, text: &[u8]) {
        let room = (HEAD - self.head_len).min(text.len());
        self.head[self.head_len..self.head_len + room].copy_from_slice(&text[..room]);
        self.head_len += room;
    }

    fn end_event(&mut self, at: Duration, offset: u64, reader: &mut Reader) -> Ended {
        let mut ended = Ended::Blank;
        if self.has_data {
            if self.head[..self.head_len].trim_ascii() == b"[DONE]" {
                self.done = true;
                reader.record.done = true;
                reader.record.terminal |= reader.wire.done || reader.record.dialect.is_some();
                reader.drop_event();
            } else {
                ended = reader.end_event(&self.name, at, offset);
            }
        }
        self.has_data = false;
        self.head_len = 0;
        self.name.clear();
        ended
    }

    /// The body has ended. Returns whether its last event is cut.
    pub(crate) fn finish(&mut self, at: Duration, offset: u64, reader: &mut Reader) -> bool {
        if self.done {
            return false;
        }
        let cut = match self.line {
            Line::Start | Line::Space(Field::Other) | Line::Value(Field::Other) => false,
            Line::Field => self.field_len > 0,
            Line::Space(_) | Line::Value(_) => !self.has_data,
        };
        let at = if self.has_data { self.data_at } else { at };
        self.end_event(at, offset, reader) == Ended::Bad || cut
    }
}
