//! What proxies count of themselves, on its way into the database: the last
//! report of each, written once a second for all of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    error::LimitedLog,
    store::{Report, Run, Store},
};

/// How often reports are written.
const EVERY: Duration = Duration::from_secs(1);

/// Limit of waiting reports while the database is unreachable. Dropping one loses
/// nothing: each connected proxy reports every second.
const MOST: usize = 10_000;

/// Reports that were not written yet.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    last: Mutex<BTreeMap<Run, Report>>,
    log: LimitedLog,
}

impl Reports {
    /// Takes a report.
    pub(super) fn note(&self, run: &Run, report: Report) {
        let mut last = self.last();
        if last.len() < MOST || last.contains_key(run) {
            last.insert(run.clone(), report);
        }
    }

    /// Writes for ever.
    pub(crate) async fn run(self: Arc<Self>, store: Arc<Store>) {
        store.prepared().await;
        loop {
            tokio::time::sleep(EVERY).await;
            self.write(&store).await;
        }
    }

    /// Writes what there is. What cannot be written waits, unless something newer
    /// came meanwhile.
    pub(crate) async fn write(&self, store: &Store) {
        let reports: Vec<_> = std::mem::take(&mut *self.last()).into_iter().collect();
        if reports.is_empty() {
            return;
        }
        if let Err(error) = store.write_reports(&reports).await {
            self.log.write(|held_back| {
                tracing::warn!(
                    error = error.detail(),
                    held_back,
                    "reports of proxies were not written; trying again"
                );
            });
            let mut last = self.last();
            let room = MOST.saturating_sub(last.len());
            for (run, report) in reports.into_iter().take(room) {
                last.entry(run).or_insert(report);
            }
        }
    }

    fn last(&self) -> MutexGuard<'_, BTreeMap<Run, Report>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
