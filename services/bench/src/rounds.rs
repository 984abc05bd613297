//! Sends each load to one target after the other, again and again, so that what
//! else the machine does meets all of them alike.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use modash_simulator::{LoadReport, Progress};

use crate::{
    Outcome, instructions,
    scenario::{Measure, Quantile, Scenario},
    target::{Target, Targets},
};

/// Figures of one scenario: for each target one a round.
pub(crate) type Figures = BTreeMap<&'static str, Vec<f64>>;

/// Measures one scenario.
pub(crate) async fn measure(
    scenario: &Scenario,
    targets: &Targets,
    rounds: usize,
    time: Duration,
) -> Outcome<Figures> {
    if scenario.measure == Measure::Instructions {
        return instructions::measure(scenario, targets).await;
    }
    let mut figures = Figures::new();
    let rounds = if scenario.is_of_memory() { 1 } else { rounds };
    let asked: Vec<&Target> = targets
        .all
        .iter()
        .filter(|target| target.pid.is_some() || scenario.measure.is_of_direct())
        .collect();
    for round in 0..rounds {
        // Each round begins with another one.
        for turn in 0..asked.len() {
            let target = asked[(turn + round) % asked.len()];
            eprint!("\r{}: round {} of {rounds}, {:<20}", scenario.name, round + 1, target.name);
            let figure = ask(scenario, target, &targets.all[0], time).await?;
            figures.entry(target.name).or_default().push(figure);
        }
    }
    eprintln!();
    Ok(figures)
}

async fn ask(
    scenario: &Scenario,
    target: &Target,
    server: &Target,
    time: Duration,
) -> Outcome<f64> {
    let plan = scenario.plan(target, server, time)?;
    let before = target.pid.map(resident_bytes).transpose()?.unwrap_or_default();
    let report = plan.run(&Arc::new(Progress::default())).await?;
    if report.failures.total > 0 {
        let examples = report.failures.examples.join(", ");
        return Err(format!("{} failed through {}: {examples}", scenario.name, target.name).into());
    }
    figure(scenario, target, &report, before)
        .ok_or_else(|| format!("{} through {} gave no figure", scenario.name, target.name).into())
}

fn figure(scenario: &Scenario, target: &Target, report: &LoadReport, before: u64) -> Option<f64> {
    let used = || report.processes.get(&target.pid?);
    let cpu = || used()?.cpu_microseconds_per_request;
    let grown = || Some(used()?.peak_resident_bytes.saturating_sub(before) as f64);
    match scenario.measure {
        Measure::CpuPerRequest => cpu(),
        Measure::CpuPerEvent(events) => Some(cpu()? / events),
        Measure::FirstChunk(Quantile::P50) => Some(report.first_byte_ms.p50? * 1e3),
        Measure::FirstChunk(Quantile::P99) => Some(report.first_byte_ms.p99? * 1e3),
        // Counted elsewhere.
        Measure::Instructions => None,
        Measure::MemoryPerConnection => Some(grown()? / 1024.0 / scenario.connections() as f64),
        Measure::Memory => Some(grown()? / f64::from(1 << 20)),
    }
}

fn resident_bytes(pid: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024)
}
