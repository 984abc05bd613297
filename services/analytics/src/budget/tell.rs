//! Budgets in the form of the contract.

use chrono::{DateTime, Utc};
use modash_proto::{
    TimeRange, timestamp_from_micros,
    v1::{
        self, Budget, BudgetNotice, BudgetState,
        budget::{Amount, Period},
    },
};
use prost::Message as _;
use url::Url;

use super::Unit;
use crate::store::{BudgetRow, NoticeRow};

/// A budget with those notices that are its own.
pub(crate) fn tell(row: &BudgetRow, notices: &[NoticeRow]) -> Budget {
    let filter = v1::Filter::decode(row.filter.as_slice()).unwrap_or_default();
    let period = match row.calendar {
        0 => Period::Rolling(prost_types::Duration { seconds: row.rolling_seconds, nanos: 0 }),
        number => Period::Calendar(number.into()),
    };
    let amount = row.amount.cast_unsigned();
    let notices = notices.iter().filter(|notice| notice.budget_id == row.budget_id);
    Budget {
        budget_id: row.budget_id.to_string(),
        name: row.name.clone(),
        filter: Some(filter).filter(|filter| *filter != v1::Filter::default()),
        period: Some(period),
        time_zone: row.time_zone.clone(),
        amount: Some(match Unit::of_number(row.unit) {
            Unit::Tokens => Amount::Tokens(amount),
            Unit::NanoUsd => Amount::NanoUsd(amount),
        }),
        shares: row.shares.iter().map(|share| share.cast_unsigned()).collect(),
        webhook_origin: origin(row).unwrap_or_default(),
        state: state(row),
        notices: notices.map(notice).collect(),
    }
}

/// Where the webhook is, without what may be secret of it.
pub(crate) fn origin(row: &BudgetRow) -> Option<String> {
    let url = Url::parse(row.webhook_url.as_deref()?).ok()?;
    Some(url.origin().ascii_serialization())
}

fn state(row: &BudgetRow) -> Option<BudgetState> {
    let (start, end) = row.period_start.zip(row.period_end).unwrap_or_default();
    let computed = row.computed_at.map(timestamp);
    if computed.is_none() && row.problem.is_empty() {
        return None;
    }
    Some(BudgetState {
        period: computed.map(|_| TimeRange { start, end }.into()),
        computed_at: computed,
        spent: row.spent.cast_unsigned(),
        unknown_requests: row.unknown_requests.cast_unsigned(),
        estimated_requests: row.estimated_requests.cast_unsigned(),
        spent_ratio: row.spent as f64 / row.amount.max(1) as f64,
        projected: row.projected.map(i64::cast_unsigned),
        problem: row.problem.clone(),
    })
}

fn notice(row: &NoticeRow) -> BudgetNotice {
    let period = TimeRange { start: row.period_start, end: row.period_end };
    BudgetNotice {
        notice_id: row.notice_id.to_string(),
        share: row.share.cast_unsigned(),
        reached_at: Some(timestamp(row.reached_at)),
        period: Some(period.into()),
        spent: row.spent.cast_unsigned(),
        delivery: row.delivery.into(),
        attempts: row.attempts.cast_unsigned(),
        delivered_at: row.delivered_at.map(timestamp),
        next_attempt_at: row.next_attempt_at.map(timestamp),
        last_error: row.last_error.clone(),
    }
}

fn timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    timestamp_from_micros(at.timestamp_micros())
}
