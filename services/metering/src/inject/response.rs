//! The response side: takes out the chunk that would not have come, and the
//! member `"usage":null` of the others, so that the client's bytes are those of
//! a stream without the option (spec 10.3).

use std::ops::Range;

use http::{HeaderMap, StatusCode, header};
use memchr::{memchr2, memmem};
use serde::de::IgnoredAny;

use crate::json::plain;

/// Events longer than this pass as they are.
const LONGEST: usize = 256 << 10;
/// Members that the extra chunk may have besides `choices` and `usage`.
const EXPECTED: [&str; 9] = [
    "id",
    "object",
    "created",
    "model",
    "system_fingerprint",
    "service_tier",
    "obfuscation",
    "provider",
    "x_groq",
];

/// Filters the answer to a changed request.
#[derive(Debug, Default)]
pub struct ResponseFilter {
    /// The event so far, with the comments before it.
    event: Vec<u8>,
    /// Something of the line was read.
    within: bool,
    /// The last byte was a CR, which an LF may follow.
    after_cr: bool,
    /// A blank line has ended the event, but for an LF.
    ending: bool,
    /// The event is too long: it passes.
    passing: bool,
    unneeded: bool,
}

impl ResponseFilter {
    /// `None` if the answer has to pass as it is: no stream of events, or not in
    /// plain text.
    #[must_use]
    pub fn new(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
        let plain = headers.get(header::CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
        (status.is_success() && plain && kind.starts_with("text/event-stream")).then(Self::default)
    }

    /// A piece of the answer; what the client gets of it is appended to `output`.
    pub fn push(&mut self, bytes: &[u8], output: &mut Vec<u8>) {
        let mut next = 0;
        while next < bytes.len() {
            if self.after_cr {
                self.after_cr = false;
                if bytes[next] == b'\n' {
                    self.event.push(b'\n');
                    next += 1;
                }
                if self.ending {
                    self.end_event(output);
                }
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', &bytes[next..]) else {
                self.event.extend_from_slice(&bytes[next..]);
                self.within = true;
                break;
            };
            self.ending = end == 0 && !self.within;
            self.within = false;
            self.event.extend_from_slice(&bytes[next..=next + end]);
            next += end + 1;
            self.after_cr = bytes[next - 1] == b'\r';
            if self.ending && !self.after_cr {
                self.end_event(output);
            }
        }
        if self.passing || self.event.len() > LONGEST {
            self.passing = true;
            output.append(&mut self.event);
        }
    }

    /// The answer has ended: what is held goes out.
    pub fn end(&mut self, output: &mut Vec<u8>) {
        if self.ending {
            self.end_event(output);
        }
        output.append(&mut self.event);
    }

    /// Whether the upstream reports usage by itself: asking it gains nothing.
    #[must_use]
    pub fn is_unneeded(&self) -> bool {
        self.unneeded
    }

    fn end_event(&mut self, output: &mut Vec<u8>) {
        if !self.passing {
            self.judge(output);
        }
        output.append(&mut self.event);
        self.ending = false;
        self.passing = false;
    }

    /// Changes the event, if it has to be changed.
    fn judge(&mut self, output: &mut Vec<u8>) {
        if memmem::find(&self.event, b"\"usage\"").is_none() {
            return;
        }
        let Some(data) = only_data(&self.event) else { return };
        let json = &self.event[data.clone()];
        if serde_json::from_slice::<IgnoredAny>(json).is_err() {
            return;
        }
        let Some(members) = members(json) else { return };
        let value = |name: &str| {
            let mut found =
                members.iter().filter(|member| json[member.key.clone()] == *name.as_bytes());
            let first = found.next()?;
            found.next().is_none().then(|| &json[first.value.clone()])
        };
        let (usage, choices) = (value("usage"), value("choices"));
        let empty = choices.is_some_and(|choices| {
            choices.first() == Some(&b'[')
                && choices[1..choices.len() - 1].iter().all(u8::is_ascii_whitespace)
        });
        let counted = usage.is_some_and(|usage| usage.first() == Some(&b'{'));
        let expected = members.iter().all(|member| {
            let key = &json[member.key.clone()];
            key == b"usage"
                || key == b"choices"
                || EXPECTED.iter().any(|name| key == name.as_bytes())
        });
        if counted && empty && expected {
            let comments = comments(&self.event);
            output.extend_from_slice(&self.event[..comments]);
            self.event.clear();
        } else if usage == Some(b"null") {
            let member = members.iter().position(|member| json[member.key.clone()] == *b"usage");
            if let Some(cut) = member.and_then(|at| cut_of(&members, at)) {
                self.event.drain(data.start + cut.start..data.start + cut.end);
            }
        } else if counted && !empty {
            self.unneeded = true;
        }
    }
}

/// Length of the comment lines at the start of an event.
fn comments(event: &[u8]) -> usize {
    let mut at = 0;
    while event.get(at) == Some(&b':') {
        let Some(end) = memchr2(b'\n', b'\r', &event[at..]) else { return at };
        at += end + 1;
        if event[at - 1] == b'\r' && event.get(at) == Some(&b'\n') {
            at += 1;
        }
    }
    at
}

/// Place of the data, if the event has one line of it.
fn only_data(event: &[u8]) -> Option<Range<usize>> {
    let mut found = None;
    let mut at = 0;
    while at < event.len() {
        let end = memchr2(b'\n', b'\r', &event[at..]).map_or(event.len(), |end| at + end);
        if event[at..end].starts_with(b"data:") {
            let start = at + 5 + usize::from(event.get(at + 5) == Some(&b' '));
            if found.replace(start.min(end)..end).is_some() {
                return None;
            }
        }
        at = end + 1;
    }
    found
}

/// A member of the top-level object.
struct Member {
    /// Between the quotes.
    key: Range<usize>,
    value: Range<usize>,
    /// The comma before the member.
    comma_before: Option<usize>,
    /// The first byte of the member that follows.
    next: Option<usize>,
}

/// The members of an object that is known to be well-formed JSON.
fn members(json: &[u8]) -> Option<Vec<Member>> {
    let mut members: Vec<Member> = Vec::new();
    let mut at = skip_blank(json, 0);
    if json.get(at) != Some(&b'{') {
        return None;
    }
    at = skip_blank(json, at + 1);
    let mut comma = None;
    while json.get(at) == Some(&b'"') {
        if let Some(last) = members.last_mut() {
            last.next = Some(at);
        }
        let key_end = string_end(json, at)?;
        let key = at + 1..key_end - 1;
        at = skip_blank(json, key_end);
        let start = skip_blank(json, at + 1);
        let end = value_end(json, start)?;
        members.push(Member { key, value: start..end, comma_before: comma, next: None });
        at = skip_blank(json, end);
        if json.get(at) != Some(&b',') {
            break;
        }
        comma = Some(at);
        at = skip_blank(json, at + 1);
    }
    Some(members)
}

fn skip_blank(json: &[u8], mut at: usize) -> usize {
    while json.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

fn string_end(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += plain(json.get(at..)?);
        match json.get(at)? {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

fn value_end(json: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_u32;
    let mut at = start;
    loop {
        match json.get(at)? {
            b'"' => at = string_end(json, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b',' if depth == 0 => return Some(at),
            byte if depth == 0 && byte.is_ascii_whitespace() => return Some(at),
            _ => at += 1,
        }
        let closed = depth == 0 && at > start && matches!(json[at - 1], b'"' | b'}' | b']');
        if closed {
            return Some(at);
        }
    }
}

/// A member with one comma beside it.
fn cut_of(members: &[Member], at: usize) -> Option<Range<usize>> {
    let member = members.get(at)?;
    match (member.comma_before, member.next) {
        (Some(comma), _) => Some(comma..member.value.end),
        (None, Some(next)) => Some(member.key.start - 1..next),
        (None, None) => Some(member.key.start - 1..member.value.end),
    }
}
