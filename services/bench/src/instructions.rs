//! Instructions of a small request in user space, which nothing else on the machine
//! changes: the slope of callgrind's count between two numbers of requests. The
//! kernel's are not among them, and callgrind's processor has no instructions for
//! SHA-256, so fingerprints of credentials cost more here.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use modash_simulator::Progress;

use crate::{
    Outcome,
    programs::{self, Build, UNBUFFERED},
    rounds::Figures,
    scenario::Scenario,
    target::{Running, Target, Targets, free_ports, open_to_all},
};

/// How many requests are sent; the first ones pay for what is made once.
const REQUESTS: [u64; 2] = [500, 2_500];

/// Counts those of nginx, bare hyper and modash, of the thread that forwards.
pub(crate) async fn measure(scenario: &Scenario, targets: &Targets) -> Outcome<Figures> {
    let mut figures = Figures::new();
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("valgrind is not installed: instructions are not counted");
        return Ok(figures);
    }
    for target in &targets.all {
        if !matches!(target.name, "nginx" | "bare hyper" | "modash") {
            continue;
        }
        let mut counts = Vec::new();
        for requests in REQUESTS {
            eprint!("\r{}: {requests} requests, {:<20}", scenario.name, target.name);
            counts.push(count(scenario, target.name, targets, requests).await?);
        }
        let slopes = counts[1].iter().map(|(thread, last)| {
            let first = counts[0].get(thread).copied().unwrap_or_default();
            last.saturating_sub(first) as f64 / (REQUESTS[1] - REQUESTS[0]) as f64
        });
        let (most, all) =
            slopes.fold((0.0, 0.0), |(most, all), slope| (f64::max(most, slope), all + slope));
        eprintln!("\r{}: {}, all threads {all:.0}{:<20}", scenario.name, target.name, "");
        figures.entry(target.name).or_default().push(most);
    }
    Ok(figures)
}

/// Instructions of each thread of a program that forwards so many requests.
async fn count(
    scenario: &Scenario,
    name: &'static str,
    targets: &Targets,
    requests: u64,
) -> Outcome<BTreeMap<String, u64>> {
    let place = targets.place().join(format!("callgrind-{name}-{requests}").replace(' ', "-"));
    fs::create_dir(&place)?;
    open_to_all(&place)?;
    let server = &targets.all[0];
    let [listen, admin] = free_ports()?;
    let command = match name {
        "nginx" => {
            let process = "daemon off; master_process off;";
            programs::nginx(&place, listen, server.address, UNBUFFERED, process)?
        }
        "bare hyper" => programs::bare(listen, server.address)?,
        _ => Build::own()?.proxy(listen, admin, server.address, targets.analytics, &place)?,
    };
    let running = Running::start(under_callgrind(&command, &place), listen).await?;
    let target = Target { name, address: listen, pid: None };
    let plan = scenario.counted(&target, server, requests)?;
    let report = plan.run(&Arc::new(Progress::default())).await?;
    if report.failures.total > 0 {
        let examples = report.failures.examples.join(", ");
        return Err(format!("{} failed through {name}: {examples}", scenario.name).into());
    }
    drop(running);
    totals(&place)
}

fn under_callgrind(program: &Command, place: &Path) -> Command {
    let mut command = Command::new("valgrind");
    let out = format!("--callgrind-out-file={}", place.join("count").display());
    command.args(["--tool=callgrind", "--separate-threads=yes"]).arg(out);
    command.arg(program.get_program()).args(program.get_args());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("MODASH_PROXY_THREADS", "1");
    command
}

/// The totals of each thread, which callgrind writes into files of their own.
fn totals(place: &Path) -> Outcome<BTreeMap<String, u64>> {
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir(place)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with("count-") {
            continue;
        }
        let text = fs::read_to_string(place.join(&name))?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        threads.insert(name, total.ok_or("callgrind wrote no total")?.trim().parse()?);
    }
    if threads.is_empty() {
        return Err("callgrind wrote nothing".into());
    }
    Ok(threads)
}
