//! `modash doctor`: looks at everything that modash needs, and says what is to be mended
//! and how. `gather` collects facts and is the only part that asks anybody; `findings`
//! judges them; `print` shows them.

mod clients;
mod facts;
mod finding;
mod findings;
mod gather;
mod owner;
mod print;

use std::{io::Write as _, process::ExitCode};

use clap::Args;
use modash_runtime::{Mistakes, ProcessSettings, run};

use crate::{Config, Error, Settings, terminal};
use finding::Level;

/// How to look.
#[derive(Debug, Clone, Args)]
pub struct DoctorOptions {
    /// Have this model generate a few tokens, to see whether its streams report usage;
    /// an upstream may charge for them
    #[arg(long, value_name = "MODEL")]
    r#try: Option<String>,

    /// Key to show to upstreams, for those that answer nothing without one; set it in the
    /// environment, since flags are seen in the list of processes
    #[arg(long, env = "MODASH_DOCTOR_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<String>,

    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// Looks, and prints what was found. Exit code 1: there is something to mend.
pub(crate) fn main(
    options: DoctorOptions,
    settings: Settings,
    process: ProcessSettings,
) -> ExitCode {
    let mut mistakes = Mistakes::default();
    mistakes.require(
        options
            .api_key
            .as_ref()
            .is_none_or(|key| key.chars().all(|letter| letter.is_ascii_graphic())),
        "MODASH_DOCTOR_API_KEY",
        "must have letters, digits and signs of ASCII only",
    );
    let config = settings.check(&mut mistakes);
    match (config, process.quiet().check(&mut mistakes)) {
        (Some(config), Some(process)) if mistakes.is_empty() => {
            run("modash", process, |_| look(options, config))
        }
        _ => mistakes.report("modash"),
    }
}

async fn look(options: DoctorOptions, config: Config) -> Result<(), Error> {
    let facts = Box::pin(gather::gather(config, &options)).await;
    let findings = findings::all(&facts);
    let clients = clients::lines(&facts.listeners, &facts.upstreams);
    let text = if options.json {
        print::json(&findings, &clients)
    } else {
        print::text(&findings, &clients, terminal::columns().unwrap_or(80))
    };
    // Whoever closed standard output has read enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    match findings.iter().filter(|finding| finding.level == Level::Mend).count() {
        0 => Ok(()),
        count => Err(Error::ToMend(count)),
    }
}
