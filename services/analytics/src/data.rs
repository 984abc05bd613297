//! What can be done with the data apart from serving it: make some up, say how
//! much there is, apply the retention, write it to a file. Commands of `modash`
//! and of `modash-analytics` alike.

mod budgets;
mod error;
mod export;
mod generate;
mod moment;
mod names;
mod prices;
mod progress;
mod quarantine;
mod retention;
mod rollups;
mod size;
mod table;
mod workload;

use std::sync::Arc;

use clap::Subcommand;
use modash_runtime::{Boxed, Mistakes, ServiceContext};

pub use budgets::{BudgetsCommand, Per, SetBudget};
pub use error::DataError;
pub use export::{ExportFormat, ExportOptions};
pub use generate::{GenerateOptions, Method};
use moment::moment;
pub use names::{Named, NamesCommand};
pub use prices::PricesCommand;
use progress::Progress;
pub use quarantine::{QuarantineOptions, Quarantined};
pub use retention::RetentionOptions;
pub use rollups::RollupsCommand;
pub use size::{Size, SizeOptions, TableSize};
pub use table::{bytes, grouped};
pub use workload::{Workload, WorkloadConfig};

use crate::{AnalyticsConfig, store::Store};

/// Commands about stored requests.
#[derive(Debug, Clone, Subcommand)]
pub enum DataCommand {
    /// Make up requests: to try things out, and to measure
    Generate(GenerateOptions),
    /// Say how much is stored, how large a request is, and how it grows
    Size(SizeOptions),
    /// Say what the retention keeps and drops; drop it with --apply
    Retention(RetentionOptions),
    /// Write requests to a file, as CSV or as lines of JSON
    Export(ExportOptions),
    /// Show events that were refused for good, with the reasons
    Quarantine(QuarantineOptions),
}

impl DataCommand {
    /// Checks what the flags say together and notes every mistake.
    pub fn check(&self, config: &AnalyticsConfig, mistakes: &mut Mistakes) {
        match self {
            Self::Generate(options) => options.check(config, mistakes),
            Self::Export(options) => options.check(mistakes),
            Self::Size(_) | Self::Retention(_) | Self::Quarantine(_) => {}
        }
    }

    /// Does it. A stop that is asked for ends it at the next row.
    ///
    /// # Errors
    /// If there is no database, it cannot be used, or a stop was asked for.
    pub fn run(
        self,
        config: AnalyticsConfig,
        context: ServiceContext,
    ) -> Boxed<'static, Result<(), DataError>> {
        Box::pin(async move {
            with_store(&config, context, async |store| match &self {
                Self::Generate(options) => generate::run(store, &config, options).await,
                Self::Size(options) => size::run(store, options).await,
                Self::Retention(options) => retention::run(store, options).await,
                Self::Export(options) => export::run(store, options).await,
                Self::Quarantine(options) => quarantine::run(store, options).await,
            })
            .await
        })
    }
}

/// Works with the database until the work is done or a stop is asked for.
async fn with_store(
    config: &AnalyticsConfig,
    context: ServiceContext,
    work: impl AsyncFnOnce(&Arc<Store>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let store = Store::for_commands(config)?;
    let result = tokio::select! {
        result = Box::pin(work(&store)) => result,
        () = context.shutdown.requested() => Err(DataError::Stopped),
    };
    store.close().await;
    result
}
