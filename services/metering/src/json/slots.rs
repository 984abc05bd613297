//! The values found in one document or event. They are pending until its JSON
//! has ended as a whole; a repeated key clears what the earlier one left.

use std::borrow::Cow;
use std::cell::RefCell;

use crate::json::text::same;
use crate::usage::Usage;

/// Index of a row of a shape.
pub(crate) type Slot = usize;
/// Most rows of a shape.
pub(crate) const SLOTS: usize = 64 * WORDS;
const WORDS: usize = 4;

/// A set of slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mask([u64; WORDS]);

impl Mask {
    #[inline]
    pub(crate) fn insert(&mut self, slot: Slot) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    #[inline]
    pub(crate) fn insert_all(&mut self, other: Self) {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word |= other;
        }
    }

    #[inline]
    fn remove_all(&mut self, other: Self) {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word &= !other;
        }
    }

    #[inline]
    fn remove(&mut self, slot: Slot) {
        self.0[slot / 64] &= !(1 << (slot % 64));
    }

    #[inline]
    fn contains(self, slot: Slot) -> bool {
        self.0[slot / 64] >> (slot % 64) & 1 != 0
    }
}

/// A value at a path of interest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// 0 to 2^63 - 1.
    Integer(u64),
    /// Any other number.
    Float(f64),
    /// A string, held in the arena.
    Text {
        at: u32,
        len: u32,
    },
    /// A string of which only the length was kept.
    Length(u64),
    /// An array with its number of elements.
    Array(u32),
    /// An object with its number of members.
    Object(u32),
}

/// Strings of one event beyond this are held in a fresh arena without the dead ones.
const ARENA: usize = 64 << 10;
/// Room for the strings of almost all answers.
const FIRST: usize = 256;
/// Capacity that an arena keeps between events.
const KEPT: usize = 4 << 10;
/// Largest integer up to which a float counts (2^53).
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Values by slot. What holds them is lent by the thread while there are any: a stream
/// that waits for its next event has none, and the next exchange finds it in the cache.
#[derive(Debug)]
pub(crate) struct Slots {
    present: Mask,
    slots: usize,
    store: Option<Box<Store>>,
}

#[derive(Debug)]
struct Store {
    values: [Value; SLOTS],
    arena: Vec<u8>,
    /// Counts of the objects that stand at places for them.
    usages: Vec<(Slot, Usage)>,
}

/// Stores that a thread keeps.
const STORES: usize = 4;

thread_local! {
    static KEPT_STORES: RefCell<Vec<Box<Store>>> = const { RefCell::new(Vec::new()) };
}

impl Store {
    fn lent() -> Box<Self> {
        KEPT_STORES.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            Box::new(Self {
                values: [Value::Null; SLOTS],
                arena: Vec::with_capacity(FIRST),
                usages: Vec::new(),
            })
        })
    }

    fn give_back(mut self: Box<Self>) {
        self.usages.clear();
        self.arena.clear();
        if self.arena.capacity() > KEPT {
            self.arena.shrink_to(KEPT);
        }
        // A thread that ends keeps none.
        let _ = KEPT_STORES.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < STORES {
                kept.push(self);
            }
        });
    }

    fn compact(&mut self, present: Mask) {
        let mut arena = Vec::new();
        for slot in 0..SLOTS {
            if !present.contains(slot) {
                continue;
            }
            if let Value::Text { at, len } = self.values[slot] {
                let text = &self.arena[at as usize..at as usize + len as usize];
                let at = u32::try_from(arena.len()).unwrap_or(u32::MAX);
                arena.extend_from_slice(text);
                self.values[slot] = Value::Text { at, len };
            }
        }
        self.arena = arena;
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.reset();
    }
}

impl Slots {
    pub(crate) fn new(slots: usize) -> Self {
        Self { present: Mask::default(), slots, store: None }
    }

    /// Forgets everything: the next event begins.
    pub(crate) fn reset(&mut self) {
        self.present = Mask::default();
        if let Some(store) = self.store.take() {
            store.give_back();
        }
    }

    #[inline]
    fn store(&mut self) -> &mut Store {
        self.store.get_or_insert_with(Store::lent)
    }

    /// Forgets the slots of a mask.
    #[inline]
    pub(crate) fn clear(&mut self, mask: Mask) {
        self.present.remove_all(mask);
    }

    pub(crate) fn set(&mut self, slot: Slot, value: Value) {
        self.store().values[slot] = value;
        self.present.insert(slot);
    }

    pub(crate) fn set_text(&mut self, slot: Slot, text: &[u8]) {
        let present = self.present;
        let store = self.store();
        if store.arena.len() + text.len() > ARENA {
            store.compact(present);
        }
        let at = u32::try_from(store.arena.len()).unwrap_or(u32::MAX);
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        store.arena.extend_from_slice(text);
        self.set(slot, Value::Text { at, len });
    }

    /// Copies a value, for folds.
    pub(crate) fn copy(&mut self, from: Slot, to: Slot) {
        match self.get(from) {
            Some(value) => self.set(to, value),
            None => self.present.remove(to),
        }
    }

