//! The response side: removes what was added because modash asked, so that the client's bytes are
//! those of a stream without the option (spec 10.3).
//!
//! Lines are judged, not events, since some servers separate their events by single newlines. A
//! line of data is held until its JSON is whole; everything else passes as it comes.

use std::{borrow::Cow, mem, ops::Range};

use http::{HeaderMap, StatusCode, header};
use memchr::{memchr2, memmem};

use crate::decode::Decoder;
use crate::inject::chunk::{Findings, Verdict, judge};
use crate::limits::Limits;

/// Bytes of an event that are held at most. Longer ones pass as they are.
const LONGEST: usize = 256 << 10;
/// Fields that may stand before the data of an event.
const FIELDS: [&[u8]; 3] = [b"event:", b"id:", b"retry:"];

/// Filters the answer to a changed request. The output is plain text, whatever the coding of the
/// input was.
#[derive(Debug)]
pub struct ResponseFilter {
    decoder: Option<Decoder>,
    broken: bool,
    lines: Lines,
}

impl ResponseFilter {
    /// `None` if the answer has to pass as it is: a failure, a document, or of a coding that
    /// cannot be undone.
    #[must_use]
    pub fn new(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let json = kind.is_some_and(|kind| kind.to_ascii_lowercase().contains("json"));
        let document = json && headers.contains_key(header::CONTENT_LENGTH);
        if !status.is_success() || document {
            return None;
        }
        // The client may read as much as it likes.
        let limits = Limits { decoded_bytes: u64::MAX, ..Limits::default() };
        let codings = headers.get_all(header::CONTENT_ENCODING);
        let decoder = Decoder::new(codings.iter().map(http::HeaderValue::as_bytes), &limits);
        if decoder.as_ref().is_some_and(|decoder| !decoder.is_known()) {
            return None;
        }
        Some(Self { decoder, broken: false, lines: Lines::default() })
    }

    /// A piece of the answer; what the client gets of it is appended to `output`.
    pub fn push(&mut self, bytes: &[u8], output: &mut Vec<u8>) {
        let lines = &mut self.lines;
        match &mut self.decoder {
            None => lines.push(bytes, output),
            Some(decoder) => {
                let decoded = decoder.push(bytes, &mut |decoded| lines.push(decoded, output));
                self.broken |= decoded.is_err();
            }
        }
    }

    /// The answer has ended: what is held goes out.
    pub fn end(&mut self, output: &mut Vec<u8>) {
        self.lines.end(output);
    }

    /// The coding of the answer is damaged: the client cannot get the rest.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The upstream must not be asked again: it reports unasked, or what asking adds cannot be
    /// removed exactly.
    #[must_use]
    pub fn is_last(&self) -> bool {
        let Findings { inexact, reports } = self.lines.findings;
        inexact || reports || self.broken
    }
}

/// What happened to a line; the LF after its CR goes the same way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Fate {
    #[default]
    Passed,
    Held,
    Removed,
}

