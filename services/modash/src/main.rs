//! The all-in-one process.

use std::process::ExitCode;

use clap::Parser;
use modash::{Command, Settings};
use modash_runtime::{Mistakes, ProcessSettings, parse, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A transparent metering proxy and live dashboard for LLM API traffic, all in
/// one process. Point an application's base URL at the proxy and open the
/// dashboard.
#[derive(Debug, Parser)]
#[command(name = "modash", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    modash: Settings,
    #[command(flatten)]
    process: ProcessSettings,
}

fn main() -> ExitCode {
    let cli: Cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match cli.command {
        Some(Command::Token(command)) => {
            modash_access::run_command("modash", command, cli.modash.access())
        }
        None => serve(cli.modash, cli.process),
        Some(command) => run_command(command, cli.modash, cli.process),
    }
}

fn serve(settings: Settings, process: ProcessSettings) -> ExitCode {
    let mut mistakes = Mistakes::default();
    let config = settings.check(&mut mistakes);
    match (config, process.check(&mut mistakes)) {
        (Some(config), Some(process)) if mistakes.is_empty() => {
            run("modash", process, |context| modash::run(config, context))
        }
        _ => mistakes.report("modash"),
    }
}

fn run_command(command: Command, settings: Settings, process: ProcessSettings) -> ExitCode {
    let mut mistakes = Mistakes::default();
    let config = settings.check_data(&mut mistakes);
    if let Some((_, analytics)) = &config {
        command.check(analytics, &mut mistakes);
    }
    match (config, process.quiet().check(&mut mistakes)) {
        (Some((database, analytics)), Some(process)) if mistakes.is_empty() => {
            run("modash", process, |context| command.run(database, analytics, context))
        }
        _ => mistakes.report("modash"),
    }
}