    /// Adds to a counter, for folds.
    pub(crate) fn add(&mut self, slot: Slot, count: u64) {
        let sum = self.count(slot).unwrap_or(0).saturating_add(count);
        self.set(slot, Value::Integer(sum));
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<Value> {
        let store = self.store.as_ref().filter(|_| self.present.contains(slot))?;
        Some(store.values[slot])
    }

    /// Keeps the counts of the object at a place.
    pub(crate) fn set_usage(&mut self, place: Slot, usage: Usage) {
        self.set(place, Value::Object(1));
        let usages = &mut self.store().usages;
        match usages.binary_search_by_key(&place, |(place, _)| *place) {
            Ok(at) => usages[at].1 = usage,
            Err(at) => usages.insert(at, (place, usage)),
        }
    }

    /// The counts of the object at a place.
    pub(crate) fn usage(&self, place: Slot) -> Option<&Usage> {
        self.usages().find(|(other, _)| *other == place).map(|(_, usage)| usage)
    }

    /// The counts of all objects, in the order of their places.
    pub(crate) fn usages(&self) -> impl Iterator<Item = (Slot, &Usage)> {
        let stands = |place: Slot| matches!(self.get(place), Some(Value::Object(_)));
        let usages = self.store.as_ref().map_or(&[][..], |store| &store.usages);
        usages.iter().map(|(place, usage)| (*place, usage)).filter(move |(place, _)| stands(*place))
    }

    /// The slots that hold something, from a first to a last one.
    pub(crate) fn present(&self, first: Slot, last: Slot) -> impl Iterator<Item = Slot> {
        let mut word = first / 64;
        let mut bits = self.present.0[word] & (u64::MAX << (first % 64));
        std::iter::from_fn(move || {
            while bits == 0 {
                word += 1;
                bits = *self.present.0.get(word)?;
            }
            let slot = 64 * word + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            (slot <= last).then_some(slot)
        })
    }

    /// Whether any object stood at a place for counts: most events have none.
    #[inline]
    pub(crate) fn has_usage(&self) -> bool {
        self.store.as_ref().is_some_and(|store| !store.usages.is_empty())
    }

    /// Whether any slot from this one on holds something that is not empty.
    pub(crate) fn any_filled_from(&self, slot: Slot) -> bool {
        (slot..self.slots).any(|slot| match self.get(slot) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(_) | Value::Integer(_) | Value::Float(_)) => true,
            Some(_) => self.filled(slot),
        })
    }

    /// Present and not `null`.
    pub(crate) fn some(&self, slot: Slot) -> bool {
        !matches!(self.get(slot), None | Some(Value::Null))
    }

    /// A string, array or object that holds something.
    pub(crate) fn filled(&self, slot: Slot) -> bool {
        match self.get(slot) {
            Some(Value::Text { len, .. } | Value::Array(len) | Value::Object(len)) => len > 0,
            Some(Value::Length(len)) => len > 0,
            _ => false,
        }
    }

    /// Length of a string in bytes; 0 if it is none.
    pub(crate) fn length(&self, slot: Slot) -> u64 {
        match self.get(slot) {
            Some(Value::Text { len, .. }) => u64::from(len),
            Some(Value::Length(len)) => len,
            _ => 0,
        }
    }

    /// Bytes of a string that was kept.
    pub(crate) fn bytes(&self, slot: Slot) -> Option<&[u8]> {
        match self.get(slot)? {
            Value::Text { at, len } => {
                let arena = &self.store.as_ref()?.arena;
                arena.get(at as usize..at as usize + len as usize)
            }
            _ => None,
        }
    }

    /// A string that is not empty.
    pub(crate) fn text(&self, slot: Slot) -> Option<&[u8]> {
        self.bytes(slot).filter(|text| !text.is_empty())
    }

    /// Whether the slot holds this string.
    pub(crate) fn is(&self, slot: Slot, text: &str) -> bool {
        self.bytes(slot).is_some_and(|bytes| same(bytes, text.as_bytes()))
    }

    /// `true`, and nothing else.
    pub(crate) fn is_true(&self, slot: Slot) -> bool {
        self.get(slot) == Some(Value::Bool(true))
    }

    /// A count as of spec 1.1: integers, whole floats, digits in a string.
    #[inline]
    pub(crate) fn count(&self, slot: Slot) -> Option<u64> {
        match self.get(slot)? {
            Value::Integer(count) => Some(count),
            Value::Float(number) => {
                let whole = number.fract() == 0.0 && (0.0..=EXACT).contains(&number);
                whole.then_some(number as u64)
            }
            Value::Text { .. } => digits(self.bytes(slot)?),
            _ => None,
        }
    }

    /// A number of 0 or more that is finite.
    pub(crate) fn number(&self, slot: Slot) -> Option<f64> {
        match self.get(slot)? {
            Value::Integer(count) => Some(count as f64),
            Value::Float(number) => (number.is_finite() && number >= 0.0).then_some(number),
            Value::Text { .. } => decimal(self.bytes(slot)?),
            _ => None,
        }
    }

    /// A string, or a number as decimal text: how error codes come.
    pub(crate) fn code(&self, slot: Slot) -> Option<Cow<'_, [u8]>> {
        match self.get(slot)? {
            Value::Integer(number) => Some(number.to_string().into_bytes().into()),
            Value::Float(number) => Some(number.to_string().into_bytes().into()),
            _ => self.text(slot).map(Cow::Borrowed),
        }
    }
}

/// 1 to 19 ASCII digits, up to 2^63 - 1.
pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = text.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    (number <= i64::MAX as u64).then_some(number)
}

/// A decimal number in a string: digits, perhaps with a fraction or a power.
fn decimal(text: &[u8]) -> Option<f64> {
    let plain = text.first().is_some_and(u8::is_ascii_digit)
        && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'e' | b'E'));
    let number: f64 = std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()?;
    number.is_finite().then_some(number)
}

/// A JSON number that was found well-formed.
pub(crate) fn number(text: &[u8]) -> Value {
    if let Some(integer) = digits(text) {
        return Value::Integer(integer);
    }
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    Value::Float(parsed.unwrap_or(f64::NAN))
}