/// The lines of a stream of events.
#[derive(Debug, Default)]
struct Lines {
    /// Lines of an event whose data is not whole yet, and the line that is being read.
    held: Vec<u8>,
    /// Where in `held` that line begins.
    line: usize,
    /// Where in `held` the data of the lines before it is.
    data: Vec<Range<usize>>,
    /// The line that is being read passes.
    passing: bool,
    /// The last byte was a CR, which ended a line of this fate.
    after_cr: Option<Fate>,
    /// Something of this event went to the client.
    forwarded: bool,
    /// Blank lines since the last line that went to the client.
    gap: usize,
    /// Blank lines to remove: those after a removed event.
    owed: usize,
    findings: Findings,
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8], output: &mut Vec<u8>) {
        while let Some(first) = bytes.first() {
            if let Some(fate) = self.after_cr.take()
                && *first == b'\n'
            {
                match fate {
                    Fate::Passed => output.push(b'\n'),
                    Fate::Held => {
                        self.held.push(b'\n');
                        self.line = self.held.len();
                    }
                    Fate::Removed => {}
                }
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', bytes) else {
                self.part(bytes, output);
                return;
            };
            self.part(&bytes[..end], output);
            let fate = self.end_line(Some(bytes[end]), output);
            self.after_cr = (bytes[end] == b'\r').then_some(fate);
            bytes = &bytes[end + 1..];
        }
    }

    fn end(&mut self, output: &mut Vec<u8>) {
        if self.held.len() > self.line {
            self.end_line(None, output);
        }
        if self.owed == 0 || !self.data.is_empty() {
            output.append(&mut self.held);
        }
    }

    /// A part of a line.
    fn part(&mut self, bytes: &[u8], output: &mut Vec<u8>) {
        if self.passing {
            output.extend_from_slice(bytes);
            return;
        }
        self.held.extend_from_slice(bytes);
        if self.held.len() > LONGEST {
            self.findings.inexact = true;
            self.pass(output);
        } else if self.held.len() > self.line && !self.may_matter() {
            self.pass(output);
        }
    }

    /// Whether the line may be part of an event from which something is removed.
    fn may_matter(&self) -> bool {
        let line = &self.held[self.line..];
        let begins = |name: &[u8]| name.starts_with(line) || line.starts_with(name);
        if let Some(data) = line.strip_prefix(b"data:") {
            let first = data.iter().find(|byte| !byte.is_ascii_whitespace());
            return !self.data.is_empty() || first.is_none_or(|first| *first == b'{');
        }
        b"data:".starts_with(line) || FIELDS.iter().any(|name| begins(name)) || {
            // A comment passes, but not before the lines that wait.
            line.starts_with(b":") && self.line > 0
        }
    }

    /// What is held passes, and the rest of the line with it.
    fn pass(&mut self, output: &mut Vec<u8>) {
        self.passing = true;
        if !self.held.starts_with(b":") {
            self.forward();
        }
        self.gap = 0;
        self.release(output);
    }

    /// A line of an event goes to the client.
    fn forward(&mut self) {
        self.forwarded = true;
        self.gap = 0;
        self.owed = 0;
    }

    fn release(&mut self, output: &mut Vec<u8>) {
        output.append(&mut self.held);
        self.clear();
    }

    fn clear(&mut self) {
        self.held.clear();
        self.data.clear();
        self.line = 0;
    }

    /// The line ends with this byte.
    fn end_line(&mut self, ending: Option<u8>, output: &mut Vec<u8>) -> Fate {
        if mem::take(&mut self.passing) {
            output.extend(ending);
            return Fate::Passed;
        }
        if self.held.len() == self.line {
            return self.end_event(ending, output);
        }
        let (start, end) = (self.line, self.held.len());
        self.held.extend(ending);
        self.line = self.held.len();
        if !self.held[start..].starts_with(b"data:") {
            return Fate::Held;
        }
        let blank = usize::from(self.held.get(start + 5) == Some(&b' '));
        self.data.push((start + 5 + blank).min(end)..end);
        match judge(&payload(&self.held, &self.data), &mut self.findings) {
            Verdict::Incomplete => Fate::Held,
            Verdict::Without(cuts) => {
                for cut in cuts.into_iter().rev() {
                    let (from, to) = (self.place(cut.start), self.place(cut.end));
                    self.held.drain(from..to);
                }
                self.forward();
                self.release(output);
                Fate::Passed
            }
            Verdict::Nothing => {
                // The ids of the events after it differ from those of a stream without it.
                let numbered =
                    self.held.starts_with(b"id:") || memmem::find(&self.held, b"\nid:").is_some();
                self.findings.inexact |= numbered;
                if !self.forwarded {
                    self.owed = self.gap.max(1);
                }
                self.clear();
                Fate::Removed
            }
        }
    }

    /// A blank line.
    fn end_event(&mut self, ending: Option<u8>, output: &mut Vec<u8>) -> Fate {
        if self.owed > 0 && self.data.is_empty() {
            self.owed -= 1;
            // A field after the data, which may number events.
            self.findings.inexact |= !self.held.is_empty();
            self.clear();
            return Fate::Removed;
        }
        self.forwarded = false;
        self.gap = if self.held.is_empty() { self.gap + 1 } else { 1 };
        self.release(output);
        output.extend(ending);
        Fate::Passed
    }

    /// Where a place of the payload is in `held`.
    fn place(&self, mut offset: usize) -> usize {
        for part in &self.data {
            if offset <= part.len() {
                return part.start + offset;
            }
            offset -= part.len() + 1;
        }
        self.held.len()
    }
}

/// The data of an event, with a line end between its lines.
fn payload<'a>(held: &'a [u8], data: &[Range<usize>]) -> Cow<'a, [u8]> {
    match data {
        [one] => Cow::Borrowed(&held[one.clone()]),
        parts => {
            let parts: Vec<&[u8]> = parts.iter().map(|part| &held[part.clone()]).collect();
            Cow::Owned(parts.join(&b'\n'))
        }
    }
}
