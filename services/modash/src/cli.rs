//! The command line: what is to be done, and with which settings.

use std::process::ExitCode;

use clap::Parser;
use modash_runtime::{Mistakes, ProcessSettings, parse, run};

use crate::{Command, Settings, doctor, open, shell, status};

/// A transparent metering proxy and live dashboard for LLM API traffic, all in
/// one process. Point an application's base URL at the proxy and open the
/// dashboard.
#[derive(Debug, Parser)]
#[command(name = "modash", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    modash: Settings,
    #[command(flatten)]
    process: ProcessSettings,
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let Cli { command, modash: settings, process } = match parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match command {
        None => serve(settings, process),
        Some(Command::Token(command)) => {
            modash_access::run_command("modash", command, settings.access())
        }
        Some(Command::Completions { shell }) => shell::completions(shell),
        Some(Command::Man) => shell::man(),
        Some(Command::Open(options)) => open::main(&options, settings),
        Some(Command::Status(options)) => status::main(options, settings, process),
        Some(Command::Doctor(options)) => doctor::main(options, settings, process),
        Some(command) => run_command(command, settings, process),
    }
}

fn serve(settings: Settings, process: ProcessSettings) -> ExitCode {
    let mut mistakes = Mistakes::default();
    let config = settings.check(&mut mistakes);
    match (config, process.check(&mut mistakes)) {
        (Some(config), Some(process)) if mistakes.is_empty() => {
            run("modash", process, |context| crate::run(config, context))
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
