//! Sends an answer: step by step, at its pace, and wrong where it is meant to go
//! wrong.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    stats::Tally,
    transcript::{Step, Transcript},
    turn::Pace,
};

/// One write of filler.
static FILLER: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// A response body.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    transcript: Arc<Transcript>,
    pace: Pace,
    /// Number of the next step.
    next: usize,
    /// Offset of the next byte.
    at: usize,
    /// Filler that is still to come in the current step.
    filler: u64,
    /// The pause before the current step is over.
    paused: bool,
    /// When the next token is due.
    due: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    sent: u64,
    tally: Option<Tally>,
}

impl AnswerBody {
    /// A body that is sent as fast as the connection takes it; `None` counts
    /// nothing.
    pub(crate) fn new(transcript: Arc<Transcript>, pace: Pace, tally: Option<Tally>) -> Self {
        let mut body = Self {
            transcript,
            pace,
            next: 0,
            at: 0,
            filler: 0,
            paused: false,
            due: Instant::now() + pace.prefill,
            timer: None,
            sent: 0,
            tally,
        };
        // An empty body is never polled.
        body.complete_at_the_end();
        body
    }

    fn complete_at_the_end(&mut self) {
        if self.next >= self.transcript.steps.len()
            && let Some(tally) = self.tally.take()
        {
            tally.complete();
        }
    }

    /// Waits for the next token, or for one turn of the event loop so that what
    /// was sent leaves as a write of its own.
    fn poll_pause(&mut self, token: bool, context: &mut Context<'_>) -> Poll<()> {
        if self.paused {
            return Poll::Ready(());
        }
        if token && self.due > Instant::now() {
            let due = self.due;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(context));
            self.paused = true;
            return Poll::Ready(());
        }
        self.paused = true;
        if self.next == 0 || self.pace.burst {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn take(&mut self, length: usize) -> Bytes {
        let bytes = self.transcript.text.slice(self.at..self.at + length);
        self.at += length;
        bytes
    }

    fn step_done(&mut self) {
        self.next += 1;
        self.paused = false;
        self.complete_at_the_end();
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        loop {
            let Some(step) = this.transcript.steps.get(this.next).cloned() else {
                return Poll::Ready(None);
            };
            let frame = match step {
                Step::Send { end, token } => {
                    ready!(this.poll_pause(token, context));
                    if token {
                        this.due += this.pace.token_interval;
                    }
                    let frame = this.take(end - this.at);
                    this.step_done();
                    frame
                }
                Step::Fill(length) => {
                    if this.filler == 0 {
                        this.filler = length;
                    }
                    let write = this.filler.min(FILLER.len() as u64);
                    this.filler -= write;
                    if this.filler == 0 {
                        this.step_done();
                    }
                    Bytes::from_static(&FILLER[..write as usize])
                }
                Step::Break => {
                    ready!(this.poll_pause(false, context));
                    if let Some(tally) = this.tally.take() {
                        tally.broken();
                    }
                    let cut = io::Error::new(io::ErrorKind::ConnectionAborted, "cut on purpose");
                    return Poll::Ready(Some(Err(cut)));
                }
                // Nobody wakes this body again; it ends with the connection.
                Step::Stall => return Poll::Pending,
            };
            if !frame.is_empty() {
                this.sent += frame.len() as u64;
                return Poll::Ready(Some(Ok(Frame::data(frame))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.transcript.steps.len()
    }

    fn size_hint(&self) -> SizeHint {
        match self.transcript.length {
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.sent)),
            None => SizeHint::default(),
        }
    }
}

/// Time before the head of a response.
pub(crate) fn time_before_head(stream: bool, pace: Pace, generation: Duration) -> Duration {
    if stream { pace.delay } else { pace.delay + generation }
}
