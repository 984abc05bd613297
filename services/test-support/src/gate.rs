//! A moment that the test decides on.

use std::sync::Arc;

use tokio::sync::watch;

/// Closed until [`Gate::open`]; clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Returns when the gate is open.
    pub async fn passed(&self) {
        // The sender cannot be gone: it is borrowed here.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}
