//! One process: start logging, run the service until a signal or its own end,
//! drain, and say by the exit code how it went.

use std::{
    error::Error, fmt::Display, future::Future, io::Write as _, process::ExitCode, str::FromStr,
    time::Duration,
};

use clap::Args;
use modash_telemetry::{Environment, Telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::{Checked, LogFormat, Metrics, Mistakes, Readiness, Seconds, Shutdown, log, settings};

/// Settings that every process has.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessSettings {
    /// Which log lines to write: error, warn, info, debug, trace, or a list such
    /// as `info,modash_proxy=debug` [default: info; commands: warn]
    #[arg(long, env = "MODASH_LOG", global = true)]
    log: Option<Checked<LogFilter>>,

    /// Form of the log lines on standard error: text, json (the fields of OpenTelemetry's
    /// log data model), or auto: text on a terminal, else json
    #[arg(long, env = "MODASH_LOG_FORMAT", default_value = "auto")]
    log_format: Checked<LogFormat>,

    /// How long a stop may take before what still runs is cut off
    #[arg(long, env = "MODASH_GRACE_PERIOD_SECONDS", default_value = "30")]
    grace_period_seconds: Checked<Seconds>,

    /// Telemetry is exported if the environment says so.
    #[arg(skip = true)]
    exports: bool,
}

/// Checked form of the settings.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    log: LogFilter,
    log_format: LogFormat,
    grace_period: Duration,
    /// Telemetry is exported if the environment says so.
    exports: bool,
}

impl ProcessSettings {
    /// The same for a command that a person runs and looks at: it writes warnings
    /// only, unless told otherwise, and exports no telemetry.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.log.get_or_insert_with(|| Checked::from(LogFilter::of(LevelFilter::WARN)));
        self.exports = false;
        self
    }

    /// Checks the settings and notes every mistake.
    pub fn check(self, mistakes: &mut Mistakes) -> Option<ProcessConfig> {
        let log = Checked::check_optional(self.log, "MODASH_LOG", mistakes);
        let log_format = self.log_format.check("MODASH_LOG_FORMAT", mistakes);
        let grace_period = self.grace_period_seconds.check("MODASH_GRACE_PERIOD_SECONDS", mistakes);
        let log = log?.unwrap_or_else(|| LogFilter::of(LevelFilter::INFO));
        let (log_format, grace_period) = (log_format?, grace_period?.0);
        Some(ProcessConfig { log, log_format, grace_period, exports: self.exports })
    }
}

/// A valid filter for log lines.
#[derive(Debug, Clone)]
struct LogFilter(Targets);

impl LogFilter {
    fn of(least: LevelFilter) -> Self {
        Self(Targets::new().with_default(least))
    }
}

impl FromStr for LogFilter {
    type Err = <Targets as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What a service gets from its process. Clones share everything.
#[derive(Debug, Clone)]
pub struct ServiceContext {
    /// When to stop.
    pub shutdown: Shutdown,
    /// What must come before traffic.
    pub readiness: Readiness,
    /// What is counted.
    pub metrics: Metrics,
    /// Traces and metrics by OTLP; `None`: off.
    pub telemetry: Option<Telemetry>,
}

impl ServiceContext {
    /// A context of its own, for tests and for services inside one process.
    #[must_use]
    pub fn new(grace_period: Duration) -> Self {
        Self {
            shutdown: Shutdown::new(grace_period),
            readiness: Readiness::default(),
            metrics: Metrics::default(),
            telemetry: None,
        }
    }

    /// The same with the telemetry of another.
    #[must_use]
    pub fn with_telemetry_of(self, other: &Self) -> Self {
        Self { telemetry: other.telemetry.clone(), ..self }
    }
}

/// Runs `service` on a multi-threaded runtime. SIGINT and SIGTERM ask it to
/// stop; a second one ends the process at once. An error is written as one line
/// and gives exit code 1.
pub fn run<F, E>(
    program: &str,
    config: ProcessConfig,
    service: impl FnOnce(ServiceContext) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Into<Box<dyn Error>>,
{
    let ProcessConfig { log, log_format, grace_period, exports } = config;
    let environment = exports.then(|| Environment::from(settings::variable));
    let telemetry = match environment.map(|found| Telemetry::start(found, program)).transpose() {
        Ok(telemetry) => telemetry.flatten(),
        Err(error) => return fail(program, &error.to_string()),
    };
    log::start(program, log.0, log_format, telemetry.as_ref());
    let settings = settings::effective();
    tracing::info!(program, version = env!("CARGO_PKG_VERSION"), settings, "starting");
    telemetry.iter().for_each(Telemetry::announce);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(program, &format!("cannot start threads: {error}")),
    };
    let context =
        ServiceContext { telemetry: telemetry.clone(), ..ServiceContext::new(grace_period) };
    let shutdown = context.shutdown.clone();
    let ended = runtime.block_on(async {
        let service = service(context);
        tokio::select! {
            // Signals are waited for before the service begins: until then they end
            // the process, with all that it has taken on.
            biased;
            () = stop_signals(&shutdown) => None,
            result = service => Some(result),
        }
    });
    // Blocking tasks that are stuck must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if ended.is_some() {
        telemetry.iter().for_each(Telemetry::finish);
    }
    match ended {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => fail(program, &chain(error.into().as_ref())),
        None => fail(program, "ended at once by a second signal"),
    }
}

/// Asks for a stop at the first signal; returns at the second.
async fn stop_signals(shutdown: &Shutdown) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be received; only a kill will stop this process");
        return std::future::pending().await;
    };
    let mut next = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    next().await;
    tracing::info!(
        grace_seconds = shutdown.time_left().as_secs_f64(),
        "stopping; a second signal ends at once"
    );
    shutdown.request();
    next().await;
}

fn fail(program: &str, problem: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{program}: {problem}");
    ExitCode::FAILURE
}

/// An error with its causes, unless a cause is already in the text before it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = (error as &dyn Display).to_string();
        if !text.contains(&line) {
            text = format!("{text}: {line}");
        }
        cause = error.source();
    }
    text
}
