//! How fast analytics is: what ingest takes compared with the bare database, and
//! how long each query of the dashboard takes with few and with many requests.
//! Starts a private PostgreSQL of its own, fills it, measures through gRPC, and
//! writes its results into docs/performance.md.
//!
//! Settings, all from the environment:
//! - `ROWS`: numbers of requests to measure with, comma-separated
//!   (default 1000000,10000000,50000000)
//! - `DAYS`: days over which they are spread (default 90)
//! - `DATA`: directory that keeps the data for the next run; without it, a
//!   temporary one
//! - `ROUNDS`: how often each query is asked (default 40)
//! - `ONLY`: a part of the names of the queries that are asked (default: all)
//! - `EVENTS`: events of the ingest measurement (default 400000)
//! - `PARTS`: which parts to run (default generate,ingest,queries)
//! - `OUT`: directory that gets performance.md and images (default: the
//!   repository's docs; `-` prints only)

mod data_set;
mod ingest;
mod plot;
mod processors;
mod queries;
mod report;
mod settings;

use std::error::Error;

use data_set::Server;
use ingest::Pace;
use report::Report;
use settings::Settings;

/// That of `modash` and `modash-analytics`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let settings = Settings::from_environment()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&settings))
}

async fn run(settings: &Settings) -> Result<()> {
    let server = Server::start(settings.data.as_deref()).await?;
    let mut report = Report::new(server.version());
    for rows in &settings.rows {
        let Some(data_set) = server.data_set(*rows, settings).await? else {
            eprintln!("{rows} rows are not generated, and `generate` is not among PARTS");
            continue;
        };
        report.sizes.push((*rows, data_set.bytes_per_request));
        if settings.queries {
            report
                .queries
                .push((*rows, queries::measure(&data_set, settings.rounds, &settings.only).await?));
        }
    }
    if settings.ingest {
        for pace in [Pace::AsTheyCome, Pace::ADayAtOnce] {
            report.ingest.push(ingest::measure(&server, settings.events, pace).await?);
        }
    }
    print!("{}", report.to_markdown());
    if let Some(out) = &settings.out {
        report.write(out)?;
    }
    server.stop().await;
    Ok(())
}
