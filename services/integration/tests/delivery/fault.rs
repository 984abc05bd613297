//! What goes wrong in a round, when and for how long: drawn from its seed.

use std::{fmt, time::Duration};

use modash_integration::Signal;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::{
    repeats,
    system::{REPLICA, System},
};

/// One thing that goes wrong, at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The proxy is killed.
    ProxyKilled,
    /// Analytics is killed.
    AnalyticsKilled,
    /// Analytics is stopped in order.
    AnalyticsStopped,
    /// The gateway is killed.
    GatewayKilled,
    /// PostgreSQL is killed.
    DatabaseKilled,
    /// One process of PostgreSQL is killed; it recovers by itself.
    BackendKilled,
    /// PostgreSQL is restarted in order.
    DatabaseRestarted,
    /// PostgreSQL becomes a standby that only reads, and then primary again.
    DatabaseReadOnly,
    /// PostgreSQL's disk is full.
    DatabaseFull,
    /// A session that does nothing locks what commits need.
    DatabaseLocked,
    /// A session locks in another order.
    Deadlocks,
    /// The line lets nothing through.
    LineStalled,
    /// The line breaks every connection.
    LineCut,
    /// The line is slow.
    LineSlow,
    /// The spool's disk is full.
    SpoolFull,
    /// Somebody sends the same events, twice, in another order, before the proxy
    /// does.
    Repeats,
    /// The proxy's clock jumps.
    ClockJumps,
}

use Fault::*;

/// All of them.
pub(crate) const FAULTS: [Fault; 17] = [
    ProxyKilled,
    LineStalled,
    DatabaseKilled,
    Repeats,
    SpoolFull,
    AnalyticsKilled,
    Deadlocks,
    DatabaseFull,
    LineCut,
    DatabaseReadOnly,
    GatewayKilled,
    BackendKilled,
    AnalyticsStopped,
    DatabaseLocked,
    ClockJumps,
    LineSlow,
    DatabaseRestarted,
];

/// A fault with its time, from the beginning of the round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    /// What.
    pub(crate) fault: Fault,
    /// Its begin.
    pub(crate) begin: Duration,
    /// Its end.
    pub(crate) end: Duration,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begin, end) = (self.begin.as_secs_f64(), self.end.as_secs_f64());
        write!(f, "{:?} {begin:.1}-{end:.1}", self.fault)
    }
}

/// The faults of a round: one to four at different places, now and then all at
/// once. Seeds that follow each other have every kind as their first; every tenth
/// one kills everything at once.
pub(crate) fn plan(seed: u64) -> Vec<Planned> {
    let mut draw = StdRng::seed_from_u64(seed);
    let mut faults = vec![FAULTS[(seed % FAULTS.len() as u64) as usize]];
    for _ in 0..draw.random_range(0..4) {
        let more = *FAULTS.choose(&mut draw).unwrap();
        if faults.iter().all(|fault| fault.place() != more.place()) {
            faults.push(more);
        }
    }
    let everything = seed.is_multiple_of(10);
    if everything {
        faults = vec![ProxyKilled, AnalyticsKilled, DatabaseKilled, GatewayKilled];
    }
    let together = (everything || draw.random_bool(0.3)).then(|| draw.random_range(300..2_000));
    let planned = faults.into_iter().map(|fault| {
        let begin = together.unwrap_or_else(|| draw.random_range(300..3_000));
        let length = draw.random_range(200..2_500);
        let millis = Duration::from_millis;
        Planned { fault, begin: millis(begin), end: millis(begin + length) }
    });
    planned.collect()
}

impl Fault {
    /// Where it happens: a place has one fault at a time.
    fn place(self) -> &'static str {
        match self {
            ProxyKilled => "proxy",
            AnalyticsKilled | AnalyticsStopped => "analytics",
            GatewayKilled => "gateway",
            DatabaseKilled | BackendKilled | DatabaseRestarted | DatabaseReadOnly
            | DatabaseFull | DatabaseLocked | Deadlocks => "database",
            // Repeats need events that did not get through.
            LineStalled | LineCut | LineSlow | Repeats => "line",
            SpoolFull => "spool",
            ClockJumps => "clock",
        }
    }

    /// Whether it can be had here; the disks need root, the clock `libfaketime`.
    pub(crate) fn is_possible(self, system: &System) -> bool {
        match self {
            DatabaseFull => system.database.can_be_full(),
            SpoolFull => system.spool.is_small(),
            ClockJumps => system.clock.is_some(),
            _ => true,
        }
    }

    /// Lets it happen.
    pub(crate) async fn begin(self, system: &mut System, seed: u64) {
        let mut draw = StdRng::seed_from_u64(seed);
        match self {
            ProxyKilled => {
                system.lives.end();
                system.proxy.end(Signal::KILL).await;
            }
            AnalyticsKilled => system.analytics.end(Signal::KILL).await,
            AnalyticsStopped => system.analytics.end(Signal::TERM).await,
            GatewayKilled => system.gateway.end(Signal::KILL).await,
            DatabaseKilled => system.database.kill().await,
            BackendKilled => system.database.kill_a_connection().await,
            DatabaseRestarted => system.database.stop().await,
            DatabaseReadOnly => system.database.become_standby().await,
            DatabaseFull => system.database.fill_disk().await,
            DatabaseLocked => system.database.lock(),
            Deadlocks => system.database.deadlock(),
            LineStalled | Repeats => system.line.stall(),
            LineCut => system.line.cut(),
            LineSlow => system.line.slow(Duration::from_millis(draw.random_range(20..200))),
            SpoolFull => system.spool.fill(),
            ClockJumps => {
                let hours = *[-20, -1, 1, 20].choose(&mut draw).unwrap();
                system.clock.iter().for_each(|clock| clock.jump(hours * 3_600));
            }
        }
    }

    /// Ends it.
    pub(crate) async fn end(self, system: &mut System, seed: u64) {
        match self {
            ProxyKilled => {
                system.proxy.start_again().await;
                system.lives.begin();
            }
            AnalyticsKilled | AnalyticsStopped => system.analytics.start_again().await,
            GatewayKilled => system.gateway.start_again().await,
            DatabaseKilled | BackendKilled | DatabaseRestarted | DatabaseReadOnly
            | DatabaseFull | DatabaseLocked | Deadlocks => system.database.heal().await,
            LineStalled | LineCut | LineSlow => system.line.restore(),
            Repeats => {
                let mut draw = StdRng::seed_from_u64(seed);
                let spool = system.spool.path().join(REPLICA);
                repeats::send(&spool, system.analytics_address, &mut draw).await;
                system.line.restore();
            }
            SpoolFull => system.spool.free(),
            ClockJumps => system.clock.iter().for_each(|clock| clock.jump(0)),
        }
    }
}
