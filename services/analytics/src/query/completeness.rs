//! Whether every event arrived: the accounts of the proxies, and what follows
//! from them.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use modash_access::Scope;
use modash_proto::{
    micros_from_timestamp, timestamp_from_micros,
    v1::{
        CompletenessRequest, CompletenessResponse, CompletenessState, ReplicaCompleteness,
        ReplicaStats,
    },
};

use tonic::Status;

use super::Queries;
use crate::{error::Failure, store::RunRow};

/// Most replicas in an answer.
const MAX_REPLICAS: usize = 1_000;

/// How long an event may be under way before it counts as waiting.
const UNDER_WAY: TimeDelta = TimeDelta::seconds(2);

/// After how long without a report a replica is silent.
const SILENT_AFTER: TimeDelta = TimeDelta::seconds(15);

impl Queries {
    pub(super) async fn answer_completeness(
        &self,
        CompletenessRequest {}: CompletenessRequest,
        scope: Scope,
    ) -> Result<CompletenessResponse, Failure> {
        if !scope.is_everything() {
            let text =
                "completeness counts the requests of all; a token with a scope may not see it";
            return Err(Status::permission_denied(text).into());
        }
        let (runs, now) = (self.store.replica_runs().await?, Utc::now());
        Ok(CompletenessResponse {
            now: Some(timestamp_from_micros(now.timestamp_micros())),
            replicas: replicas(runs, now),
        })
    }
}

/// One account for each replica from those of its lives, newest first.
fn replicas(runs: Vec<RunRow>, now: DateTime<Utc>) -> Vec<ReplicaCompleteness> {
    let mut replicas: BTreeMap<String, ReplicaCompleteness> = BTreeMap::new();
    for run in runs {
        let full = replicas.len() >= MAX_REPLICAS;
        match replicas.get_mut(&run.replica_id) {
            Some(replica) => {
                // What a proxy says of itself may be any number.
                let dropped = run.stats().map_or(0, |stats| stats.dropped);
                replica.dropped_before = replica.dropped_before.saturating_add(dropped);
                replica.rejected_before += run.rejected.cast_unsigned();
            }
            None if full => {}
            // Who never reports, such as an import, keeps no account.
            None => {
                if let Some(stats) = run.stats() {
                    let replica = account(&run, stats, now);
                    replicas.insert(run.replica_id, replica);
                }
            }
        }
    }
    replicas.into_values().collect()
}

/// The account of one life of a proxy.
fn account(run: &RunRow, stats: ReplicaStats, now: DateTime<Utc>) -> ReplicaCompleteness {
    let wire = |moment: DateTime<Utc>| timestamp_from_micros(moment.timestamp_micros());
    let known = |moment: &DateTime<Utc>| *moment != DateTime::UNIX_EPOCH;
    let (committed, duplicate, rejected) = (
        run.committed.cast_unsigned(),
        run.duplicate.cast_unsigned(),
        run.rejected.cast_unsigned(),
    );
    let mut account = ReplicaCompleteness {
        replica_id: run.replica_id.clone(),
        version: run.version.clone(),
        process_started_at: Some(run.process_started_at).filter(known).map(wire),
        reported_at: Some(run.reported_at).filter(known).map(wire),
        committed,
        duplicate,
        rejected,
        unaccounted: unaccounted(&stats),
        // The report is older than the counts here: it cannot be ahead of them.
        missing: stats.acknowledged.saturating_sub(committed + duplicate + rejected),
        reported: Some(stats),
        ..ReplicaCompleteness::default()
    };
    account.state = state(&account, now - run.reported_at).into();
    account
}

/// What a proxy made and neither handed over, nor has, nor gave up.
fn unaccounted(stats: &ReplicaStats) -> Option<i64> {
    let made = [stats.finished, stats.recovered?, stats.interrupted?];
    let known = [stats.acknowledged, stats.queued, stats.spooled, stats.dropped];
    let sum = |counts: &[u64]| counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    Some(sum(&made).cast_signed().wrapping_sub(sum(&known).cast_signed()))
}

