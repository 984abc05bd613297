//! Budgets, what was computed of them, and their notices.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use modash_proto::{TimeRange, v1::NoticeDelivery};
use sqlx::{
    Decode, Encode, Postgres,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef},
    types::Uuid,
};

use super::{Depth, Error, Grouping, Store, pool::Pool, row::from_row, traced::Traced as _};
use crate::{
    filter::Filter,
    rollup::{Measures, Sums},
};

/// Most budgets.
pub(crate) const MAX_BUDGETS: i64 = 100;

/// Newest notices of a budget that are told.
const TOLD_NOTICES: i64 = 10;

/// Newest notices of a budget that are kept.
const KEPT_NOTICES: i64 = 50;

/// A budget as it is kept, with what was computed last. `problem` says why that is old.
#[derive(Clone)]
pub(crate) struct BudgetRow {
    pub(crate) budget_id: Uuid,
    pub(crate) name: String,
    pub(crate) filter: Vec<u8>,
    pub(crate) calendar: i16,
    pub(crate) rolling_seconds: i64,
    pub(crate) time_zone: String,
    pub(crate) unit: i16,
    pub(crate) amount: i64,
    pub(crate) shares: Vec<i32>,
    pub(crate) webhook_url: Option<String>,
    pub(crate) claimed_at: Option<DateTime<Utc>>,
    pub(crate) computed_at: Option<DateTime<Utc>>,
    pub(crate) period_start: Option<DateTime<Utc>>,
    pub(crate) period_end: Option<DateTime<Utc>>,
    pub(crate) spent: i64,
    pub(crate) unknown_requests: i64,
    pub(crate) estimated_requests: i64,
    pub(crate) projected: Option<i64>,
    pub(crate) problem: String,
}

from_row!(BudgetRow {
    budget_id,
    name,
    filter,
    calendar,
    rolling_seconds,
    time_zone,
    unit,
    amount,
    shares,
    webhook_url,
    claimed_at,
    computed_at,
    period_start,
    period_end,
    spent,
    unknown_requests,
    estimated_requests,
    projected,
    problem
});

/// A budget to be saved.
pub(crate) struct NewBudget {
    /// `None`: that of the one with this name, or a new one.
    pub(crate) budget_id: Option<Uuid>,
    pub(crate) name: String,
    pub(crate) filter: Vec<u8>,
    pub(crate) calendar: i16,
    pub(crate) rolling_seconds: i64,
    pub(crate) time_zone: String,
    pub(crate) unit: i16,
    pub(crate) amount: i64,
    pub(crate) shares: Vec<i32>,
    /// `None`: as before; the empty text: none.
    pub(crate) webhook_url: Option<String>,
    /// `None`: as before.
    pub(crate) webhook_secret: Option<Secret>,
}

/// What became of a budget that was to be saved.
pub(crate) enum Saved {
    /// It is saved, and claimed by who saved it.
    Budget(Box<BudgetRow>),
    /// There is none with its id.
    Unknown,
    /// Another one has its name.
    NameTaken,
    /// There are [`MAX_BUDGETS`] already.
    TooMany,
    /// It has a webhook and no secret.
    NoSecret,
}

/// A secret, which no log shows.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) Vec<u8>);

impl sqlx::Type<Postgres> for Secret {
    fn type_info() -> PgTypeInfo {
        <Vec<u8> as sqlx::Type<Postgres>>::type_info()
    }
}

impl Decode<'_, Postgres> for Secret {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        <Vec<u8> as Decode<Postgres>>::decode(value).map(Self)
    }
}

