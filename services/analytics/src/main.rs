//! The process `modash-analytics`: serves, applies migrations, does something with
//! the data, or asks a running one for its health.

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};
use modash_access::{AccessSettings, TokenCommand};
use modash_analytics::{
    Analytics, AnalyticsConfig, AnalyticsSettings,
    data::{BudgetsCommand, DataCommand, NamesCommand, PricesCommand, RollupsCommand},
};
use modash_runtime::{Mistakes, ProcessConfig, ProcessSettings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PROGRAM: &str = "modash-analytics";

/// Stores usage events and answers questions about them by gRPC.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version)]
struct Settings {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    process: ProcessSettings,
    #[command(flatten)]
    analytics: AnalyticsSettings,
    #[command(flatten)]
    access: AccessSettings,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Make up, measure, drop or export stored requests
    #[command(subcommand)]
    Data(DataCommand),
    /// Apply the migrations and exit
    Migrate,
    /// Sums over requests
    #[command(subcommand)]
    Rollups(RollupsCommand),
    /// Names of client keys, users and values of tags
    #[command(subcommand)]
    Names(NamesCommand),
    /// How much may be used in a period
    #[command(subcommand)]
    Budgets(BudgetsCommand),
    /// What requests cost: check, show, import and apply prices
    #[command(subcommand)]
    Prices(PricesCommand),
    /// Make, show or revoke the tokens of MODASH_TOKENS_FILE
    #[command(subcommand)]
    Token(TokenCommand),
    /// Ask the running process whether it is ready; for container images
    Healthcheck,
}

fn main() -> ExitCode {
    let settings: Settings = match modash_runtime::parse() {
        Ok(settings) => settings,
        Err(exit_code) => return exit_code,
    };
    if let Some(Command::Token(command)) = settings.command {
        return modash_access::run_command(PROGRAM, command, &settings.access);
    }
    let mut mistakes = Mistakes::default();
    let needs_database = match &settings.command {
        Some(Command::Healthcheck) => false,
        Some(Command::Prices(command)) => command.needs_database(),
        _ => true,
    };
    mistakes.require(
        settings.analytics.names_a_database() || !needs_database,
        "DATABASE_URL",
        "is not set; for example postgresql://modash:modash@localhost:5433/modash",
    );
    let (process, command) = match settings.command {
        Some(
            command @ (Command::Data(_)
            | Command::Rollups(_)
            | Command::Names(_)
            | Command::Budgets(_)
            | Command::Prices(_)),
        ) => (settings.process.quiet(), Some(command)),
        command => (settings.process, command),
    };
    let process = process.check(&mut mistakes);
    let mut analytics = settings.analytics.check(&mut mistakes);
    if let (Some(analytics), None) = (&mut analytics, &command) {
        let listeners = [("MODASH_ANALYTICS_LISTEN", analytics.listen)];
        if let Some(access) = settings.access.check(&listeners, &mut mistakes) {
            analytics.access = access;
        }
    }
    match (&analytics, &command) {
        (Some(analytics), Some(Command::Data(command))) => command.check(analytics, &mut mistakes),
        (_, Some(Command::Rollups(command))) => command.check(&mut mistakes),
        (_, Some(Command::Prices(command))) => command.check(&mut mistakes),
        _ => {}
    }
    let (Some(process), Some(analytics), true) = (process, analytics, mistakes.is_empty()) else {
        return mistakes.report(PROGRAM);
    };
    match command {
        None => serve(process, analytics),
        Some(Command::Migrate) => modash_runtime::run(PROGRAM, process, |context| {
            modash_analytics::migrate(analytics, context)
        }),
        Some(Command::Data(command)) => {
            modash_runtime::run(PROGRAM, process, |context| command.run(analytics, context))
        }
        Some(Command::Rollups(command)) => {
            modash_runtime::run(PROGRAM, process, |context| command.run(analytics, context))
        }
        Some(Command::Names(command)) => {
            modash_runtime::run(PROGRAM, process, |context| command.run(analytics, context))
        }
        Some(Command::Budgets(command)) => {
            modash_runtime::run(PROGRAM, process, |context| command.run(analytics, context))
        }
        Some(Command::Prices(command)) => {
            modash_runtime::run(PROGRAM, process, |context| command.run(analytics, context))
        }
        Some(Command::Healthcheck) => healthcheck(&analytics),
        Some(Command::Token(_)) => ExitCode::SUCCESS,
    }
}

fn serve(process: ProcessConfig, config: AnalyticsConfig) -> ExitCode {
    modash_runtime::run(PROGRAM, process, |context| async {
        Box::pin(Analytics::bind(config).await?.run(context)).await
    })
}

fn healthcheck(config: &AnalyticsConfig) -> ExitCode {
    match modash_analytics::check_health(config.admin_listen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "{PROGRAM}: {problem}");
            ExitCode::FAILURE
        }
    }
}
