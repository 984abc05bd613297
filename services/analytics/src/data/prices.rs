//! Prices: which there are, which lack, those of LiteLLM in modash's form, and those of
//! now for requests that are stored already.

use std::{io::Write as _, path::PathBuf};

use chrono::{DateTime, Utc};
use clap::Subcommand;
use futures_util::TryStreamExt as _;
use modash_access::Scope;
use modash_prices::{Entry, PriceList, Wanted, provider_of};
use modash_proto::{TimeRange, Violations, v1::UsageEvent};
use modash_runtime::{Boxed, Mistakes, ServiceContext};

use super::{
    DataError, Progress, moment, rollups,
    table::{grouped, table},
};
use crate::{
    AnalyticsConfig,
    filter::Filter,
    pricing,
    store::{PricedModel, Store},
};

/// Requests that are priced and written at a time.
const CHUNK: usize = 5_000;

/// Commands about prices.
#[derive(Debug, Clone, Subcommand)]
pub enum PricesCommand {
    /// Say which models of the stored requests have no price, and which of your own
    /// prices match nothing
    Check,
    /// Print the prices of a model in the form of MODASH_PRICES_FILE
    Show {
        /// Name of the model, or a part of it
        model: String,
    },
    /// Print the prices of a file in LiteLLM's JSON format in the form of
    /// MODASH_PRICES_FILE; what cannot be carried over goes to standard error
    Import {
        /// model_prices_and_context_window.json
        file: PathBuf,
    },
    /// Compute the costs of stored requests anew, by the prices of now; safe while modash
    /// runs. Requests with newer prices than these stay as they are
    Apply {
        /// Beginning of the range: a day, or a moment of RFC 3339
        #[arg(long, value_parser = moment)]
        from: DateTime<Utc>,

        /// End of the range, not included
        #[arg(long, value_parser = moment)]
        to: DateTime<Utc>,
    },
}

impl PricesCommand {
    /// Whether it works on stored requests.
    #[must_use]
    pub fn needs_database(&self) -> bool {
        matches!(self, Self::Check | Self::Apply { .. })
    }

    /// Checks what the flags say together and notes every mistake.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if let Self::Apply { from, to } = self {
            mistakes.require(from < to, "--to", "must be after --from");
        }
    }

    /// Does what needs no database.
    ///
    /// # Errors
    /// If a file cannot be read, or nothing was found.
    pub fn print(&self, config: &AnalyticsConfig) -> Result<(), DataError> {
        match self {
            Self::Show { model } => show(&config.prices.now(), model),
            Self::Import { file } => import(file),
            Self::Check | Self::Apply { .. } => Ok(()),
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// If there is no database, it cannot be used, or a stop was asked for: requests that
    /// have their new costs keep them.
    pub fn run(
        self,
        config: AnalyticsConfig,
        context: ServiceContext,
    ) -> Boxed<'static, Result<(), DataError>> {
        Box::pin(async move {
            if !self.needs_database() {
                return self.print(&config);
            }
            let prices = config.prices.now();
            super::with_store(&config, context, async |store| {
                if !store.has_tables().await? {
                    return Err(DataError::Empty);
                }
                match self {
                    Self::Apply { from, to } => apply(store, &prices, from, to).await,
                    _ => review(store, &prices).await,
                }
            })
            .await
        })
    }
}

fn show(prices: &PriceList, model: &str) -> Result<(), DataError> {
    let names = |entry: &&Entry| entry.models().any(|name| name.contains(model));
    let found: Vec<&Entry> = prices.entries().filter(names).collect();
    if found.is_empty() {
        return Err(DataError::NoPrice(model.to_owned()));
    }
    let mut out = std::io::stdout().lock();
    for (at, entry) in found.iter().enumerate() {
        let gap = if at > 0 { "\n" } else { "" };
        let _ = write!(out, "{gap}{entry}");
    }
    Ok(())
}

fn import(file: &PathBuf) -> Result<(), DataError> {
    let unreadable =
        |problem: String| DataError::Read { file: file.display().to_string(), problem };
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
    let imported = modash_prices::import(&text).map_err(|error| unreadable(error.to_string()))?;
    let _ = std::io::stdout().write_all(imported.toml.as_bytes());
    let mut err = std::io::stderr().lock();
    for left_out in &imported.left_out {
        let _ = writeln!(err, "left out: {}: {}", left_out.model, left_out.reason);
    }
    Ok(())
}

