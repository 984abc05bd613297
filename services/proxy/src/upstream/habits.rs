//! When an upstream closes connections that its answers left open, and so which of
//! them are safe to use again. Learned from its closes and its `Keep-Alive` header;
//! knows nothing of HTTP libraries or sockets.

use std::time::Duration;

/// How long a connection rests after an answer of a kind that this upstream is not
/// known to keep connections open after. Servers that close without saying so do it
/// within a few milliseconds.
const REST: Duration = Duration::from_millis(250);

/// Connections in a row that have to outlive their rest before it is left out.
const ENOUGH: u8 = 8;

/// Smallest and largest distance to the time after which the upstream closes idle
/// connections. Its clock starts earlier than ours, and a request takes a while to
/// get there.
const LEAST_MARGIN: Duration = Duration::from_millis(250);
const MOST_MARGIN: Duration = Duration::from_secs(2);

/// A connection that lives this many times longer than the learned idle time shows
/// that the close it was learned from had another cause, such as a restart.
const OUTLIVED: u32 = 3;

/// The last answer on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// One whose length was known.
    Document,
    /// One whose length was not known when it began.
    Stream,
}

/// What is known of one upstream.
#[derive(Debug, Default)]
pub(super) struct Habits {
    documents: Kept,
    streams: Kept,
    /// Idle time after which it closed a connection.
    seen: Option<Duration>,
    /// Idle time after which it says that it closes (`Keep-Alive: timeout=`).
    announced: Option<Duration>,
}

/// Whether connections stay open after one kind of answer.
#[derive(Debug, Default)]
struct Kept {
    /// One of them was closed within its rest.
    doubted: bool,
    /// Connections in a row that outlived their rest.
    outlived: u8,
}

impl Habits {
    /// Whether a connection may be used that has been idle for this long.
    pub(super) fn allow(&self, after: After, idle: Duration) -> bool {
        idle >= self.rest(after) && self.longest_idle().is_none_or(|longest| idle < longest)
    }

    /// The upstream closed a connection that had been idle for this long.
    pub(super) fn closed(&mut self, after: After, idle: Duration) {
        if idle < REST {
            *self.kept(after) = Kept { doubted: true, outlived: 0 };
            return;
        }
        // Halfway up: one early close, such as that of a restart, is forgotten.
        self.seen = Some(self.seen.map_or(idle, |seen| idle.min((seen + idle) / 2)));
    }

    /// A connection is still open that has been idle for this long. Gives whether it
    /// has outlived its rest, which counts once.
    pub(super) fn open(&mut self, after: After, idle: Duration) -> bool {
        if self.seen.is_some_and(|seen| idle > seen * OUTLIVED) {
            self.seen = None;
        }
        if idle < REST {
            return false;
        }
        let kept = self.kept(after);
        kept.outlived = kept.outlived.saturating_add(1);
        true
    }

    /// An answer said `Keep-Alive: timeout=` with this time.
    pub(super) fn announced(&mut self, timeout: Duration) {
        self.announced = Some(timeout);
    }

    fn rest(&self, after: After) -> Duration {
        // Streams have to prove it first; most servers that close without a word do
        // it after them.
        let trusted = match after {
            After::Document => !self.documents.doubted || self.documents.outlived >= ENOUGH,
            After::Stream => self.streams.outlived >= ENOUGH,
        };
        if trusted { Duration::ZERO } else { REST }
    }

    fn longest_idle(&self) -> Option<Duration> {
        let known = self.seen.into_iter().chain(self.announced).min()?;
        let margin = (known / 4).clamp(LEAST_MARGIN, MOST_MARGIN).min(known / 2);
        Some(known - margin)
    }

    fn kept(&mut self, after: After) -> &mut Kept {
        match after {
            After::Document => &mut self.documents,
            After::Stream => &mut self.streams,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_connection_rests_after_a_stream_until_enough_have_outlived_it() {
        let mut habits = Habits::default();
        assert!(habits.allow(After::Document, ms(0)));
        assert!(!habits.allow(After::Stream, ms(0)));
        assert!(habits.allow(After::Stream, REST));
        for _ in 0..ENOUGH {
            habits.open(After::Stream, REST);
        }
        assert!(habits.allow(After::Stream, ms(0)));
        habits.closed(After::Stream, ms(1));
        assert!(!habits.allow(After::Stream, ms(0)));
    }

    #[test]
    fn a_close_right_after_a_document_makes_documents_rest_too() {
        let mut habits = Habits::default();
        habits.closed(After::Document, ms(3));
        assert!(!habits.allow(After::Document, ms(0)));
        for _ in 0..ENOUGH {
            habits.open(After::Document, REST);
        }
        assert!(habits.allow(After::Document, ms(0)));
    }

    #[test]
    fn the_time_after_which_an_upstream_closes_is_kept_clear_of() {
        for (seen, used, unused) in
            [(1_000, 700, 800), (5_000, 3_700, 3_800), (60_000, 57_900, 58_100)]
        {
            let mut habits = Habits::default();
            habits.closed(After::Document, ms(seen));
            assert!(habits.allow(After::Document, ms(used)), "{seen}");
            assert!(!habits.allow(After::Document, ms(unused)), "{seen}");
        }
    }

    #[test]
    fn one_early_close_is_forgotten() {
        let mut habits = Habits::default();
        habits.closed(After::Document, ms(400));
        for _ in 0..8 {
            habits.closed(After::Document, ms(5_000));
        }
        assert!(habits.allow(After::Document, ms(3_500)));
        habits.closed(After::Document, ms(400));
        habits.open(After::Document, ms(1_300));
        assert!(habits.allow(After::Document, ms(60_000)));
    }

    #[test]
    fn an_announced_time_counts_as_far_as_it_is_short() {
        for (seconds, allowed) in [(5, false), (60, true), (u64::MAX, true)] {
            let mut habits = Habits::default();
            habits.announced(Duration::from_secs(seconds));
            assert_eq!(habits.allow(After::Document, ms(4_000)), allowed, "{seconds}");
        }
    }
}
