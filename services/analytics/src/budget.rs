//! Budgets: how much requests may use in a period. They inform; they never block.
//!
//! Each budget is computed in turn by one replica, which keeps the state in the database
//! for all of them and makes a notice for each share that is reached (`budget/compute`).
//! Notices are sent by any replica until the webhook takes them (`budget/deliver`).

use std::{sync::Arc, time::Duration};

use chrono_tz::Tz;
use modash_access::Scope;
use modash_proto::{
    Violations,
    v1::{self, CalendarPeriod},
};
use modash_runtime::{ClientTls, Metrics};
use prost::Message as _;
use tokio::sync::Notify;

use crate::{
    error::LimitedLog,
    filter::Filter,
    metrics::BudgetMetrics,
    rollup::{Sums, Token},
    store::{BudgetRow, Store},
};
use period::Period;

mod check;
mod compute;
mod deliver;
mod period;
mod tell;
mod webhook;

pub(crate) use check::{check, saved};
pub(crate) use tell::{origin, tell};

/// What a budget is counted in. The numbers are those of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Tokens = 1,
    NanoUsd = 2,
}

impl Unit {
    pub(crate) fn of_number(number: i16) -> Self {
        if number == Self::NanoUsd as i16 { Self::NanoUsd } else { Self::Tokens }
    }

    /// Its name in webhooks and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::NanoUsd => "nano_usd",
        }
    }

    /// What was spent, and by how many requests it is unknown or estimated.
    fn of(self, sums: &Sums) -> [i64; 3] {
        match self {
            Self::Tokens => {
                let spent = sums.tokens(Token::Total);
                [spent, sums.without_usage, sums.with_estimated_usage]
            }
            Self::NanoUsd => {
                let cost = &sums.cost;
                [cost.known.sum, cost.unknown, cost.estimated]
            }
        }
    }
}

/// A budget as it is computed.
struct Plan {
    filter: Filter,
    period: Period,
    zone: Tz,
    unit: Unit,
}

impl Plan {
    fn new(row: &BudgetRow) -> Self {
        // All of it was checked when it was saved.
        let filter = v1::Filter::decode(row.filter.as_slice()).unwrap_or_default();
        let filter = Filter::from_wire(Some(filter), &Scope::default(), &mut Violations::default());
        let period = match CalendarPeriod::try_from(i32::from(row.calendar)) {
            Ok(CalendarPeriod::Unspecified) | Err(_) => {
                Period::Rolling(chrono::TimeDelta::seconds(row.rolling_seconds))
            }
            Ok(period) => Period::Calendar(period),
        };
        let zone = row.time_zone.parse().unwrap_or(Tz::UTC);
        Self { filter, period, zone, unit: Unit::of_number(row.unit) }
    }
}

/// How budgets are computed and notices sent.
#[derive(Debug)]
pub(crate) struct Budgets {
    store: Arc<Store>,
    metrics: BudgetMetrics,
    /// Towards webhooks.
    tls: ClientTls,
    /// How often each budget is computed.
    interval: Duration,
    /// How long it may take to compute one.
    timeout: Duration,
    /// There are new notices to be sent.
    made: Notify,
    log: LimitedLog,
}

impl Budgets {
    pub(crate) fn new(
        store: Arc<Store>,
        metrics: &Metrics,
        tls: ClientTls,
        interval: Duration,
        timeout: Duration,
    ) -> Self {
        let metrics = BudgetMetrics::register(metrics);
        let (made, log) = (Notify::new(), LimitedLog::default());
        Self { store, metrics, tls, interval, timeout, made, log }
    }

    /// Computes and sends until it is dropped. What was being sent then is sent again
    /// later, by this replica or another one.
    pub(crate) async fn run(self: Arc<Self>) {
        self.store.prepared().await;
        tokio::join!(self.compute_all(), Arc::clone(&self).deliver_all());
    }

    fn failed(&self, what: &'static str, error: &crate::store::Error) {
        self.log.write(|held_back| {
            tracing::warn!(error = error.detail(), held_back, "{what}; trying again");
        });
    }
}
