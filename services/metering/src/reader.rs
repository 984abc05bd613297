//! From the JSON of one event to the record: scans it as it comes, and when the
//! event has ended as a whole lets the dialect take what it says.

use std::time::Duration;

use crate::echo::{Echo, Marks};
use crate::json::{Malformed, Scanner, Slots};
use crate::limits::Limits;
use crate::record::{Content, Record, Session};
use crate::wire::{Event, Headers, Wire};

/// Reads events of one response.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) wire: &'static Wire,
    pub(crate) record: Record,
    pub(crate) headers: Headers,
    pub(crate) limits: Limits,
    scanner: Scanner,
    slots: Slots,
    echo: Echo,
    /// Bytes of the event so far.
    bytes: usize,
    /// The event cannot be read.
    bad: bool,
    /// Some event could not.
    pub(crate) unread: bool,
    /// The elements are answers side by side, not events in time.
    list: bool,
}

/// What an ended event was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It had no data.
    Blank,
    /// Its JSON was whole.
    Whole,
    /// It was not.
    Bad,
}

impl Reader {
    pub(crate) fn new(wire: &'static Wire, headers: Headers, limits: Limits) -> Self {
        Self {
            wire,
            record: Record::default(),
            headers,
            limits,
            scanner: Scanner::new(&limits),
            slots: Slots::new(wire.shape.slots()),
            echo: Echo::default(),
            bytes: 0,
            bad: false,
            unread: false,
            list: false,
        }
    }

    /// A piece of the current event, which is one JSON value.
    #[inline]
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if self.feed_first(bytes).is_some() {
            self.bad = true;
        }
    }

    /// A piece of the current event, which may be followed by others in the same
    /// text: returns where the next JSON object begins.
    #[inline]
    pub(crate) fn feed_first(&mut self, bytes: &[u8]) -> Option<usize> {
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > self.limits.event_bytes {
            self.bad = true;
        }
        self.feed_document(bytes)
    }

    /// The same for a document, of any length.
    #[inline]
    pub(crate) fn feed_document(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.bad {
            return None;
        }
        let Ok(read) = self.scanner.feed(bytes, self.wire.shape, &mut self.slots) else {
            self.bad = true;
            return None;
        };
        let next = read + bytes[read..].iter().position(|byte| !byte.is_ascii_whitespace())?;
        if bytes[next] == b'{' {
            return Some(next);
        }
        self.bad = true;
        None
    }

    /// A piece of the current event of which only the part up to the end of the
    /// value belongs to it. Returns the length of that part.
    pub(crate) fn feed_some(&mut self, bytes: &[u8]) -> usize {
        match self.scanner.feed(bytes, self.wire.shape, &mut self.slots) {
            Ok(read) => read,
            Err(Malformed) => {
                self.bad = true;
                bytes.len()
            }
        }
    }

    /// Whether the JSON of the current event has ended.
    pub(crate) fn is_whole(&self) -> bool {
        !self.bad && self.scanner.is_done()
    }

    /// Whether JSON of the current event has begun and not ended.
    pub(crate) fn is_open(&self) -> bool {
        !self.bad && !self.scanner.is_fresh() && !self.scanner.is_done()
    }

    /// Whether the current event turned out not to be JSON.
    pub(crate) fn is_bad(&self) -> bool {
        self.bad
    }

    /// An event of which all data lies in one piece, and which ends at this
    /// decoded offset. Data of several events is left to be read apart.
    #[inline]
    pub(crate) fn whole_event(
        &mut self,
        data: &[u8],
        name: &[u8],
        at: Duration,
        offset: u64,
    ) -> bool {
        if let Some(content) = self.echo.content(data, name) {
            self.record.content = content;
            self.account(at, offset);
            return true;
        }
        if self.feed_first(data).is_some() {
            self.drop_event();
            return false;
        }
        let marks = self.marks();
        let content = self.end_event(name, at, offset) == Ended::Whole && self.record.content.any();
        if content && self.record.session.is_none() {
            self.echo.learn(data, name, &marks, self.record.content);
        }
        true
    }

    /// Strings of the current event that the next one may differ in.
    pub(crate) fn marks(&self) -> Marks {
        self.scanner.marks.clone()
    }

    /// An event of a stream has ended at this decoded offset.
    #[inline]
    pub(crate) fn end_event(&mut self, name: &[u8], at: Duration, offset: u64) -> Ended {
        let ended = self.end(name, false);
        if ended == Ended::Whole {
            self.account(at, offset);
        }
        ended
    }

    #[inline]
    fn account(&mut self, at: Duration, offset: u64) {
        let Content { visible, hidden } = self.record.content;
        if visible + hidden > 0 && !self.list {
            self.record.clock.content(self.record.content, at, offset);
            self.record.content_bytes = self.record.content_bytes.saturating_add(visible + hidden);
        }
        if let Some(stated) = &mut self.record.rate_limits {
            stated.settle(at);
        }
        let Some(session) = &mut self.record.session else { return };
        session.open |= visible + hidden > 0;
        if self.record.terminal || self.list {
            let tokens = (self.wire.tokens)(&self.record);
            self.record.close_response(tokens, self.limits.realtime_records);
            self.record.position += u64::from(self.list);
        }
    }

    /// The body is a list of answers: their counts are added up.
    pub(crate) fn begin_list(&mut self) {
        self.list = true;
        self.record.session = Some(Session::default());
    }

    /// Whether a response of the session has begun and not ended.
    pub(crate) fn is_within(&self) -> bool {
        self.record.session.as_ref().is_some_and(|session| session.open)
    }

    /// The body has ended, which was one document.
    pub(crate) fn end_document(&mut self) -> Ended {
        self.end(b"", true)
    }

    /// Forgets the current event.
    pub(crate) fn drop_event(&mut self) {
        self.scanner.reset();
        self.slots.reset();
        self.bytes = 0;
        self.bad = false;
    }

    fn end(&mut self, name: &[u8], document: bool) -> Ended {
        let ended = if self.bad {
            Ended::Bad
        } else if self.scanner.is_fresh() {
            Ended::Blank
        } else if self.scanner.end(self.wire.shape, &mut self.slots).is_ok() {
            self.record.content = Content::default();
            let event = Event { slots: &self.slots, name, document, headers: &self.headers };
            (self.wire.event)(&event, &mut self.record);
            self.record.answered |= self.record.content.any();
            self.echo.forget();
            Ended::Whole
        } else {
            Ended::Bad
        };
        // An error may be told in plain text.
        if ended == Ended::Bad && name == b"error" {
            self.record.fail(None);
        }
        self.unread |= ended == Ended::Bad;
        self.drop_event();
        ended
    }
}
