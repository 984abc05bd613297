//! Rounds of faults under load. `SEED=17 ROUNDS=1` repeats one.

use std::{
    fmt,
    time::{Duration, Instant},
};

use modash_test_support::eventually;

use crate::{
    account::{Account, settle, slowest},
    clients::Clients,
    disk::with_own_mounts,
    fault::{Fault, Planned, plan},
    setting,
    system::System,
};

/// Clients of the proxy.
const CLIENTS: u64 = 12;

/// How long clients ask before the first fault and after the last one.
const BEFORE: Duration = Duration::from_millis(300);
const AFTER: Duration = Duration::from_millis(700);

/// How much slower than without a proxy an answer may be while this machine is
/// busy and the proxy has to connect again.
const SLOWER: u32 = 5;
const SLOWER_BY: Duration = Duration::from_secs(2);

#[test]
fn faults_lose_nothing_repeat_nothing_and_disturb_no_client() {
    with_own_mounts(async {
        let (first, rounds) = (setting("SEED").unwrap_or(1), setting("ROUNDS").unwrap_or(3));
        let mut failed = Vec::new();
        println!("{}", Line::HEAD);
        for seed in first..first + rounds {
            let line = round(seed).await;
            println!("{line}");
            if line.result.is_err() {
                failed.push(seed);
            }
        }
        let seeds = failed.iter().map(|seed| format!("SEED={seed} ROUNDS=1")).collect::<Vec<_>>();
        assert!(failed.is_empty(), "{} of {rounds} rounds failed: {seeds:?}", failed.len());
    });
}

/// What a round came to.
struct Line {
    seed: u64,
    plan: Vec<Planned>,
    left_out: Vec<Fault>,
    slowest_direct: Duration,
    result: Result<Account, String>,
}

async fn round(seed: u64) -> Line {
    // As small as it may be, so that a full disk meets it.
    let settings = [("MODASH_PROXY_SPOOL_EVENTS", "1000".to_owned())];
    let mut system = System::start(&settings).await;
    let (mut plan, left_out): (Vec<_>, Vec<_>) =
        plan(seed).into_iter().partition(|planned| planned.fault.is_possible(&system));
    plan.sort_by_key(|planned| planned.begin);
    let clients = Clients::start(&system.proxied(), CLIENTS, seed);
    let direct = Clients::start(&system.direct(), 1, seed);
    eventually(modash_integration::PATIENCE, || async { clients.done() > 20 }).await;
    play(&mut system, &plan, seed).await;
    tokio::time::sleep(AFTER).await;
    let (asked, direct) = (clients.finish().await, slowest(&direct.finish().await));
    let mut result = settle(&system, &asked).await;
    let limit = SLOWER * direct + SLOWER_BY;
    if let Ok(account) = &result
        && account.slowest > limit
    {
        result =
            Err(format!("an answer took {:?}, and without a proxy {direct:?}", account.slowest));
    }
    if result.is_err() {
        println!("{}", system.said());
    }
    let left_out = left_out.iter().map(|planned| planned.fault).collect();
    Line { seed, plan, left_out, slowest_direct: direct, result }
}

/// Begins and ends each fault at its time.
async fn play(system: &mut System, plan: &[Planned], seed: u64) {
    let begun = Instant::now();
    let begins = plan.iter().map(|planned| (planned.begin, true, planned.fault));
    let ends = plan.iter().map(|planned| (planned.end, false, planned.fault));
    let mut steps: Vec<_> = begins.chain(ends).collect();
    steps.sort_by_key(|(at, ..)| *at);
    for (at, begins, fault) in steps {
        tokio::time::sleep((BEFORE + at).saturating_sub(begun.elapsed())).await;
        if begins {
            fault.begin(system, seed).await;
        } else {
            fault.end(system, seed).await;
        }
    }
}

impl Line {
    const HEAD: &str = "
  seed  asked killed  completed   rows  interrupted dropped repeated  slowest direct  settled  result";
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = self.result.clone().unwrap_or_default();
        let plan = self.plan.iter().map(Planned::to_string).collect::<Vec<_>>().join(", ");
        write!(
            f,
            "{:6} {:6} {:6} {:10} {:6} {:12} {:7} {:8} {:6} ms {:3} ms {:6.1} s  {}  {plan}",
            self.seed,
            account.asked,
            account.killed,
            account.completed,
            account.rows,
            account.interrupted,
            account.dropped,
            account.duplicate,
            account.slowest.as_millis(),
            self.slowest_direct.as_millis(),
            account.settled_after.as_secs_f64(),
            if self.result.is_ok() { "ok" } else { "FAILED" },
        )?;
        if !self.left_out.is_empty() {
            write!(f, "; left out: {:?}", self.left_out)?;
        }
        if let Err(reason) = &self.result {
            write!(f, "\n       {reason}")?;
        }
        Ok(())
    }
}
