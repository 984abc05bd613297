//! Judges the JSON of one event: which of its bytes are there only because modash
//! asked for usage (spec 10.3).

use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::Deserializer;

use crate::json::plain;

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
/// Members that an event without choices also carries when nobody asked for usage: only `usage`
/// is cut from such an event.
const OWN: [&str; 5] =
    ["error", "prompt_filter_results", "citations", "search_results", "moderation"];

/// What was found in the events of a response.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Findings {
    /// What was removed may differ from what asking had added.
    pub(super) inexact: bool,
    /// The upstream reports without being asked (`timings`).
    pub(super) reports: bool,
}

/// What the client gets of a payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The JSON is not whole: another line of data may follow.
    Incomplete,
    /// All but these ranges, which are in order.
    Without(Vec<Range<usize>>),
    /// Nothing.
    Nothing,
}

/// Judges the data of an event: any number of JSON objects, one after the other.
pub(super) fn judge(payload: &[u8], findings: &mut Findings) -> Verdict {
    let mut values = Deserializer::from_slice(payload).into_iter::<IgnoredAny>();
    let mut objects = Vec::new();
    loop {
        let start = skip_blank(payload, values.byte_offset());
        match values.next() {
            None => break,
            Some(Ok(_)) => objects.push(start..values.byte_offset()),
            Some(Err(error)) if error.is_eof() => return Verdict::Incomplete,
            Some(Err(_)) => return Verdict::Without(Vec::new()),
        }
    }
    let mut cuts = Vec::new();
    let mut removed = 0;
    for (at, object) in objects.iter().enumerate() {
        match added(&payload[object.clone()], findings) {
            Added::Nothing => {}
            Added::Member(cut) => cuts.push(object.start + cut.start..object.start + cut.end),
            Added::Object => {
                removed += 1;
                // With the blanks between it and its neighbour.
                cuts.push(match (at.checked_sub(1), objects.get(at + 1)) {
                    (Some(before), _) => objects[before].end..object.end,
                    (None, Some(next)) => object.start..next.start,
                    (None, None) => object.clone(),
                });
            }
        }
    }
    if removed > 0 && removed == objects.len() { Verdict::Nothing } else { Verdict::Without(cuts) }
}

/// What asking added to an object.
enum Added {
    Nothing,
    /// The member `usage`: this range, with one comma.
    Member(Range<usize>),
    /// All of it.
    Object,
}

fn added(json: &[u8], findings: &mut Findings) -> Added {
    let Some(members) = members(json) else { return Added::Nothing };
    let named =
        |name: &str| members.iter().position(|member| json[member.key.clone()] == *name.as_bytes());
    let value = |name: &str| named(name).map(|at| &json[members[at].value.clone()]);
    findings.reports |= value("timings").is_some_and(|value| value.starts_with(b"{"));
    let Some(at) = named("usage") else { return Added::Nothing };
    let usage = &json[members[at].value.clone()];
    let member = cut_of(&members, at).map_or(Added::Nothing, Added::Member);
    if usage == b"null" {
        return member;
    }
    if !usage.starts_with(b"{") {
        return Added::Nothing;
    }
    if has_choices(value("choices")) {
        // Whether the upstream would have reported here unasked cannot be known.
        findings.inexact = true;
        return member;
    }
    if OWN.iter().any(|name| value(name).is_some_and(|value| value != b"null")) {
        findings.inexact = true;
        return member;
    }
    findings.inexact |= members.iter().any(|member| {
        let key = &json[member.key.clone()];
        let expected = ["choices", "usage"].iter().chain(&EXPECTED);
        !expected.into_iter().any(|name| key == name.as_bytes())
    });
    Added::Object
}

/// Whether `choices` is an array with elements.
fn has_choices(choices: Option<&[u8]>) -> bool {
    choices.is_some_and(|choices| {
        choices.starts_with(b"[")
            && !choices[1..choices.len() - 1].iter().all(u8::is_ascii_whitespace)
    })
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
