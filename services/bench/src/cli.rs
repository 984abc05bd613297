//! The command line of `modash-bench`.

use std::{fs, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use http::uri::Authority;

use crate::{
    Outcome, bare, plot, report, rounds::measure, scenario::SCENARIOS, target::Targets,
    verdict::Verdict,
};

/// What a request costs: direct, through nginx, a bare pass-through, and modash
#[derive(Debug, Parser)]
#[command(name = "modash-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare them, in rounds that take turns
    DataPlane(DataPlaneArgs),
    /// Forward everything and look at nothing: what modash is compared with
    Bare(BareArgs),
}

#[derive(Debug, Args)]
struct DataPlaneArgs {
    /// Loads to send, separated by commas: memory, huge, small, instructions,
    /// rate, streams, paced, first-chunk-p50, first-chunk-p99, large
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,

    /// Rounds for each load
    #[arg(long, default_value = "5")]
    rounds: usize,

    /// Seconds for each target in a round
    #[arg(long, default_value = "4")]
    seconds: f64,

    /// Folder with `modash-proxy` and `modash-analytics` of an earlier build, which
    /// is measured in the same rounds
    #[arg(long)]
    before: Option<PathBuf>,

    /// Page of the documentation whose marked part is replaced by the table
    #[arg(long)]
    write: Option<PathBuf>,

    /// Where the picture goes (SVG)
    #[arg(long)]
    plot: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct BareArgs {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,

    /// Host and port to forward to
    #[arg(long)]
    upstream: Authority,

    /// Threads; 0: one for each core
    #[arg(long, default_value = "0")]
    threads: usize,
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn run() -> ExitCode {
    let cli: Cli = match modash_runtime::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let outcome = match cli.command {
        Command::Bare(args) => bare::serve(args.listen, &args.upstream, cores(args.threads)),
        Command::DataPlane(args) => data_plane(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("modash-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn cores(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

fn data_plane(args: &DataPlaneArgs) -> Outcome {
    allow_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let time = Duration::try_from_secs_f64(args.seconds)?;
    runtime.block_on(async {
        let wanted: Vec<_> = SCENARIOS
            .iter()
            .filter(|scenario| {
                args.only.is_empty() || args.only.iter().any(|name| name == scenario.name)
            })
            .collect();
        if wanted.is_empty() {
            let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            return Err(format!("--only takes some of {}", names.join(", ")).into());
        }
        let targets = Targets::start(args.before.as_deref()).await?;
        let mut verdicts = Vec::new();
        for scenario in wanted {
            let figures = measure(scenario, &targets, args.rounds.max(1), time).await?;
            verdicts.push(Verdict::new(scenario, &figures));
        }
        let names: Vec<_> = targets.all.iter().map(|target| target.name).collect();
        let table = report::table(&verdicts, &names);
        println!("{table}");
        println!("events of modash: {}", events(&targets)?);
        targets.stop().await;
        if let Some(page) = &args.write {
            report::write(page, &table)?;
        }
        if let (Some(file), Some(picture)) = (&args.plot, plot::bars(&verdicts)) {
            fs::write(file, picture)?;
        }
        Ok(())
    })
}

/// A connection is two files for whatever stands between.
fn allow_many_files() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit) {
        eprintln!("the limit of open files stays as it is: {error}");
    }
}

/// What modash says of its events: that they were delivered is part of the cost.
fn events(targets: &Targets) -> Outcome<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(targets.metrics)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let counters: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("modash_proxy_events_") && !line.contains('{'))
        .filter_map(|line| line.strip_prefix("modash_proxy_events_"))
        .collect();
    Ok(counters.join(", "))
}
