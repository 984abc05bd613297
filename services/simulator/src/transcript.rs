//! An answer as it will go over the wire: its bytes, where one write ends and the
//! next begins, which of them wait for a token, and where it goes wrong.

use bytes::Bytes;

use crate::{turn::FILLER_MARK, wire::Object, wishes::Fault};

/// One step of sending a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send the text up to this offset; a token is a step that waits for the
    /// pace of the answer.
    Send { end: usize, token: bool },
    /// Send this many bytes of filler.
    Fill(u64),
    /// Cut the connection.
    Break,
    /// Send nothing more and do not end.
    Stall,
}

/// The body of an answer and the steps in which it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Transcript {
    pub(crate) text: Bytes,
    pub(crate) steps: Vec<Step>,
    /// Length of the whole body if it is announced (a plain answer).
    pub(crate) length: Option<u64>,
}

/// Collects the events of an answer.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    text: String,
    events: Vec<(usize, bool)>,
}

impl Writer {
    /// Adds an event that does not wait: a head, an end, a ping.
    pub(crate) fn event(&mut self, text: &str) {
        self.push(text, false);
    }

    /// Adds an event that carries a token.
    pub(crate) fn token(&mut self, text: &str) {
        self.push(text, true);
    }

    /// Adds a server-sent event without a name.
    pub(crate) fn data(&mut self, object: &Object, token: bool) {
        self.push(&format!("data: {}\n\n", object.text()), token);
    }

    /// Adds a server-sent event with a name.
    pub(crate) fn named(&mut self, name: &str, object: &Object, token: bool) {
        self.push(&format!("event: {name}\ndata: {}\n\n", object.text()), token);
    }

    /// Adds a line of JSON.
    pub(crate) fn line(&mut self, object: &Object, token: bool) {
        self.push(&format!("{}\n", object.text()), token);
    }

    fn push(&mut self, text: &str, token: bool) {
        self.text.push_str(text);
        self.events.push((self.text.len(), token));
    }

    /// Lets the stream go wrong in its middle, which is after half of its token
    /// events (of all, if none carries a token).
    pub(crate) fn fault(&mut self, fault: Option<Fault>, error_event: &str) -> Option<Step> {
        let tokens = self.events.iter().filter(|event| event.1).count();
        let middle = match tokens {
            0 => self.events.len() / 2,
            _ => self.nth_token(tokens / 2),
        };
        // Something always comes before it goes wrong.
        let middle = middle.max(1).min(self.events.len());
        let cut = if middle == 0 { 0 } else { self.events[middle - 1].0 };
        match fault? {
            Fault::Malformed => {
                self.break_event(middle);
                None
            }
            Fault::StreamError => {
                self.truncate(middle, cut);
                self.event(error_event);
                None
            }
            Fault::Break => {
                self.truncate(middle, cut);
                Some(Step::Break)
            }
            Fault::Stall => {
                self.truncate(middle, cut);
                Some(Step::Stall)
            }
            Fault::Empty => {
                self.truncate(0, 0);
                None
            }
            Fault::Drop => None,
        }
    }

    /// Index of the event with the token of this number, from 0.
    fn nth_token(&self, number: usize) -> usize {
        let mut tokens = self.events.iter().enumerate().filter(|(_, event)| event.1);
        tokens.nth(number).map_or(self.events.len(), |(index, _)| index)
    }

    fn truncate(&mut self, events: usize, bytes: usize) {
        self.events.truncate(events);
        self.text.truncate(bytes);
    }

    /// Takes the last half of an event away, but leaves its end.
    fn break_event(&mut self, index: usize) {
        let Some((end, _)) = self.events.get(index).copied() else {
            return;
        };
        let start = if index == 0 { 0 } else { self.events[index - 1].0 };
        let event = &self.text[start..end];
        let ending = event.trim_end_matches('\n').len();
        let keep = event.floor_char_boundary(ending / 2);
        self.text.replace_range(start + keep..start + ending, "");
        for event in &mut self.events[index..] {
            event.0 -= ending - keep;
        }
    }

    /// The finished stream. `body_bytes`: fill it up to this length, if a mark
    /// says where and it is shorter. `burst`: many events make one write.
    pub(crate) fn finish(
        self,
        last: Option<Step>,
        body_bytes: Option<u64>,
        burst: bool,
    ) -> Transcript {
        let mut steps = Vec::with_capacity(self.events.len() + 2);
        let events = if burst { bursts(&self.events) } else { self.events };
        steps.extend(events.into_iter().map(|(end, token)| Step::Send { end, token }));
        steps.extend(last);
        fill(Transcript { text: self.text.into(), steps, length: None }, body_bytes)
    }
}

/// Joins events to writes of up to 16 KiB, none of which waits.
fn bursts(events: &[(usize, bool)]) -> Vec<(usize, bool)> {
    const WRITE: usize = 16 * 1024;
    let mut writes: Vec<(usize, bool)> = Vec::new();
    let mut start = 0;
    for (end, _) in events {
        match writes.last_mut() {
            Some(last) if end - start <= WRITE => last.0 = *end,
            previous => {
                start = previous.map_or(0, |last| last.0);
                writes.push((*end, false));
            }
        }
    }
    writes
}

impl Transcript {
    /// A plain answer.
    pub(crate) fn plain(
        text: String,
        fault: Option<Fault>,
        error: &Object,
        body_bytes: Option<u64>,
    ) -> Self {
        let half = text.floor_char_boundary(text.len() / 2);
        let (text, steps) = match fault {
            Some(Fault::Empty) => (String::new(), vec![]),
            Some(Fault::StreamError) => {
                let text = error.text();
                let steps = vec![send(text.len())];
                (text, steps)
            }
            Some(Fault::Malformed) => (text[..half].to_owned(), vec![send(half)]),
            Some(Fault::Break) => (text, vec![send(half), Step::Break]),
            Some(Fault::Stall) => (text, vec![send(half), Step::Stall]),
            None | Some(Fault::Drop) => {
                let end = text.len();
                (text, vec![send(end)])
            }
        };
        let length = Some(text.len() as u64);
        let mut transcript = fill(Self { text: text.into(), steps, length }, body_bytes);
        if transcript.length == Some(0) {
            transcript.steps.clear();
        }
        transcript
    }
}

fn send(end: usize) -> Step {
    Step::Send { end, token: false }
}

/// Replaces the filler mark by as many bytes of filler as are missing.
fn fill(mut transcript: Transcript, body_bytes: Option<u64>) -> Transcript {
    let text = std::str::from_utf8(&transcript.text).unwrap_or_default();
    let Some(at) = text.find(FILLER_MARK) else {
        return transcript;
    };
    let mark = FILLER_MARK.len_utf8();
    let text = [&text[..at], &text[at + mark..]].concat();
    let missing = body_bytes.unwrap_or(0).saturating_sub(text.len() as u64);
    let mut steps = Vec::with_capacity(transcript.steps.len() + 2);
    let mut filled = false;
    for step in transcript.steps {
        match step {
            Step::Send { end, token } if end > at => {
                if !filled {
                    steps.push(Step::Send { end: at, token });
                    steps.push(Step::Fill(missing));
                }
                // The rest of the event with the mark has waited already.
                steps.push(Step::Send { end: end - mark, token: token && filled });
                filled = true;
            }
            other => steps.push(other),
        }
    }
    transcript.length = transcript.length.map(|_| text.len() as u64 + missing);
    transcript.text = text.into();
    transcript.steps = steps;
    transcript
}
