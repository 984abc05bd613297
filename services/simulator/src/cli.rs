//! The command line of `modash-simulator`: which part to run, and with what.

mod load;

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use modash_runtime::{Mistakes, ProcessConfig, ProcessSettings};

use crate::{Pace, Simulator, SimulatorConfig, Traffic, TrafficConfig};

const PROGRAM: &str = "modash-simulator";

/// A simulated LLM server, traffic for a demo, and a load generator
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    process: ProcessSettings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the APIs of OpenAI, Anthropic, Ollama, llama.cpp and Gemini with made-up answers
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Send a gentle stream of varied requests, such as people make in a day
    Traffic(TrafficArgs),
    /// Send one request again and again, and report latency, throughput and what it cost
    #[command(after_help = LOAD_HELP)]
    Load(Box<load::LoadArgs>),
}

const LOAD_HELP: &str = "\
With --rate, latency counts from when a request was due, so that a server that
stalls does not hide the requests which could not be sent meanwhile; the line
\"uncorrected\" counts from the sending.
Exit code 0 if every request was answered (with the expected bytes, if asked).
Example, one proxy against the server behind it:
  modash-simulator serve --prebuilt &
  modash-simulator load --stream --rate 500 -H 'x-simulate-output-tokens: 200' \\
    --url http://127.0.0.1:4005/v1/chat/completions \\
    --expect-from http://127.0.0.1:4010/v1/chat/completions --pid $(pgrep modash-proxy)";

const SERVE_HELP: &str = "\
A prompt has as many tokens as words, an answer as many words as tokens.
Headers of a request steer its answer:
  x-simulate-status: 429               an error, in the shape of the API
  x-simulate-fault: drop               close the connection before the response
                  | break | stall      cut, or stop sending, after half of the body
                  | empty              a success without a body
                  | stream-error       an error in the middle of a stream
                  | malformed          broken JSON in the middle
  x-simulate-output-tokens: 200        also: prompt-, cached-, cache-write-, reasoning-tokens
  x-simulate-delay-ms: 50              wait before the response head
  x-simulate-prefill-ms: 300           wait before the first token
  x-simulate-token-interval-ms: 20     wait between tokens
  x-simulate-burst: true               many events in one write
  x-simulate-body-bytes: 1000000       fill the body up to exactly this length
  x-simulate-model: other              name another model in the response
  x-simulate-tool-call: search         call this function instead of talking
  x-simulate-timings: true             llama.cpp's timings in OpenAI chat
GET /simulator/stats counts requests, and tokens by model.";

#[derive(Debug, Args)]
struct ServeArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:4010")]
    listen: SocketAddr,

    /// Output tokens of an answer when neither the request nor a header says
    #[arg(long, default_value = "24")]
    output_tokens: u64,

    /// Milliseconds before the response head
    #[arg(long, default_value = "0")]
    delay_ms: f64,

    /// Milliseconds from the response head to the first token
    #[arg(long, default_value = "0")]
    prefill_ms: f64,

    /// Milliseconds between tokens
    #[arg(long, default_value = "0")]
    token_interval_ms: f64,

    /// Write many events at once instead of each on its own
    #[arg(long)]
    burst: bool,

    /// Answer byte-identical requests with byte-identical answers that are built
    /// once (for benchmarks)
    #[arg(long)]
    prebuilt: bool,

    /// State rate limits in the headers of answers
    #[arg(long)]
    rate_limits: bool,
}

#[derive(Debug, Args)]
struct TrafficArgs {
    /// Base URL to send to: a proxy in front of the simulated server, or that
    /// server itself
    #[arg(long, default_value = "http://127.0.0.1:4005")]
    target: String,

    /// Requests per second in the busiest hour
    #[arg(long, default_value = "3")]
    rate: f64,

    /// Minutes in which a day of 24 hours passes
    #[arg(long, default_value = "24")]
    day_minutes: f64,

    /// Make the same traffic again
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn run() -> ExitCode {
    let cli: Cli = match modash_runtime::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let mut mistakes = Mistakes::default();
    let process = cli.process.check(&mut mistakes);
    match cli.command {
        Command::Serve(args) => serve(&args, process, mistakes),
        Command::Traffic(args) => traffic(args, process, &mistakes),
        Command::Load(args) => {
            let plan = args.plan(&mut mistakes);
            start(process, &mistakes, |context| async move {
                match plan {
                    Some(plan) => args.run(plan, context).await,
                    // Each missing plan has left a mistake, which is reported.
                    None => Ok(()),
                }
            })
        }
    }
}

fn serve(args: &ServeArgs, process: Option<ProcessConfig>, mut mistakes: Mistakes) -> ExitCode {
    let defaults = SimulatorConfig::default();
    let config = SimulatorConfig {
        listen: args.listen,
        output_tokens: args.output_tokens,
        pace: Pace {
            delay: milliseconds("--delay-ms", args.delay_ms, &mut mistakes),
            prefill: milliseconds("--prefill-ms", args.prefill_ms, &mut mistakes),
            token_interval: milliseconds(
                "--token-interval-ms",
                args.token_interval_ms,
                &mut mistakes,
            ),
            burst: args.burst,
        },
        prebuilt: args.prebuilt,
        rate_limits: args.rate_limits,
        ..defaults
    };
    start(process, &mistakes, |context| async move {
        let simulator = Simulator::bind(config).await?;
        tracing::info!(url = simulator.url(), "the simulated LLM server is ready");
        simulator.run(context.shutdown).await;
        Ok(())
    })
}

fn traffic(args: TrafficArgs, process: Option<ProcessConfig>, mistakes: &Mistakes) -> ExitCode {
    let config = TrafficConfig {
        target: args.target,
        peak_requests_per_second: args.rate,
        day: Duration::try_from_secs_f64(args.day_minutes * 60.0).unwrap_or_default(),
        seed: args.seed,
    };
    start(process, mistakes, |context| async move {
        Traffic::new(config)?.run(context.shutdown).await;
        Ok(())
    })
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn start<F: Future<Output = Outcome>>(
    process: Option<ProcessConfig>,
    mistakes: &Mistakes,
    service: impl FnOnce(modash_runtime::ServiceContext) -> F,
) -> ExitCode {
    match process {
        Some(process) if mistakes.is_empty() => modash_runtime::run(PROGRAM, process, service),
        _ => mistakes.report(PROGRAM),
    }
}

fn milliseconds(name: &str, value: f64, mistakes: &mut Mistakes) -> Duration {
    match Duration::try_from_secs_f64(value / 1e3) {
        Ok(duration) if duration <= Duration::from_secs(3_600) => duration,
        _ => {
            mistakes.add(name, "must be a number of milliseconds from 0 to 3600000");
            Duration::ZERO
        }
    }
}
