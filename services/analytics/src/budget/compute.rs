//! Computes budgets, and makes notices of the shares that are reached.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use modash_proto::{TimeRange, v1::NoticeDelivery};
use serde_json::json;
use uuid::Uuid;

use super::{Budgets, Plan, Unit, period::Period};
use crate::{
    error::Failure,
    store::{self, BudgetRow, Computed, NewNotice},
};

/// How often it is looked for budgets that are due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A budget whose requests take long to add up is computed so seldom that it takes no
/// more than 1/n of the time.
const MOST_TIME: u32 = 20;

/// A notice is in force until less than so many tenths of its share are used.
const TENTHS_IN_FORCE: i128 = 9;

impl Budgets {
    pub(super) async fn compute_all(&self) {
        loop {
            if let Err(error) = self.compute_due().await {
                self.failed("budgets were not computed", &error);
            }
            tokio::time::sleep(LOOK_EVERY.min(self.interval)).await;
        }
    }

    /// Computes the budgets that are due, and shows the state of all.
    async fn compute_due(&self) -> Result<(), store::Error> {
        // Longer than it takes until it is given up.
        let lease = 2 * self.timeout + Duration::from_secs(10);
        while let Some(row) = self.store.claim_budget(lease).await? {
            self.compute(&row).await?;
        }
        self.metrics.show(&self.store.budgets().await?);
        Ok(())
    }

    /// Computes a budget that this replica has claimed, and keeps the result, or why
    /// there is none.
    pub(crate) async fn compute(&self, row: &BudgetRow) -> Result<(), store::Error> {
        let (begun, plan) = (Instant::now(), Plan::new(row));
        let now = row.claimed_at.unwrap_or_default();
        let range = plan.period.at(now, plan.zone);
        let sums = tokio::time::timeout(self.timeout, self.store.sums(range, &plan.filter)).await;
        let due_in = self.interval.max(MOST_TIME * begun.elapsed());
        let sums = match sums.unwrap_or(Err(store::Error::Timeout)) {
            Ok(sums) => sums,
            Err(error) => {
                self.failed("a budget was not computed", &error);
                let problem = Failure::from(error).into_status();
                return self.store.record_budget_problem(row, due_in, problem.message()).await;
            }
        };
        let [spent, unknown_requests, estimated_requests] = plan.unit.of(&sums);
        let mut computed = Computed {
            budget_id: row.budget_id,
            claimed_at: now,
            due_in,
            period: range,
            spent,
            unknown_requests,
            estimated_requests,
            projected: plan.period.projected(range, now, spent),
            largest_in_force: largest_in_force(spent, row.amount),
            by_period: matches!(plan.period, Period::Calendar(_)),
            notices: Vec::new(),
        };
        let reached = row.shares.iter().filter(|share| is_reached(spent, row.amount, **share));
        computed.notices = reached.map(|share| notice(row, plan.unit, &computed, *share)).collect();
        let made = self.store.record_budget(&computed).await?;
        if made > 0 {
            tracing::info!(budget = row.name, notices = made, "a share of a budget is reached");
            self.metrics.made(made);
            self.made.notify_one();
        }
        Ok(())
    }
}

/// Whether a share in percent is used.
fn is_reached(spent: i64, amount: i64, share: i32) -> bool {
    i128::from(spent) * 100 >= i128::from(amount) * i128::from(share)
}

/// The largest share in percent whose notice, if there is one, stays in force. It is
/// larger than what is used, so that a share that is just reached, left and reached again
/// makes one notice.
fn largest_in_force(spent: i64, amount: i64) -> i32 {
    let share = i128::from(spent) * 1_000 / (i128::from(amount.max(1)) * TENTHS_IN_FORCE);
    i32::try_from(share).unwrap_or(i32::MAX)
}

fn notice(row: &BudgetRow, unit: Unit, computed: &Computed, share: i32) -> NewNotice {
    let notice_id = Uuid::now_v7();
    let body = body(row, unit, computed, share, notice_id);
    let delivery = match row.webhook_url {
        Some(_) => NoticeDelivery::Pending,
        None => NoticeDelivery::None,
    };
    NewNotice { notice_id, share, body, delivery }
}

/// What a webhook gets: type and timestamp as the Standard Webhooks specification has
/// them, and what the notice is about.
fn body(row: &BudgetRow, unit: Unit, computed: &Computed, share: i32, notice_id: Uuid) -> String {
    let TimeRange { start, end } = computed.period;
    let body = json!({
        "type": "budget.share_reached",
        "timestamp": moment(computed.claimed_at),
        "id": notice_id.to_string(),
        "budget": row.budget_id.to_string(),
        "name": row.name,
        "share": share,
        "period": { "start": moment(start), "end": moment(end) },
        "unit": unit.name(),
        "amount": row.amount,
        "spent": computed.spent,
        "unknownRequests": computed.unknown_requests,
        "projected": computed.projected,
    });
    body.to_string()
}

fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_reached_exactly_when_it_is_used() {
        assert!(is_reached(80, 100, 80) && !is_reached(79, 100, 80));
        assert!(is_reached(1, 1, 100) && is_reached(10, 1, 1_000) && !is_reached(0, 1, 1));
        // 2.5 tokens are half of 5.
        assert!(!is_reached(2, 5, 50) && is_reached(3, 5, 50));
        assert!(is_reached(i64::MAX, 1_000_000_000_000_000_000, 900));
    }

    #[test]
    fn a_notice_stays_in_force_until_a_tenth_less_is_used() {
        let stays = |spent, share| share <= largest_in_force(spent, 1_000);
        assert!(stays(800, 80) && stays(720, 80) && !stays(719, 80));
        assert!(stays(1_000, 100) && stays(900, 100) && !stays(899, 100) && !stays(0, 1));
        assert!((1..=1_000).all(|share| stays(10 * i64::from(share), share)));
        assert_eq!(largest_in_force(i64::MAX, 1), i32::MAX);
    }
}