async fn review(store: &Store, prices: &PriceList) -> Result<(), DataError> {
    let models = store.priced_models().await?;
    let wanted = models.iter().map(wanted);
    let review = prices.review(wanted);
    let mut out = std::io::stdout().lock();
    let rows: Vec<_> = review
        .without_price
        .iter()
        .map(|at| {
            let model = &models[*at];
            [
                model.model.clone(),
                model.upstream.clone(),
                model.provider.clone().unwrap_or_else(|| "unknown".to_owned()),
                grouped(model.requests.cast_unsigned()),
            ]
        })
        .collect();
    if rows.is_empty() {
        let _ = writeln!(out, "Every model has a price.");
    } else {
        let _ = writeln!(out, "Without a price:\n");
        let table = table(["model", "upstream", "provider", "requests"], &rows);
        let _ = out.write_all(table.as_bytes());
    }
    if prices.version() != PriceList::built_in().version() {
        let _ = writeln!(out, "\nYour prices that match nothing: {}", review.unmatched.len());
        for entry in review.unmatched {
            let models: Vec<_> = entry.models().collect();
            let _ = writeln!(out, "  {}:{} {}", entry.file(), entry.line(), models.join(", "));
        }
    }
    Ok(())
}

fn wanted(model: &PricedModel) -> Wanted<'_> {
    Wanted {
        provider: model.provider.as_deref(),
        upstream: &model.upstream,
        model: Some(&model.model),
        model_requested: Some(&model.model),
        started_at: model.last_started_at,
    }
}

async fn apply(
    store: &Store,
    prices: &PriceList,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Result<(), DataError> {
    let filter = Filter::from_wire(None, &Scope::default(), &mut Violations::default());
    let mut snapshot = store.snapshot().await?;
    let selection = snapshot.select(TimeRange { start, end }, &filter).await?;
    let total = snapshot.count(&selection, &filter).await?.cast_unsigned();
    drop(snapshot);
    let progress = Progress::new("pricing", "requests", Some(total));
    let mut changed = 0;
    let mut export = store.begin_export().await?;
    let mut chunks = export.events(&selection).try_chunks(CHUNK);
    while let Some(events) = chunks.try_next().await.map_err(|error| error.1)? {
        let read = events.len() as u64;
        let dearer: Vec<UsageEvent> =
            events.into_iter().filter_map(|event| repriced(prices, event)).collect();
        store.update_costs(&dearer).await?;
        changed += dearer.len() as u64;
        progress.add(read);
    }
    progress.finish();
    if changed > 0 {
        rollups::rebuild(store, start, end).await?;
    }
    let changed = grouped(changed);
    let _ =
        writeln!(std::io::stdout(), "{changed} of {} requests have a new cost.", grouped(total));
    Ok(())
}

/// The event with its cost of now, if that is another one and by no older prices.
fn repriced(prices: &PriceList, mut event: UsageEvent) -> Option<UsageEvent> {
    let before = event.cost.take().unwrap_or_default();
    let newer = before
        .price_version
        .as_deref()
        .is_some_and(|version| revision(version) > revision(prices.version()));
    let provider = match before.provider.as_deref() {
        Some(provider) => Some(provider),
        None => provider_of(None, &event.upstream, &event.dialect),
    };
    let cost = pricing::cost(prices, &event, provider);
    if newer || cost == before {
        return None;
    }
    event.cost = Some(cost);
    Some(event)
}

/// Date and number of the built-in prices in a version, which grow.
fn revision(version: &str) -> (&str, u32) {
    let built_in = version.split('+').next().unwrap_or_default();
    let (date, number) = built_in.split_once('.').unwrap_or((built_in, "0"));
    (date, number.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_date_and_number() {
        let ordered = ["2026-09-30.9", "2026-11-29.2", "2026-11-29.10+mine", "2026-12-01.1"];
        assert!(ordered.is_sorted_by_key(|version| revision(version)));
    }
}
