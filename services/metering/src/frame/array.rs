//! One JSON array written element by element (spec 3.3): each element is an
//! event that ends after its last byte.

use std::time::Duration;

use crate::reader::Reader;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// `[` must come.
    #[default]
    Start,
    /// The first element or `]`.
    First,
    /// An element must come.
    Next,
    /// Inside an element.
    Element,
    /// `,` or `]`.
    After,
    /// `]` was seen.
    Closed,
    /// This is no array.
    Bad,
}

/// Cuts a JSON array into its elements.
#[derive(Debug, Default)]
pub(crate) struct Array {
    state: State,
}

impl Array {
    /// A piece of the body that begins at a decoded offset.
    pub(crate) fn push(&mut self, bytes: &[u8], offset: u64, at: Duration, reader: &mut Reader) {
        let mut next = 0;
        while next < bytes.len() {
            let byte = bytes[next];
            if self.state == State::Element {
                next += reader.feed_some(&bytes[next..]);
                if reader.is_bad() {
                    self.fail(reader);
                } else if reader.is_whole() {
                    reader.end_event(b"", at, offset + next as u64);
                    self.state = State::After;
                }
                continue;
            }
            if byte.is_ascii_whitespace() {
                next += 1;
                continue;
            }
            self.state = match (self.state, byte) {
                (State::Start, b'[') => State::First,
                (State::First | State::After, b']') => State::Closed,
                (State::After, b',') => State::Next,
                // The byte is the first one of the element.
                (State::First | State::Next, _) => {
                    self.state = State::Element;
                    continue;
                }
                _ => return self.fail(reader),
            };
            next += 1;
        }
    }

    fn fail(&mut self, reader: &mut Reader) {
        self.state = State::Bad;
        reader.unread = true;
        reader.drop_event();
    }

    /// Whether the closing bracket was seen.
    pub(crate) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }
}