impl Encode<'_, Postgres> for Secret {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode_by_ref(&self.0, buffer)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What was computed of a budget.
pub(crate) struct Computed {
    pub(crate) budget_id: Uuid,
    pub(crate) claimed_at: DateTime<Utc>,
    pub(crate) due_in: Duration,
    pub(crate) period: TimeRange,
    pub(crate) spent: i64,
    pub(crate) unknown_requests: i64,
    pub(crate) estimated_requests: i64,
    pub(crate) projected: Option<i64>,
    /// Notices of larger shares are no longer in force.
    pub(crate) largest_in_force: i32,
    /// Whether notices of other periods are no longer in force.
    pub(crate) by_period: bool,
    /// Notices of the shares that are reached; most of them are in force already.
    pub(crate) notices: Vec<NewNotice>,
}

/// A notice that is made unless one of its share is in force.
pub(crate) struct NewNotice {
    pub(crate) notice_id: Uuid,
    pub(crate) share: i32,
    pub(crate) body: String,
    pub(crate) delivery: NoticeDelivery,
}

/// A notice as it is told.
#[derive(Debug, Clone)]
pub(crate) struct NoticeRow {
    pub(crate) notice_id: Uuid,
    pub(crate) budget_id: Uuid,
    pub(crate) share: i32,
    pub(crate) reached_at: DateTime<Utc>,
    pub(crate) period_start: DateTime<Utc>,
    pub(crate) period_end: DateTime<Utc>,
    pub(crate) spent: i64,
    pub(crate) delivery: i16,
    pub(crate) attempts: i32,
    pub(crate) delivered_at: Option<DateTime<Utc>>,
    pub(crate) next_attempt_at: Option<DateTime<Utc>>,
    pub(crate) last_error: String,
}

from_row!(NoticeRow {
    notice_id,
    budget_id,
    share,
    reached_at,
    period_start,
    period_end,
    spent,
    delivery,
    attempts,
    delivered_at,
    next_attempt_at,
    last_error
});

/// A notice that this replica is to send.
#[derive(Clone)]
pub(crate) struct DueNotice {
    pub(crate) notice_id: Uuid,
    /// This attempt included.
    pub(crate) attempts: i32,
    pub(crate) body: String,
    pub(crate) webhook_url: Option<String>,
    pub(crate) webhook_secret: Option<Secret>,
    pub(crate) age_seconds: f64,
}

from_row!(DueNotice { notice_id, attempts, body, webhook_url, webhook_secret, age_seconds });

impl Store {
    /// All budgets, ordered by name.
    pub(crate) async fn budgets(&self) -> Result<Vec<BudgetRow>, Error> {
        let budgets = sqlx::query_as(include_str!("queries/list_budgets.sql")).bind(MAX_BUDGETS);
        budgets.fetch_all(self.primary_reader()?).traced("list_budgets").await.map_err(Error::from)
    }

    /// The newest notices of all budgets, newest first.
    pub(crate) async fn budget_notices(&self) -> Result<Vec<NoticeRow>, Error> {
        newest_notices(self.primary_reader()?, None).await
    }

    /// A budget with its newest notices, as it was just written.
    pub(crate) async fn written_budget(
        &self,
        budget_id: Uuid,
    ) -> Result<Option<(BudgetRow, Vec<NoticeRow>)>, Error> {
        let row = sqlx::query_as(include_str!("queries/read_budget.sql")).bind(budget_id);
        let row = row.fetch_optional(self.writer()?).traced("read_budget").await?;
        let notices = newest_notices(self.writer()?, Some(budget_id)).await?;
        Ok(row.map(|row| (row, notices)))
    }

