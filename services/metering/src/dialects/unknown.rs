//! Everything that is no known dialect: passes through, no counts are read. Only
//! the kind of an HTTP error is.

use std::sync::LazyLock;

use crate::dialect::Operation;
use crate::json::Shape;
use crate::reading::Tokens;
use crate::target::{Ask, Route};
use crate::wire::{COMMON, Framing, Wire, note_error};

static SHAPE: LazyLock<Shape> = LazyLock::new(|| Shape::new(COMMON));

pub(crate) static UNKNOWN: Wire = Wire {
    id: "unknown",
    operation: Operation::Other,
    route: |_| Some(Route { ask: Ask::Member, ..Route::default() }),
    shape: &SHAPE,
    event: |event, record| {
        if event.headers.status >= 400 {
            note_error(event, record);
        }
    },
    tokens: |_| Tokens::default(),
    framing: Framing::Any,
    done: true,
};
