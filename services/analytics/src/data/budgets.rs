//! Budgets, as somebody types them.

use std::{io::Write as _, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use modash_proto::{
    Violations,
    v1::{
        Budget, CalendarPeriod, Filter, NoticeDelivery, SaveBudgetRequest,
        budget::{self, Amount},
        save_budget_request,
    },
};
use modash_runtime::{Boxed, ClientTls, Metrics, ServiceContext};

use super::{
    DataError,
    table::{grouped, table},
};
use crate::{
    AnalyticsConfig, Error,
    budget::{self as budgets, Budgets},
    store::Store,
    tls::WEBHOOK_TLS,
};

/// Characters of a whole bar of progress.
const BAR: usize = 20;

/// Commands about budgets.
#[derive(Debug, Clone, Subcommand)]
pub enum BudgetsCommand {
    /// Show all budgets, and how much of each is used
    List,
    /// Save a budget, in place of the one with its name
    Set(Box<SetBudget>),
    /// Delete a budget with its notices
    Delete {
        /// Its name
        name: String,
    },
}

/// A budget: whose requests, how much, and in which time.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct SetBudget {
    /// Its name
    name: String,

    /// Total tokens that may be used in a period
    #[arg(long, required_unless_present = "usd", conflicts_with = "usd")]
    tokens: Option<u64>,

    /// US dollars that may be used in a period, for example 12.50
    #[arg(long, value_parser = nano_usd)]
    usd: Option<u64>,

    /// A period of the calendar
    #[arg(long, required_unless_present = "rolling_hours", conflicts_with = "rolling_hours")]
    per: Option<Per>,

    /// In place of a period: the last so many hours, 1 to 8784
    #[arg(long)]
    rolling_hours: Option<u32>,

    /// Time zone of the period, for example Europe/Berlin
    #[arg(long, default_value = "UTC")]
    zone: String,

    /// Percentages at which a notice is made, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "50,80,100")]
    shares: Vec<u32>,

    /// Only requests of this model; this and the next ones may be given several times
    #[arg(long)]
    model: Vec<String>,

    /// Only requests to this upstream
    #[arg(long)]
    upstream: Vec<String>,

    /// Only requests with this client key, a fingerprint of 16 hexadecimal digits
    #[arg(long)]
    client_key: Vec<String>,

    /// Only requests of this user
    #[arg(long)]
    user: Vec<String>,

    /// Only requests with this tag: name=value
    #[arg(long, value_parser = tag)]
    tag: Vec<(String, String)>,

    /// Where notices are sent, an address of http or https; as before if it is not given,
    /// and nowhere if it is empty
    #[arg(long)]
    webhook: Option<String>,

    /// File with the secret by which notices are signed: whsec_ and 24 to 64 bytes in
    /// base64; as before if it is not given
    #[arg(long)]
    webhook_secret_file: Option<PathBuf>,
}

/// A period of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Per {
    /// From midnight to midnight
    Day,
    /// From Monday to Monday
    Week,
    /// From the first of a month to the first of the next
    Month,
}

impl BudgetsCommand {
    /// Does it.
    ///
    /// # Errors
    /// If there is no database, it cannot be used, or the budget is refused.
    pub fn run(
        self,
        config: AnalyticsConfig,
        context: ServiceContext,
    ) -> Boxed<'static, Result<(), DataError>> {
        Box::pin(async move {
            super::with_store(&config, context, async |store| {
                if !store.has_tables().await? {
                    return Err(DataError::Empty);
                }
                store.migrate().await.map_err(|error| DataError::Schema(error.detail()))?;
                match self {
                    Self::List => list(store).await,
                    Self::Set(budget) => set(store, &config, *budget).await,
                    Self::Delete { name } => delete(store, &name).await,
                }
            })
            .await
        })
    }
}

async fn list(store: &Store) -> Result<(), DataError> {
    let (rows, notices) = (store.budgets().await?, store.budget_notices().await?);
    let mut out = std::io::stdout().lock();
    if rows.is_empty() {
        let text = "There is no budget. `budgets set all --usd 100 --per month` saves one.";
        let _ = writeln!(out, "{text}");
        return Ok(());
    }
    let rows: Vec<_> = rows.iter().map(|row| cells(&budgets::tell(row, &notices))).collect();
    let headings =
        ["budget", "period", "spent", "of", "progress", "used", "projected", "not delivered"];
    let _ = out.write_all(table(headings, &rows).as_bytes());
    Ok(())
}