fn state(account: &ReplicaCompleteness, silent_for: TimeDelta) -> CompletenessState {
    let Some(stats) = &account.reported else { return CompletenessState::Unspecified };
    let lost = [account.rejected, stats.rejected, stats.dropped, account.missing];
    if lost.iter().any(|count| *count > 0) || account.unaccounted.is_some_and(|count| count != 0) {
        CompletenessState::Lossy
    } else if waits(account, stats) {
        CompletenessState::Waiting
    } else if stats.stopped {
        CompletenessState::Stopped
    } else if silent_for > SILENT_AFTER {
        CompletenessState::Silent
    } else {
        CompletenessState::Complete
    }
}

/// Whether events are not only under way.
fn waits(account: &ReplicaCompleteness, stats: &ReplicaStats) -> bool {
    let micros =
        |moment: &Option<prost_types::Timestamp>| moment.as_ref().and_then(micros_from_timestamp);
    if stats.queued == 0 && stats.spooled == 0 {
        return false;
    }
    // The proxy's clock may not be ours; a report takes a second to get here.
    match (micros(&stats.oldest_unsent_at), micros(&account.reported_at)) {
        (Some(oldest), Some(reported)) => {
            reported.saturating_sub(oldest) > UNDER_WAY.num_microseconds().unwrap_or(i64::MAX)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled() -> ReplicaCompleteness {
        let stats = ReplicaStats {
            finished: 7,
            recovered: Some(2),
            interrupted: Some(1),
            acknowledged: 10,
            ..ReplicaStats::default()
        };
        ReplicaCompleteness {
            unaccounted: unaccounted(&stats),
            reported: Some(stats),
            ..Default::default()
        }
    }

    fn state_after(
        change: impl FnOnce(&mut ReplicaCompleteness, &mut ReplicaStats),
    ) -> CompletenessState {
        let mut account = settled();
        let mut stats = account.reported.take().unwrap();
        change(&mut account, &mut stats);
        account.reported = Some(stats);
        state(&account, TimeDelta::zero())
    }

    #[test]
    fn green_is_only_what_adds_up() {
        assert_eq!(settled().unaccounted, Some(0));
        assert_eq!(state_after(|_, _| {}), CompletenessState::Complete);
        assert_eq!(state(&settled(), TimeDelta::seconds(16)), CompletenessState::Silent);
        assert_eq!(state_after(|account, _| account.missing = 1), CompletenessState::Lossy);
        assert_eq!(
            state_after(|account, _| account.unaccounted = Some(-1)),
            CompletenessState::Lossy
        );
        assert_eq!(state_after(|account, _| account.rejected = 1), CompletenessState::Lossy);
        assert_eq!(state_after(|_, stats| stats.dropped = 1), CompletenessState::Lossy);
        assert_eq!(state_after(|_, stats| stats.spooled = 1), CompletenessState::Waiting);
    }

    #[test]
    fn who_was_stopped_is_not_silent_but_may_have_lost_something() {
        let stopped = |change: fn(&mut ReplicaStats)| {
            state_after(|account, stats| {
                stats.stopped = true;
                change(stats);
                account.reported_at = Some(timestamp_from_micros(0));
            })
        };
        assert_eq!(stopped(|_| {}), CompletenessState::Stopped);
        assert_eq!(stopped(|stats| stats.spooled = 1), CompletenessState::Waiting);
        assert_eq!(stopped(|stats| stats.dropped = 1), CompletenessState::Lossy);
    }

    #[test]
    fn what_is_only_under_way_does_not_wait() {
        let state = |age: i64| {
            state_after(|account, stats| {
                stats.queued = 1;
                account.reported_at = Some(timestamp_from_micros(10_000_000));
                stats.oldest_unsent_at = Some(timestamp_from_micros(10_000_000 - age));
            })
        };
        assert_eq!(state(1_900_000), CompletenessState::Complete);
        assert_eq!(state(2_100_000), CompletenessState::Waiting);
    }

    #[test]
    fn an_older_proxy_is_not_blamed_for_what_it_does_not_count() {
        let stats = ReplicaStats { finished: 3, acknowledged: 5, ..ReplicaStats::default() };
        assert_eq!(unaccounted(&stats), None);
    }
}
