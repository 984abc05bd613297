//! Budgets as metrics: as many as there may be budgets, which are few. Each replica shows
//! the state of all of them, whoever computed it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use modash_runtime::metric_table;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use crate::{budget::Unit, store::BudgetRow};

type Labels = [(&'static str, String); 2];
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// How many notices came to what.
type Notices = Family<[(&'static str, &'static str); 1], Counter>;

metric_table! {
    /// What is shown of budgets.
    struct Table {
        ratio: Gauges = Family::default(),
            gauge "modash_budget_spent_ratio" ["budget", "unit"]
            "What is spent of a budget in its period, as a share of its amount";
        spent: Gauges = Family::default(),
            gauge "modash_budget_spent" ["budget", "unit"]
            "What is spent of a budget in its period, in its unit: tokens or nano_usd";
        amount: Gauges = Family::default(),
            gauge "modash_budget_amount" ["budget", "unit"]
            "Amount of a budget, in its unit";
        unknown: Gauges = Family::default(),
            gauge "modash_budget_unknown_requests" ["budget", "unit"]
            "Requests of a budget's period that spent an unknown amount, which is not in it";
        notices: Notices = Family::default(),
            counter "modash_budget_notices" ["result"]
            "Notices of budgets that this replica made, delivered, failed to deliver once, or gave up";
    }
}

/// What is shown of budgets, without those that are gone.
#[derive(Debug, Clone)]
pub(crate) struct BudgetMetrics {
    table: Table,
    shown: Arc<Mutex<BTreeSet<Labels>>>,
}

impl BudgetMetrics {
    pub(crate) const DESCRIPTIONS: &'static [modash_runtime::Description] = Table::DESCRIPTIONS;

    pub(crate) fn register(metrics: &modash_runtime::Metrics) -> Self {
        Self { table: Table::register(metrics), shown: Arc::default() }
    }

    /// Shows these budgets and no others.
    pub(crate) fn show(&self, budgets: &[BudgetRow]) {
        let mut now = BTreeSet::new();
        for row in budgets.iter().filter(|row| row.computed_at.is_some()) {
            let unit = Unit::of_number(row.unit).name().to_owned();
            let labels = [("budget", row.name.clone()), ("unit", unit)];
            for (gauges, value) in self.gauges().into_iter().zip([
                row.spent as f64 / row.amount.max(1) as f64,
                row.spent as f64,
                row.amount as f64,
                row.unknown_requests as f64,
            ]) {
                gauges.get_or_create(&labels).set(value);
            }
            now.insert(labels);
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.difference(&now) {
            self.gauges().into_iter().for_each(|gauges| {
                gauges.remove(gone);
            });
        }
        *shown = now;
    }

    fn gauges(&self) -> [&Gauges; 4] {
        let table = &self.table;
        [&table.ratio, &table.spent, &table.amount, &table.unknown]
    }

    /// Notices were made.
    pub(crate) fn made(&self, notices: u64) {
        self.table.notices.get_or_create(&[("result", "made")]).inc_by(notices);
    }

    /// A notice was sent, with success or not.
    pub(crate) fn attempted(&self, delivered: bool) {
        let result = if delivered { "delivered" } else { "failed" };
        self.table.notices.get_or_create(&[("result", result)]).inc();
    }

    /// A notice was given up.
    pub(crate) fn given_up(&self) {
        self.table.notices.get_or_create(&[("result", "given_up")]).inc();
    }
}
