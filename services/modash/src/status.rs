//! `modash status`: what runs now, as a table that follows in the terminal. `client` asks
//! analytics, `now` is what it said, `view` is the table, `screen` the terminal.

mod client;
mod now;
mod screen;
mod view;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use modash_access::TokenSource;
use modash_runtime::{Mistakes, ProcessSettings, ServiceContext, run};

use crate::{Error, Settings, terminal};
use client::Client;

/// What to ask, and how to show it.
#[derive(Debug, Clone, Args)]
pub struct StatusOptions {
    /// Analytics to ask, for example https://analytics.example.com:4007; the one of this
    /// machine if not set
    #[arg(long, value_name = "URL")]
    from: Option<String>,

    /// File with a token of the role read or admin, where analytics asks for one
    /// [default: dashboard.token in the data directory, if it is there]
    #[arg(long, env = "MODASH_STATUS_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Write one JSON object and end
    #[arg(long)]
    json: bool,
}

/// Shows what runs.
pub(crate) fn main(
    options: StatusOptions,
    settings: Settings,
    process: ProcessSettings,
) -> ExitCode {
    let mut mistakes = Mistakes::default();
    let config = settings.check_data(&mut mistakes);
    match (config, process.quiet().check(&mut mistakes)) {
        (Some((database, analytics)), Some(process)) if mistakes.is_empty() => {
            let here = crate::all_in_one::url(analytics.listen);
            let from = options.from.clone().unwrap_or(here);
            let kept = database.data_directory.join("dashboard.token");
            let token_file = options.token_file.clone().or_else(|| kept.exists().then_some(kept));
            let client = Client::new(from, token_file.map(TokenSource::File));
            run("modash", process, |context| show(options, client, context))
        }
        _ => mistakes.report("modash"),
    }
}

async fn show(
    options: StatusOptions,
    client: Client,
    context: ServiceContext,
) -> Result<(), Error> {
    let live = std::io::stdout().is_terminal() && !options.json;
    if live {
        return screen::follow(&client, &context.shutdown).await;
    }
    let now = client.once().await?;
    let text = if options.json {
        now.to_json()
    } else {
        view::lines(&now, terminal::columns().unwrap_or(120), usize::MAX).join("\n") + "\n"
    };
    // Whoever closed standard output has read enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}
