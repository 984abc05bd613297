//! Most events of a stream differ from the one before only in the text that was
//! generated. Such an event is recognised by comparing bytes, which costs a
//! fraction of scanning it, and says nothing that the one just before it did not.

use std::ops::Range;

use crate::json::{plain, same};
use crate::record::Content;

/// Longest event that is learned, without its text.
const LONGEST: usize = 1 << 10;

/// Places of the strings of an event that change.
#[derive(Debug, Default, Clone)]
pub(crate) struct Marks {
    /// The generated text.
    pub(crate) text: Option<Range<usize>>,
    /// The last string after it that nobody reads, such as padding.
    pub(crate) padding: Option<Range<usize>>,
}

/// An event without its text.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    learned: bool,
    head: Vec<u8>,
    middle: Vec<u8>,
    /// What follows the padding, if there is any.
    tail: Option<Vec<u8>>,
    name: Vec<u8>,
    hidden: bool,
    misses: u32,
}

impl Echo {
    /// The content of an event that is like the learned one.
    #[inline]
    pub(crate) fn content(&mut self, event: &[u8], name: &[u8]) -> Option<Content> {
        if !self.learned {
            return None;
        }
        let length = self.text_of(event).filter(|_| same(name, &self.name))? as u64;
        self.misses = 0;
        Some(if self.hidden {
            Content { visible: 0, hidden: length }
        } else {
            Content { visible: length, hidden: 0 }
        })
    }

    /// Length of the text, if all the rest is the same.
    #[inline]
    fn text_of(&self, event: &[u8]) -> Option<usize> {
        let rest = after(event, &self.head)?;
        let length = plain(rest);
        let rest = after(&rest[length..], &self.middle)?;
        let same = match &self.tail {
            None => rest.is_empty(),
            Some(tail) => after(&rest[plain(rest)..], tail).is_some_and(<[u8]>::is_empty),
        };
        (same && length > 0).then_some(length)
    }

    /// Another event was read: one like the learned one would say something new
    /// again, such as a lower count than the last.
    #[inline]
    pub(crate) fn forget(&mut self) {
        self.learned = false;
    }

    /// Learns an event that was read and had this content.
    pub(crate) fn learn(&mut self, event: &[u8], name: &[u8], marks: &Marks, content: Content) {
        self.misses = self.misses.saturating_add(1);
        // Where no two events are alike, learning each would be wasted.
        if self.misses > 4 && !self.misses.is_multiple_of(16) {
            return;
        }
        let Some(text) = marks.text.clone() else { return };
        let length = text.len() as u64;
        let all = (content.visible == length && content.hidden == 0)
            || (content.hidden == length && content.visible == 0);
        if !all || length == 0 || event.len() - text.len() > LONGEST {
            return;
        }
        let padding = marks.padding.clone().filter(|padding| padding.start > text.end);
        let middle_end = padding.as_ref().map_or(event.len(), |padding| padding.start);
        for (part, bytes) in [
            (&mut self.head, &event[..text.start]),
            (&mut self.middle, &event[text.end..middle_end]),
            (&mut self.name, name),
        ] {
            part.clear();
            part.extend_from_slice(bytes);
        }
        self.tail = padding.map(|padding| event[padding.end..].to_vec());
        self.hidden = content.hidden > 0;
        self.learned = true;
    }
}

/// What follows a prefix.
#[inline]
fn after<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = bytes.split_at_checked(prefix.len())?;
    same(start, prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::limits::Limits;
    use crate::reader::Reader;
    use crate::wire::Headers;
    use std::time::Duration;

    fn hits(events: &[&str]) -> usize {
        let wire = Dialect::OpenAiChat.wire();
        let mut reader = Reader::new(wire, Headers::default(), Limits::default());
        let mut echo = Echo::default();
        let mut hits = 0;
        for event in events {
            hits += usize::from(echo.content(event.as_bytes(), b"").is_some());
            reader.feed(event.as_bytes());
            let marks = reader.marks();
            reader.end_event(b"", Duration::ZERO, 0);
            echo.learn(event.as_bytes(), b"", &marks, reader.record.content);
        }
        hits
    }

    #[test]
    fn events_that_differ_in_text_and_padding_are_known() {
        let event = |text: &str, padding: &str| {
            format!(
                r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}],"usage":null,"obfuscation":"{padding}"}}"#
            )
        };
        let (one, two, three) = (event("a", "xx"), event("bcd", "x"), event("e", ""));
        assert_eq!(hits(&[&one, &two, &three]), 2);
    }

    #[test]
    fn an_event_that_differs_elsewhere_is_read() {
        let event = |text: &str, finish: &str| {
            format!(
                r#"{{"choices":[{{"delta":{{"content":"{text}"}},"finish_reason":{finish}}}]}}"#
            )
        };
        let (one, two) = (event("a", "null"), event("b", "\"stop\""));
        let (empty, escaped) = (event("", "null"), event("\\n", "null"));
        assert_eq!(hits(&[&one, &two]), 0);
        assert_eq!(hits(&[&one, &empty]), 0);
        assert_eq!(hits(&[&one, &escaped]), 0);
        assert_eq!(hits(&[&one, &one]), 1);
    }
}
