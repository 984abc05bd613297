//! Values that lie in one piece, without escapes: read at once.

use crate::echo::Marks;
use crate::json::scanner::cut;
use crate::json::shape::Keep;
use crate::json::slots::{self, Slot, Slots, Value};
use crate::json::text::plain;

/// A string, whole number or literal that ends in this piece, and where. `None`
/// for anything else.
#[inline]
pub(super) fn short_value(
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
                Some((_, Keep::Members)) => {}
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