    /// Saves a budget.
    pub(crate) async fn save_budget(&self, budget: &NewBudget) -> Result<Saved, Error> {
        let mut transaction = self.writer()?.begin().traced("begin").await?;
        let before: Option<(Uuid, Option<String>, Option<Secret>)> =
            sqlx::query_as(include_str!("queries/budget_webhook.sql"))
                .bind(budget.budget_id)
                .bind(Some(&budget.name).filter(|_| budget.budget_id.is_none()))
                .fetch_optional(&mut transaction)
                .traced("budget_webhook")
                .await?;
        if before.is_none() && budget.budget_id.is_some() {
            return Ok(Saved::Unknown);
        }
        let (budget_id, url_before, secret_before) =
            before.unwrap_or_else(|| (Uuid::now_v7(), None, None));
        let url = match &budget.webhook_url {
            None => url_before,
            Some(url) => Some(url.clone()).filter(|url| !url.is_empty()),
        };
        let secret = budget.webhook_secret.clone().or(secret_before).filter(|_| url.is_some());
        if url.is_some() && secret.is_none() {
            return Ok(Saved::NoSecret);
        }
        if url.is_none() {
            sqlx::query(include_str!("queries/drop_budget_webhook.sql"))
                .bind(budget_id)
                .bind(NoticeDelivery::GivenUp as i16)
                .bind("the budget has no webhook any more")
                .execute(&mut transaction)
                .traced("drop_budget_webhook")
                .await?;
        }
        let saved = sqlx::query_as(include_str!("queries/save_budget.sql"))
            .bind(budget_id)
            .bind(&budget.name)
            .bind(&budget.filter)
            .bind(budget.calendar)
            .bind(budget.rolling_seconds)
            .bind(&budget.time_zone)
            .bind(budget.unit)
            .bind(budget.amount)
            .bind(&budget.shares)
            .bind(url)
            .bind(secret)
            .bind(MAX_BUDGETS)
            .fetch_optional(&mut transaction)
            .traced("save_budget")
            .await;
        match saved.map_err(Error::from) {
            Ok(Some(row)) => {
                transaction.commit().traced("commit").await?;
                Ok(Saved::Budget(Box::new(row)))
            }
            Ok(None) => Ok(Saved::TooMany),
            Err(error) if error.is_repeated_key() => Ok(Saved::NameTaken),
            Err(error) => Err(error),
        }
    }

    /// Deletes a budget with its notices.
    pub(crate) async fn delete_budget(&self, budget_id: Uuid) -> Result<(), Error> {
        let mut transaction = self.writer()?.begin().traced("begin").await?;
        // Whoever records a notice waits for the first statement and then finds no budget.
        for (name, statement) in [
            ("delete_budget", include_str!("queries/delete_budget.sql")),
            ("delete_budget_notices", include_str!("queries/delete_budget_notices.sql")),
        ] {
            let deleting = sqlx::query(statement).bind(budget_id);
            deleting.execute(&mut transaction).traced(name).await?;
        }
        transaction.commit().traced("commit").await?;
        Ok(())
    }

    /// Takes a budget that is to be computed, or that a replica took longer than `lease`
    /// ago.
    pub(crate) async fn claim_budget(&self, lease: Duration) -> Result<Option<BudgetRow>, Error> {
        let claim = sqlx::query_as(include_str!("queries/claim_budget.sql"));
        let claim = claim.bind(lease.as_secs_f64()).fetch_optional(self.writer()?);
        claim.traced("claim_budget").await.map_err(Error::from)
    }

    /// Sums of the requests of a range that pass a filter.
    pub(crate) async fn sums(&self, range: TimeRange, filter: &Filter) -> Result<Sums, Error> {
        let mut snapshot = self.snapshot().await?;
        let selection = snapshot.select(range, filter).await?;
        let mut members = snapshot.members(filter, &Grouping::None).await?;
        let bounds = [range.start, range.end];
        let cells = snapshot.cells(&selection, &mut members, &bounds, Depth::Sums).await?;
        let mut all = Measures::default();
        cells.values().for_each(|part| all.merge(part));
        Ok(all.sums)
    }

