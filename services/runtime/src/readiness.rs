//! Readiness as a latch: parts hold it while they are not ready and let go by
//! dropping their hold, so that nobody can forget to set a flag.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

/// Ready when nothing holds it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    held: Arc<(Mutex<BTreeMap<String, usize>>, Notify)>,
}

/// Keeps the process from being ready until it is dropped.
#[derive(Debug)]
pub struct Hold {
    readiness: Readiness,
    name: String,
}

impl Readiness {
    /// Not ready until the hold is dropped; `name` says what is waited for.
    #[must_use]
    pub fn hold(&self, name: impl Into<String>) -> Hold {
        let name = name.into();
        self.change(|held| *held.entry(name.clone()).or_default() += 1);
        self.held.1.notify_waiters();
        Hold { readiness: self.clone(), name }
    }

    /// What is waited for; empty when ready.
    #[must_use]
    pub fn waiting_for(&self) -> Vec<String> {
        self.change(|held| held.keys().cloned().collect())
    }

    /// Waits until nothing holds it.
    pub async fn ready(&self) {
        self.until(true).await;
    }

    /// Waits until it is ready, or until it is not.
    pub async fn until(&self, ready: bool) {
        loop {
            let mut changed = std::pin::pin!(self.held.1.notified());
            changed.as_mut().enable();
            if self.waiting_for().is_empty() == ready {
                return;
            }
            changed.await;
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, usize>) -> T) -> T {
        change(&mut self.held.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.readiness.change(|held| {
            if let Some(count) = held.get_mut(&self.name) {
                *count -= 1;
                if *count == 0 {
                    held.remove(&self.name);
                }
            }
        });
        self.readiness.held.1.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_comes_when_the_last_hold_is_dropped() {
        let readiness = Readiness::default();
        let (first, second) = (readiness.hold("database"), readiness.hold("database"));
        assert_eq!(readiness.waiting_for(), ["database"]);
        drop(first);
        assert_eq!(readiness.waiting_for(), ["database"]);
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        drop(second);
        waiting.await.unwrap();
        assert!(readiness.waiting_for().is_empty());
    }
}
