//! A table of paths, compiled to a trie. `a.b[].c` is member `c` of every
//! element of array `b` of member `a`. A last segment that begins with `~` is
//! never read: it is a place where a fold leaves its result, and it is cleared
//! with its parent as if it were a member. A row may have several paths, with a
//! space between them. A path that begins with `@` is one of a member of every
//! object whose row keeps `Members`: they are written once for all of them.

use crate::json::slots::{Mask, SLOTS, Slot, Slots};
use crate::json::text::same;

/// Called when an array element has ended, with its index; afterwards all slots
/// below the element are cleared. For an object that keeps `Members`, called when
/// it has ended, with its slot.
pub(crate) type Fold = fn(&mut Slots, u64);

/// What is kept of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The value; strings up to the limit.
    Value,
    /// Of strings, only their length. For generated text, which is never held.
    Length,
    /// Of strings, only the number of their Unicode characters.
    Characters,
    /// Of an object, the members whose paths begin with `@`.
    Members,
}

/// One path of a shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) path: &'static str,
    pub(crate) keep: Keep,
    pub(crate) fold: Option<Fold>,
}

/// Place in the trie; `DEAD` is anywhere outside it.
pub(crate) type Place = u16;
pub(crate) const DEAD: Place = 0;
pub(crate) const ROOT: Place = 1;

const BUCKETS: usize = 32;

#[derive(Debug)]
pub(crate) struct Node {
    key: Box<[u8]>,
    /// The first eight bytes of the key, and the last eight.
    head: u64,
    tail: u64,
    /// Next child of the same parent and bucket.
    next: Place,
    children: [Place; BUCKETS],
    /// Place of the elements, if this is an array of interest.
    pub(crate) element: Place,
    pub(crate) slot: Option<(Slot, Keep)>,
    pub(crate) fold: Option<Fold>,
    /// Slots at and below this place.
    pub(crate) below: Mask,
}

/// A compiled table of paths.
#[derive(Debug)]
pub(crate) struct Shape {
    nodes: Vec<Node>,
    slots: usize,
}

/// Parent of the members that objects share.
const SHARED: Place = 2;

impl Shape {
    /// Compiles rows; the slot of a row is its index. Shared members come before
    /// the objects that have them.
    pub(crate) fn new<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        let nodes = [DEAD, ROOT, SHARED].map(|_| Node::new(b""));
        let mut shape = Self { nodes: nodes.into(), slots: 0 };
        for row in rows {
            let slot = shape.slots;
            debug_assert!(slot < SLOTS, "a shape has too many rows");
            for path in row.path.split(' ') {
                shape.add(slot, path, row);
            }
            shape.slots += 1;
        }
        shape
    }

    fn add(&mut self, slot: Slot, path: &str, row: &Row) {
        let (mut place, path) = match path.strip_prefix('@') {
            Some(path) => (SHARED, path),
            None => (ROOT, path),
        };
        self.node_mut(place).below.insert(slot);
        for segment in path.split('.') {
            let key = segment.trim_end_matches("[]");
            if key.starts_with('~') {
                return;
            }
            if !key.is_empty() {
                place = self.child_or_new(place, key.as_bytes());
                self.node_mut(place).below.insert(slot);
            }
            for _ in 0..(segment.len() - key.len()) / 2 {
                place = self.element_or_new(place);
                self.node_mut(place).below.insert(slot);
            }
        }
        let (children, below) = (self.node(SHARED).children, self.node(SHARED).below);
        let node = self.node_mut(place);
        debug_assert!(node.slot.is_none(), "{path} stands in two rows");
        node.slot = Some((slot, row.keep));
        node.fold = row.fold;
        if row.keep == Keep::Members {
            debug_assert!(node.children == [DEAD; BUCKETS], "{path} has members of its own");
            node.children = children;
            node.below.insert_all(below);
        }
    }

    fn child_or_new(&mut self, parent: Place, key: &[u8]) -> Place {
        let found = self.child(self.node(parent), key, key.len());
        if found != DEAD {
            return found;
        }
        let place = self.push(key);
        let bucket = bucket(head(key, key.len()), key.len());
        let next = std::mem::replace(&mut self.node_mut(parent).children[bucket], place);
        self.node_mut(place).next = next;
        place
    }

    fn element_or_new(&mut self, parent: Place) -> Place {
        if self.node(parent).element == DEAD {
            let place = self.push(b"");
            self.node_mut(parent).element = place;
        }
        self.node(parent).element
    }

    fn push(&mut self, key: &[u8]) -> Place {
        self.nodes.push(Node::new(key));
        Place::try_from(self.nodes.len() - 1).unwrap_or(DEAD)
    }

    fn node_mut(&mut self, place: Place) -> &mut Node {
        &mut self.nodes[usize::from(place)]
    }

    /// The node at a place.
    pub(crate) fn node(&self, place: Place) -> &Node {
        &self.nodes[usize::from(place)]
    }

    /// Place of the member whose key of this length stands at the start of `bytes`;
    /// `DEAD` if it is of no interest.
    #[inline]
    pub(crate) fn child(&self, parent: &Node, bytes: &[u8], length: usize) -> Place {
        let head = head(bytes, length);
        let mut place = parent.children[bucket(head, length)];
        while place != DEAD {
            let node = self.node(place);
            if node.head == head
                && node.key.len() == length
                && (length <= 8 || node.tail == tail(&bytes[..length]))
                && (length <= 16 || same(&node.key[8..], &bytes[8..length]))
            {
                return place;
            }
            place = node.next;
        }
        DEAD
    }

    /// Number of slots.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }
}

impl Node {
    fn new(key: &[u8]) -> Self {
        Self {
            key: key.into(),
            head: head(key, key.len()),
            tail: tail(key),
            next: DEAD,
            children: [DEAD; BUCKETS],
            element: DEAD,
            slot: None,
            fold: None,
            below: Mask::default(),
        }
    }
}

/// The first eight bytes of a key, zeros after its end.
#[inline]
fn head(bytes: &[u8], length: usize) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(eight) if length >= 8 => u64::from_le_bytes(*eight),
        Some(eight) => u64::from_le_bytes(*eight) & ((1 << (8 * length)) - 1),
        None => bytes[..length].iter().rev().fold(0, |head, byte| head << 8 | u64::from(*byte)),
    }
}

/// The last eight bytes of a key; 0 if it is shorter.
#[inline]
fn tail(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// Head and length tell the keys of one object apart almost always.
#[inline]
fn bucket(head: u64, length: usize) -> usize {
    let mixed = (head ^ length as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - BUCKETS.ilog2())) as usize
}
