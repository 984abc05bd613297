//! Members that lie in one piece, one after another, without escapes and with no white
//! space but single blanks: almost everything that servers write.

use crate::echo::Marks;
use crate::json::scanner::strings::characters;
use crate::json::scanner::whole::{whole_integer, whole_string};
use crate::json::scanner::{Frame, Malformed, Scanner, State, cut};
use crate::json::shape::{DEAD, Keep, Node, Shape};
use crate::json::slots::{Slots, Value};

impl Scanner {
    /// Reads members from the quote of a key on, and those of objects in them. Stops where
    /// one is not like that, with the state set for the byte there.
    pub(super) fn members(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        shape: &Shape,
        slots: &mut Slots,
    ) -> Result<usize, Malformed> {
        let mut depth = self.frames.len();
        'object: while let Some(frame) = self.frames.last_mut() {
            let parent = shape.node(frame.place);
            loop {
                let Some((length, end)) = whole_string(bytes, at + 1) else { return Ok(at) };
                if bytes.get(end) != Some(&b':') {
                    return Ok(at);
                }
                let mut place = DEAD;
                if length <= self.key_bytes {
                    place = shape.child(parent, &bytes[at + 1..], length);
                }
                let node = shape.node(place);
                if place != DEAD {
                    slots.clear(node.below);
                }
                at = end + 1;
                at += usize::from(bytes.get(at) == Some(&b' '));
                let value = member(bytes, at, node, self.value_bytes, slots, &mut self.marks);
                let Some(end) = value else {
                    self.place = place;
                    self.state = State::Value;
                    let opens = bytes.get(at) == Some(&b'{') && bytes.get(at + 1) == Some(&b'"');
                    if !opens || depth >= self.nesting {
                        return Ok(at);
                    }
                    frame.count = frame.count.saturating_add(1);
                    self.frames.push(Frame { place, array: false, count: 0 });
                    depth += 1;
                    self.state = State::FirstKey;
                    at += 1;
                    continue 'object;
                };
                at = end;
                frame.count = frame.count.saturating_add(1);
                self.state = State::After;
                if bytes.get(at) != Some(&b'}') {
                    let Some(key) = next_key(bytes, at) else { return Ok(at) };
                    self.state = State::Key;
                    at = key;
                    continue;
                }
                self.close(false, shape, slots)?;
                depth -= 1;
                at += 1;
                let Some(key) = next_key(bytes, at) else { return Ok(at) };
                if self.frames.last().is_none_or(|frame| frame.array) {
                    return Ok(at);
                }
                self.state = State::Key;
                at = key;
                continue 'object;
            }
        }
        Ok(at)
    }
}

/// Where a key begins behind a comma.
#[inline]
fn next_key(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at..)? {
        [b',', b'"', ..] => Some(at + 1),
        [b',', b' ', b'"', ..] => Some(at + 2),
        _ => None,
    }
}

/// Takes a string, whole number or literal that ends in this piece. Returns where; `None`
/// for anything else.
#[inline]
fn member(
    bytes: &[u8],
    at: usize,
    node: &Node,
    value_bytes: usize,
    slots: &mut Slots,
    marks: &mut Marks,
) -> Option<usize> {
    let (value, end) = match *bytes.get(at)? {
        b'"' => {
            let (length, end) = whole_string(bytes, at + 1)?;
            let text = at + 1..at + 1 + length;
            match node.slot {
                None => marks.padding = Some(text),
                Some((_, Keep::Members)) => {}
                Some((slot, Keep::Value)) => slots.set_text(slot, cut(&bytes[text], value_bytes)),
                Some((slot, Keep::Length)) => {
                    marks.text = Some(text);
                    slots.set(slot, Value::Length(length as u64));
                }
                Some((slot, Keep::Characters)) => {
                    slots.set(slot, Value::Length(characters(&bytes[text])));
                }
            }
            return Some(end);
        }
        b'0'..=b'9' => whole_integer(bytes, at)?,
        b'n' if bytes[at..].starts_with(b"null") => (Value::Null, at + 4),
        b't' if bytes[at..].starts_with(b"true") => (Value::Bool(true), at + 4),
        b'f' if bytes[at..].starts_with(b"false") => (Value::Bool(false), at + 5),
        _ => return None,
    };
    if let Some((slot, _)) = node.slot {
        slots.set(slot, value);
    }
    Some(end)
}
