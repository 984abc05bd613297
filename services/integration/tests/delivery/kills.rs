//! The proxy killed again and again under load, every other time within a few
//! milliseconds of an answer's end: each answer whose last byte a client has is a row
//! with its counts. `make test-kills` runs 100 rounds, from `SEED` on.

use std::{
    thread,
    time::{Duration, Instant},
};

use modash_integration::Signal;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::task::block_in_place;

use crate::{
    account::{Account, settle},
    clients::{Asked, Clients, Target},
    disk::with_own_mounts,
    setting,
    system::System,
};

/// Clients of the proxy, and their longest pause between two requests.
const CLIENTS: u64 = 12;
const PAUSE: Duration = Duration::from_millis(4);

/// Longest time from an answer's end to a kill that is aimed at it.
const NEAR: Duration = Duration::from_millis(5);

/// Longest life of a proxy before its kill.
const LIFE: Duration = Duration::from_secs(1);

/// Every so many rounds nothing reaches analytics before the kill.
const STALLED_EVERY: u64 = 4;

#[test]
fn an_answer_that_a_client_has_is_a_row_with_its_counts_whenever_the_proxy_is_killed() {
    with_own_mounts(async {
        let (seed, rounds) = (setting("SEED").unwrap_or(1), setting("ROUNDS").unwrap_or(6));
        // Journals of killed proxies stay for a while, each with its space reserved.
        let mut system = System::with_large_disks(&[]).await;
        let target = Target { pause: PAUSE, ..system.proxied() };
        let clients = Clients::start(&target, CLIENTS, seed);
        let mut draw = StdRng::seed_from_u64(seed);
        let mut kills = Vec::new();
        for round in 0..rounds {
            if round % STALLED_EVERY == 0 {
                system.line.stall();
            }
            tokio::time::sleep(LIFE.mul_f64(draw.random())).await;
            if round % 2 == 0 {
                clients.next_answer().await;
                // More exact than a timer, which counts whole milliseconds.
                block_in_place(|| thread::sleep(NEAR.mul_f64(0.8 * draw.random::<f64>())));
            }
            kills.push(kill(&mut system).await);
            system.line.restore();
        }
        let asked = clients.finish().await;
        let account = settle(&system, &asked).await;
        match account {
            Ok(account) => println!("{}", report(&account, &asked, &kills)),
            Err(reason) => panic!("SEED={seed} ROUNDS={rounds}: {reason}\n{}", system.said()),
        }
    });
}

/// Kills the proxy and starts it again; gives the moment of the kill.
async fn kill(system: &mut System) -> Instant {
    system.lives.end();
    let at = Instant::now();
    system.proxy.end(Signal::KILL).await;
    system.proxy.start_again().await;
    system.lives.begin();
    at
}

fn report(account: &Account, asked: &[Asked], kills: &[Instant]) -> String {
    let whole = asked.iter().filter(|asked| asked.counts.is_some());
    let ends: Vec<Instant> = whole.map(|asked| asked.ended).collect();
    let distance = |kill: &Instant| {
        let distances = ends.iter().map(|end| *end.max(kill) - *end.min(kill));
        distances.min().unwrap_or(Duration::MAX)
    };
    let near = kills.iter().filter(|kill| distance(kill) <= NEAR).count();
    format!(
        "{} kills, {near} of them within {NEAR:?} of an answer's end\n\
         {} requests, {} cut off by a kill; {} whole answers, each with its row and its counts\n\
         {} rows, {} of them interrupted, {} dropped, {} sent twice without effect; all was well \
         {:.1} s after the last kill",
        kills.len(),
        account.asked,
        asked.iter().filter(|asked| asked.killed && asked.failure.is_some()).count(),
        account.whole,
        account.rows,
        account.interrupted,
        account.dropped,
        account.duplicate,
        account.settled_after.as_secs_f64(),
    )
}
