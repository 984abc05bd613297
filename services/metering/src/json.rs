//! Incremental JSON. A `Shape` is a small table of exact paths; the `Scanner`
//! walks JSON of any size in pieces of any size and puts the values found at
//! those paths into `Slots`. Nothing else of the JSON is held.

mod scanner;
mod shape;
mod slots;
mod text;

pub(crate) use scanner::{Malformed, Scanner, cut};
pub(crate) use shape::{Fold, Keep, Row, Shape};
pub(crate) use slots::{Slot, Slots, Value, digits};
pub(crate) use text::{plain, same};
