//! How far a long command is: a bar where people look, a line every few seconds
//! where it goes to a file. Always on standard error.

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::table::grouped;

const BAR_WIDTH: u64 = 24;

/// How often a bar is drawn, and how often a line is written.
const BAR_PAUSE: Duration = Duration::from_millis(100);
const LINE_PAUSE: Duration = Duration::from_secs(5);

/// A long command's progress. Shared by all who work on it.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    unit: &'static str,
    total: Option<u64>,
    begun: Instant,
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    done: u64,
    shown: Instant,
}

impl Progress {
    /// Begins: `what` is done ("generating"), counted in `unit` ("rows").
    pub(super) fn new(what: &'static str, unit: &'static str, total: Option<u64>) -> Self {
        let begun = Instant::now();
        let state = Mutex::new(State { done: 0, shown: begun });
        Self { what, unit, total, begun, terminal: std::io::stderr().is_terminal(), state }
    }

    /// So many more are done.
    pub(super) fn add(&self, count: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += count;
        let pause = if self.terminal { BAR_PAUSE } else { LINE_PAUSE };
        if state.shown.elapsed() >= pause {
            state.shown = Instant::now();
            self.show(state.done, if self.terminal { "\r\x1b[K" } else { "" });
        }
    }

    /// Says how it went.
    pub(super) fn finish(&self) {
        let done = self.state.lock().unwrap_or_else(PoisonError::into_inner).done;
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = grouped(rate(done, seconds));
        let text = format!(
            "{clear}{}: {} {} in {}, {rate} a second\n",
            self.what,
            grouped(done),
            self.unit,
            duration(seconds),
        );
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    fn show(&self, done: u64, begin: &str) {
        let mut text = format!("{begin}{}", self.line(done, self.begun.elapsed().as_secs_f64()));
        if !self.terminal {
            text.push('\n');
        }
        // Whoever closed standard error does not want to know.
        let mut out = std::io::stderr().lock();
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }

    fn line(&self, done: u64, seconds: f64) -> String {
        let mut line = format!("{} ", self.what);
        let rate = rate(done, seconds);
        let Some(total) = self.total.filter(|total| *total > 0) else {
            let _ = write!(line, "{} {}, {} a second", grouped(done), self.unit, grouped(rate));
            return line;
        };
        let done = done.min(total);
        if self.terminal {
            let full = (done * BAR_WIDTH / total) as usize;
            let _ =
                write!(line, "[{}{}] ", "#".repeat(full), "-".repeat(BAR_WIDTH as usize - full));
        }
        let percent = done as f64 / total as f64 * 100.0;
        let _ = write!(
            line,
            "{percent:.0} %, {} of {} {}, {} a second",
            grouped(done),
            grouped(total),
            self.unit,
            grouped(rate)
        );
        if rate > 0 && done < total {
            let _ = write!(line, ", {} left", duration((total - done) as f64 / rate as f64));
        }
        line
    }
}

fn rate(done: u64, seconds: f64) -> u64 {
    (done as f64 / seconds.max(1e-3)) as u64
}

/// In the two largest units.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_how_fast_and_how_long_it_will_take() {
        let mut progress = Progress::new("generating", "rows", Some(10_000));
        progress.terminal = false;
        assert_eq!(
            progress.line(2_500, 5.0),
            "generating 25 %, 2,500 of 10,000 rows, 500 a second, 15 s left"
        );
        progress.terminal = true;
        assert!(
            progress.line(5_000, 5.0).starts_with("generating [############------------] 50 %")
        );
    }

    #[test]
    fn without_a_total_it_only_counts() {
        let progress = Progress::new("exporting", "rows", None);
        assert_eq!(progress.line(1_000, 2.0), "exporting 1,000 rows, 500 a second");
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let texts = [0.04, 9.96, 75.0, 3_700.0].map(duration);
        assert_eq!(texts, ["0.0 s", "10 s", "1 min 15 s", "1 h 1 min"]);
    }
}