    /// Keeps what was computed, and makes the notices of shares that are reached and have
    /// none in force; gives how many. Nothing happens if the budget was changed or taken
    /// by another replica meanwhile.
    pub(crate) async fn record_budget(&self, computed: &Computed) -> Result<u64, Error> {
        let (budget_id, period) = (computed.budget_id, computed.period);
        let mut transaction = self.writer()?.begin().traced("begin").await?;
        let recorded: Option<Uuid> = sqlx::query_scalar(include_str!("queries/record_budget.sql"))
            .bind(budget_id)
            .bind(computed.claimed_at)
            .bind(computed.due_in.as_secs_f64())
            .bind(period.start)
            .bind(period.end)
            .bind(computed.spent)
            .bind(computed.unknown_requests)
            .bind(computed.estimated_requests)
            .bind(computed.projected)
            .fetch_optional(&mut transaction)
            .traced("record_budget")
            .await?;
        if recorded.is_none() {
            return Ok(0);
        }
        sqlx::query(include_str!("queries/end_budget_notices.sql"))
            .bind(budget_id)
            .bind(computed.largest_in_force)
            .bind(Some(period.start).filter(|_| computed.by_period))
            .execute(&mut transaction)
            .traced("end_budget_notices")
            .await?;
        let mut made = 0;
        for notice in &computed.notices {
            let pending = notice.delivery == NoticeDelivery::Pending;
            let added: Option<Uuid> =
                sqlx::query_scalar(include_str!("queries/add_budget_notice.sql"))
                    .bind(notice.notice_id)
                    .bind(budget_id)
                    .bind(notice.share)
                    .bind(computed.claimed_at)
                    .bind(period.start)
                    .bind(period.end)
                    .bind(computed.spent)
                    .bind(notice.delivery as i16)
                    .bind(Some(computed.claimed_at).filter(|_| pending))
                    .bind(&notice.body)
                    .fetch_optional(&mut transaction)
                    .traced("add_budget_notice")
                    .await?;
            made += u64::from(added.is_some());
        }
        if made > 0 {
            sqlx::query(include_str!("queries/trim_budget_notices.sql"))
                .bind(budget_id)
                .bind(KEPT_NOTICES)
                .execute(&mut transaction)
                .traced("trim_budget_notices")
                .await?;
        }
        transaction.commit().traced("commit").await?;
        Ok(made)
    }

    /// Keeps why a budget was not computed.
    pub(crate) async fn record_budget_problem(
        &self,
        row: &BudgetRow,
        due_in: Duration,
        problem: &str,
    ) -> Result<(), Error> {
        sqlx::query(include_str!("queries/record_budget_problem.sql"))
            .bind(row.budget_id)
            .bind(row.claimed_at)
            .bind(due_in.as_secs_f64())
            .bind(problem)
            .execute(self.writer()?)
            .traced("record_budget_problem")
            .await?;
        Ok(())
    }

    /// Takes up to `most` notices that are due: nobody else does for the time of the lease.
    pub(crate) async fn claim_budget_notices(
        &self,
        most: usize,
        lease: Duration,
    ) -> Result<Vec<DueNotice>, Error> {
        let claim = sqlx::query_as(include_str!("queries/claim_budget_notices.sql"))
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .bind(lease.as_secs_f64());
        claim.fetch_all(self.writer()?).traced("claim_budget_notices").await.map_err(Error::from)
    }

    /// Keeps what became of an attempt: delivered, given up, or to be tried again after a
    /// time. Without an error the one before stays.
    pub(crate) async fn settle_budget_notice(
        &self,
        notice: &DueNotice,
        delivery: NoticeDelivery,
        again_in: Option<Duration>,
        error: Option<&str>,
    ) -> Result<(), Error> {
        sqlx::query(include_str!("queries/settle_budget_notice.sql"))
            .bind(notice.notice_id)
            .bind(notice.attempts)
            .bind(delivery as i16)
            .bind(again_in.map(|wait| wait.as_secs_f64()))
            .bind(error)
            .execute(self.writer()?)
            .traced("settle_budget_notice")
            .await?;
        Ok(())
    }
}

async fn newest_notices(pool: &Pool, of: Option<Uuid>) -> Result<Vec<NoticeRow>, Error> {
    let notices = sqlx::query_as(include_str!("queries/list_budget_notices.sql"));
    let notices = notices.bind(TOLD_NOTICES).bind(of).fetch_all(pool);
    notices.traced("list_budget_notices").await.map_err(Error::from)
}
