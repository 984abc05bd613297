//! The all-in-one process.

use std::process::ExitCode;

use clap::Parser;
use modash::Settings;
use modash_runtime::{Mistakes, ProcessSettings, parse, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A transparent metering proxy and live dashboard for LLM API traffic, all in
/// one process. Point an application's base URL at the proxy and open the
/// dashboard.
#[derive(Debug, Parser)]
#[command(name = "modash", version)]
struct Cli {
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
    let mut mistakes = Mistakes::default();
    let config = cli.modash.check(&mut mistakes);
    match (config, cli.process.check(&mut mistakes)) {
        (Some(config), Some(process)) if mistakes.is_empty() => {
            run("modash", process, |context| modash::run(config, context))
        }
        _ => mistakes.report("modash"),
    }
}
