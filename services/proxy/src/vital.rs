//! Threads without which the proxy cannot do its work. If one of them dies the
//! process ends, so that whoever runs it starts another, instead of accepting
//! connections that nobody serves or counting requests that nobody keeps.

use tokio::sync::mpsc;

/// Held by such a thread as long as it runs.
pub(crate) struct Vital {
    name: String,
    deaths: mpsc::Sender<Death>,
    finished: bool,
}

/// The end of a thread that should have gone on.
#[derive(Debug, thiserror::Error)]
#[error("the thread {name} died ({why}), without which the proxy cannot go on: start it again")]
pub struct Death {
    name: String,
    why: String,
}

impl Vital {
    pub(crate) fn new(name: &str, deaths: &mpsc::Sender<Death>) -> Self {
        Self { name: name.to_owned(), deaths: deaths.clone(), finished: false }
    }

    /// The thread's work is done.
    pub(crate) fn finished(mut self) {
        self.finished = true;
    }

    /// The thread cannot go on.
    pub(crate) fn failed(mut self, error: &dyn std::error::Error) {
        self.finished = true;
        self.die(error.to_string());
    }

    fn die(&self, why: String) {
        tracing::error!(thread = self.name, why, "a thread died: the proxy stops");
        // The first one ends the proxy; later ones are only logged.
        let _ = self.deaths.try_send(Death { name: self.name.clone(), why });
    }
}

impl Drop for Vital {
    fn drop(&mut self) {
        if !self.finished {
            self.die("a panic".to_owned());
        }
    }
}