fn cells(budget: &Budget) -> [String; 8] {
    let state = budget.state.clone().unwrap_or_default();
    let shown = |amount: u64| match budget.amount {
        Some(Amount::NanoUsd(_)) => dollars(amount),
        _ => grouped(amount),
    };
    let of = match budget.amount {
        Some(Amount::Tokens(amount) | Amount::NanoUsd(amount)) => amount,
        None => 0,
    };
    let period = match &budget.period {
        Some(budget::Period::Calendar(number)) => {
            let period = match CalendarPeriod::try_from(*number).unwrap_or_default() {
                CalendarPeriod::Week => "week",
                CalendarPeriod::Month => "month",
                CalendarPeriod::Day | CalendarPeriod::Unspecified => "day",
            };
            format!("{period}, {}", budget.time_zone)
        }
        Some(budget::Period::Rolling(length)) => format!("last {} h", length.seconds / 3_600),
        None => String::new(),
    };
    // Of an unknown amount it is the least that it can be.
    let at_least = if state.unknown_requests > 0 { "≥ " } else { "" };
    let open = budget.notices.iter().filter(|notice| {
        matches!(notice.delivery(), NoticeDelivery::Pending | NoticeDelivery::GivenUp)
    });
    let filled = ((state.spent_ratio * BAR as f64) as usize).min(BAR);
    [
        budget.name.clone(),
        period,
        format!("{at_least}{}", shown(state.spent)),
        shown(of),
        format!("{}{}", "#".repeat(filled), ".".repeat(BAR - filled)),
        format!("{at_least}{:.0} %", state.spent_ratio * 100.0),
        state.projected.map_or_else(|| "-".to_owned(), |end| format!("{at_least}{}", shown(end))),
        open.count().to_string(),
    ]
}

async fn set(
    store: &Arc<Store>,
    config: &AnalyticsConfig,
    set: SetBudget,
) -> Result<(), DataError> {
    let secret = match &set.webhook_secret_file {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path).map_err(|error| DataError::Read {
            file: path.display().to_string(),
            problem: error.to_string(),
        })?,
    };
    let request = SaveBudgetRequest { webhook_secret: secret.trim().to_owned(), ..request(set) };
    let mut violations = Violations::default();
    let budget = budgets::check(request, &mut violations);
    let refused = |status: tonic::Status| DataError::Refused(status.message().to_owned());
    violations.into_result().map_err(refused)?;
    let row = budgets::saved(store.save_budget(&budget).await?).map_err(refused)?;
    let tls = ClientTls::new("the authorities", WEBHOOK_TLS, config.webhook_tls.clone());
    let tls = tls.map_err(Error::from)?;
    let every = config.budget_interval;
    // Somebody waits for it, and it is known what they ask for.
    let patience = Duration::from_secs(600);
    let computing = Budgets::new(Arc::clone(store), &Metrics::default(), tls, every, patience);
    computing.compute(&row).await?;
    Ok(())
}

fn request(set: SetBudget) -> SaveBudgetRequest {
    let calendar = |per| match per {
        Per::Day => CalendarPeriod::Day,
        Per::Week => CalendarPeriod::Week,
        Per::Month => CalendarPeriod::Month,
    };
    let rolling = |hours| prost_types::Duration { seconds: i64::from(hours) * 3_600, nanos: 0 };
    let period = set
        .per
        .map(|per| save_budget_request::Period::Calendar(calendar(per).into()))
        .or(set.rolling_hours.map(|hours| save_budget_request::Period::Rolling(rolling(hours))));
    let amount = set
        .tokens
        .map(save_budget_request::Amount::Tokens)
        .or(set.usd.map(save_budget_request::Amount::NanoUsd));
    SaveBudgetRequest {
        name: set.name,
        filter: Some(Filter {
            models: set.model,
            upstreams: set.upstream,
            client_keys: set.client_key,
            users: set.user,
            tags: set.tag.into_iter().collect(),
            ..Filter::default()
        }),
        period,
        time_zone: set.zone,
        amount,
        shares: set.shares,
        webhook_url: set.webhook,
        ..SaveBudgetRequest::default()
    }
}

async fn delete(store: &Store, name: &str) -> Result<(), DataError> {
    let row = store.budgets().await?.into_iter().find(|row| row.name == name);
    match row {
        Some(row) => Ok(store.delete_budget(row.budget_id).await?),
        None => Err(DataError::Refused(format!("there is no budget {name:?}"))),
    }
}

fn tag(text: &str) -> Result<(String, String), &'static str> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let pair = pair.ok_or("must be the name of the tag, \"=\" and its value")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// Dollars in decimal form as nano-dollars, exactly.
fn nano_usd(text: &str) -> Result<u64, &'static str> {
    const ADVICE: &str = "must be US dollars such as 100 or 12.50, with at most nine decimals";
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(part) || part.len() > 9 {
        return Err(ADVICE);
    }
    format!("{whole}{part:0<9}").parse().map_err(|_| ADVICE)
}

fn dollars(nano_usd: u64) -> String {
    let cents = nano_usd / 10_000_000;
    format!("${}.{:02}", grouped(cents / 100), cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_exactly() {
        let read = ["100", "12.5", "0.000000001", "007.10"].map(|text| nano_usd(text).unwrap());
        assert_eq!(read, [100_000_000_000, 12_500_000_000, 1, 7_100_000_000]);
        for wrong in ["", ".5", "5.", "-1", "1,5", "$1", "1.0000000001", "99999999999999"] {
            assert!(nano_usd(wrong).is_err(), "{wrong}");
        }
        assert_eq!(dollars(1_234_567_890_000_000), "$1,234,567.89");
    }
}
