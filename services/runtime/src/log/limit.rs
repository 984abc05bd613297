//! A limit on lines from one place in the code, so that no client can fill a disk with
//! what it provokes. What was left out is said before the next line from there.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{Event, Metadata, Subscriber, callsite::Identifier};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Lines from one place within [`PERIOD`]; the counts begin anew with each period.
const MOST: u64 = 50;
const PERIOD: Duration = Duration::from_secs(10);

/// Writes the line of lines that were left out.
type Note = Box<dyn Fn(u64, &Metadata<'_>) -> String + Send + Sync>;

/// Writes lines as `F` does, but not too many from one place.
pub(super) struct Limited<F> {
    inner: F,
    /// A line that says how many lines like one were left out.
    note: Note,
    limit: Limit,
}

impl<F> Limited<F> {
    pub(super) fn new(
        inner: F,
        note: impl Fn(u64, &Metadata<'_>) -> String + Send + Sync + 'static,
    ) -> Self {
        Self { inner, note: Box::new(note), limit: Limit::default() }
    }
}

impl<S, N, F> FormatEvent<S, N> for Limited<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        match self.limit.judge(about.callsite(), Instant::now()) {
            Verdict::LeftOut => Ok(()),
            Verdict::Written { left_out } => {
                if left_out > 0 {
                    writeln!(writer, "{}", (self.note)(left_out, about))?;
                }
                self.inner.format_event(context, writer, event)
            }
        }
    }
}

/// Counts lines by the place that they come from.
#[derive(Debug, Default)]
struct Limit {
    places: Mutex<HashMap<Identifier, Place>>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    since: Instant,
    lines: u64,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Written, after so many that were not.
    Written {
        left_out: u64,
    },
    LeftOut,
}

impl Limit {
    fn judge(&self, place: Identifier, now: Instant) -> Verdict {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(place).or_insert(Place { since: now, lines: 0 });
        let mut left_out = 0;
        if now.duration_since(place.since) >= PERIOD {
            left_out = place.lines.saturating_sub(MOST);
            *place = Place { since: now, lines: 0 };
        }
        place.lines += 1;
        if place.lines > MOST { Verdict::LeftOut } else { Verdict::Written { left_out } }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{fmt::format, prelude::*};

    use super::*;
    use crate::log::output::Output;

    #[test]
    fn beyond_the_limit_lines_of_a_place_are_left_out_and_others_are_not() {
        let output = Output::default();
        let writer = output.clone();
        let format = Limited::new(format().without_time(), |_, _| "left out".to_owned());
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .event_format(format)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            (0..MOST + 30).for_each(|_| tracing::warn!("noisy"));
            tracing::warn!("quiet");
        });
        let text = output.text();
        let lines = |word: &str| text.lines().filter(|line| line.contains(word)).count() as u64;
        assert_eq!((lines("noisy"), lines("quiet")), (MOST, 1));
    }

    #[test]
    fn what_was_left_out_is_said_with_the_next_line() {
        let (limit, begin) = (Limit::default(), Instant::now());
        let place = tracing::callsite!(
            name: "test",
            kind: tracing::metadata::Kind::EVENT,
            fields:
        );
        let place = || tracing::callsite::Callsite::metadata(place).callsite();
        for _ in 0..MOST + 30 {
            limit.judge(place(), begin);
        }
        let later = begin + PERIOD;
        assert_eq!(limit.judge(place(), later), Verdict::Written { left_out: 30 });
        assert_eq!(limit.judge(place(), later), Verdict::Written { left_out: 0 });
    }
}
