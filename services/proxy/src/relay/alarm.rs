//! One alarm for each connection. It is moved without touching the timer: a timer
//! that rings too early is set again, so that a deadline which moves with every
//! read costs nothing.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Wakes its task at a deadline.
#[derive(Default)]
pub(super) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    deadline: Option<Instant>,
}

impl Alarm {
    /// Rings after this time; `None`: never.
    pub(super) fn set(&mut self, after: Option<Duration>) {
        self.deadline = after.map(|after| Instant::now() + after);
    }

    /// Ready when it rings; then it is off.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline || timer.is_elapsed() {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= deadline {
                self.deadline = None;
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}
