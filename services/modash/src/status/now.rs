//! What runs, and what was there today.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use modash_proto::v1::{
    CompletenessResponse, CompletenessState, LiveRequest, ReplicaCompleteness, RequestPhase,
    SubscribeResponse, UsageSummaryResponse, subscribe_response::Message,
};
use serde::Serialize;

/// Everything that is shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Now {
    /// Where it comes from.
    pub(crate) from: String,
    /// Totals since midnight. `None`: not known yet.
    pub(crate) today: Option<UsageSummaryResponse>,
    /// Whether every event arrived. `None`: not known, or not for this token.
    pub(crate) delivery: Option<CompletenessResponse>,
    /// Requests that run, by their ids, which are in the order in which they began.
    running: BTreeMap<String, LiveRequest>,
    /// More run than these.
    pub(crate) truncated: bool,
    /// Changes were left out: only a new subscription brings all that run.
    pub(crate) lost: bool,
    /// By how much analytics' clock is ahead of this machine's.
    clock_ahead: TimeDelta,
    /// What is wrong with the connection.
    pub(crate) problem: Option<String>,
}

/// A running request as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Running {
    pub(crate) event_id: String,
    /// `None`: not known yet.
    pub(crate) model: Option<String>,
    pub(crate) upstream: String,
    pub(crate) phase: &'static str,
    pub(crate) age_ms: i64,
    /// Events with content so far; in most streams one each token.
    pub(crate) content_events: u64,
    /// Of them each second since the first one. `None`: too few.
    pub(crate) events_per_second: Option<f64>,
    pub(crate) response_bytes: u64,
}

impl Now {
    /// Nothing known yet.
    pub(crate) fn of(from: &str) -> Self {
        Self { from: from.to_owned(), ..Self::default() }
    }

    /// Takes a message of `Subscribe`. Whether totals have changed.
    pub(crate) fn take(&mut self, response: SubscribeResponse, local: DateTime<Utc>) -> bool {
        match response.message {
            Some(Message::Connected(connected)) => {
                self.set_clock(connected.now, local);
                (self.truncated, self.lost) = (connected.truncated, false);
                self.running.clear();
                connected.requests.into_iter().for_each(|request| self.put(request));
                false
            }
            Some(Message::RequestStateUpdated(updated)) => {
                self.set_clock(updated.now, local);
                self.lost |= updated.truncated;
                updated.requests.into_iter().for_each(|request| self.put(request));
                false
            }
            Some(Message::UsageUpdated(_)) => true,
            Some(Message::Missed(_) | Message::KeepAlive(_)) | None => false,
        }
    }

    fn put(&mut self, request: LiveRequest) {
        if request.phase() == RequestPhase::Ended {
            self.running.remove(&request.event_id);
        } else {
            self.running.insert(request.event_id.clone(), request);
        }
    }

    fn set_clock(&mut self, now: Option<prost_types::Timestamp>, local: DateTime<Utc>) {
        if let Some(now) = now.and_then(time) {
            self.clock_ahead = now - local;
        }
    }

    /// Running requests, the oldest first.
    pub(crate) fn running(&self, local: DateTime<Utc>) -> Vec<Running> {
        let now = local + self.clock_ahead;
        self.running.values().map(|request| running(request, now)).collect()
    }

    /// The worst state among the proxies. `None`: not known, or there are none.
    pub(crate) fn delivery(&self) -> Option<CompletenessState> {
        use CompletenessState::{Complete, Lossy, Silent, Stopped, Unspecified, Waiting};
        let states = self.delivery.as_ref()?.replicas.iter().map(ReplicaCompleteness::state);
        states.max_by_key(|state| match state {
            Unspecified => 0,
            Stopped => 1,
            Complete => 2,
            Waiting => 3,
            Silent => 4,
            Lossy => 5,
        })
    }

    /// One JSON object.
    pub(crate) fn to_json(&self) -> String {
        let local = Utc::now();
        let today = self.today.as_ref();
        let cost = today.and_then(|today| today.cost);
        let replicas = self.delivery.iter().flat_map(|delivery| &delivery.replicas);
        let replicas: Vec<_> = replicas
            .map(|replica| {
                serde_json::json!({
                    "replicaId": replica.replica_id,
                    "state": state_name(replica.state()),
                    "committed": replica.committed,
                    "rejected": replica.rejected,
                    "missing": replica.missing,
                })
            })
            .collect();
        let json = serde_json::json!({
            "now": (local + self.clock_ahead).to_rfc3339_opts(SecondsFormat::Millis, true),
            "from": self.from,
            "today": {
                "requests": today.map(|today| today.requests),
                "failedRequests": today.map(|today| today.failed_requests),
                "totalTokens": today.map(|today| today.total_tokens),
                "costNanoUsd": cost.filter(|cost| cost.known_requests > 0).map(|cost| cost.nano_usd),
                "unknownCostRequests": cost.map(|cost| cost.unknown_requests),
            },
            "delivery": self.delivery().map(state_name),
            "replicas": replicas,
            "running": self.running(local),
            "truncated": self.truncated,
        });
        serde_json::to_string_pretty(&json).unwrap_or_default() + "\n"
    }
}

/// A state in a word.
pub(crate) fn state_name(state: CompletenessState) -> &'static str {
    match state {
        CompletenessState::Complete => "complete",
        CompletenessState::Waiting => "waiting",
        CompletenessState::Lossy => "lossy",
        CompletenessState::Silent => "silent",
        CompletenessState::Stopped => "stopped",
        CompletenessState::Unspecified => "unknown",
    }
}

fn running(request: &LiveRequest, now: DateTime<Utc>) -> Running {
    let since = |moment: Option<prost_types::Timestamp>| Some(now - moment.and_then(time)?);
    let age = since(request.started_at).unwrap_or_default();
    let streaming = since(request.first_token_at).filter(|time| time.num_milliseconds() > 0);
    // The first one ended the wait; the others took the time since then.
    let events_per_second = streaming
        .filter(|_| request.content_events > 1)
        .map(|time| (request.content_events - 1) as f64 * 1000.0 / time.num_milliseconds() as f64);
    Running {
        event_id: request.event_id.clone(),
        model: request.model.clone(),
        upstream: request.upstream.clone(),
        phase: match request.phase() {
            RequestPhase::Connecting => "connecting",
            RequestPhase::Waiting => "waiting",
            RequestPhase::Streaming => "streaming",
            RequestPhase::Ended | RequestPhase::Unspecified => "–",
        },
        age_ms: age.num_milliseconds().max(0),
        content_events: request.content_events,
        events_per_second,
        response_bytes: request.response_bytes,
    }
}

fn time(timestamp: prost_types::Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(timestamp.seconds, u32::try_from(timestamp.nanos).ok()?)
}

#[cfg(test)]
pub(super) mod tests {
    use modash_proto::v1::{Connected, RequestStateUpdated, UsageUpdated};

    use super::*;

    /// Seconds after a moment of the tests.
    pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_764_400_000 + seconds, 0).unwrap()
    }

    fn stamp(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds: at(seconds).timestamp(), nanos: 0 })
    }

    /// A request that began at 0 and had its first token at 2.
    pub(crate) fn request(id: &str, phase: RequestPhase, events: u64) -> LiveRequest {
        LiveRequest {
            event_id: id.to_owned(),
            started_at: stamp(0),
            phase: phase.into(),
            upstream: "default".to_owned(),
            model: Some("qwen3-8b".to_owned()),
            first_token_at: stamp(2).filter(|_| events > 0),
            content_events: events,
            ..LiveRequest::default()
        }
    }

    pub(crate) fn connected(requests: Vec<LiveRequest>, now: i64) -> SubscribeResponse {
        let connected = Connected { now: stamp(now), requests, ..Connected::default() };
        SubscribeResponse { message: Some(Message::Connected(connected)) }
    }

    #[test]
    fn requests_come_go_on_and_end() {
        let mut now = Now::of("here");
        let first =
            vec![request("a", RequestPhase::Waiting, 0), request("b", RequestPhase::Streaming, 9)];
        now.take(connected(first, 4), at(4));
        let running = now.running(at(4));
        assert_eq!((running[0].phase, running[0].events_per_second), ("waiting", None));
        assert_eq!((running[1].age_ms, running[1].events_per_second), (4_000, Some(4.0)));
        let requests =
            vec![request("a", RequestPhase::Ended, 0), request("c", RequestPhase::Connecting, 0)];
        let updated = RequestStateUpdated { now: stamp(5), requests, truncated: false };
        now.take(SubscribeResponse { message: Some(Message::RequestStateUpdated(updated)) }, at(5));
        let ids: Vec<_> = now.running(at(5)).into_iter().map(|request| request.event_id).collect();
        assert_eq!(ids, ["b", "c"]);
        let usage =
            SubscribeResponse { message: Some(Message::UsageUpdated(UsageUpdated::default())) };
        assert!(now.take(usage, at(6)));
        let updated = RequestStateUpdated { truncated: true, ..RequestStateUpdated::default() };
        now.take(SubscribeResponse { message: Some(Message::RequestStateUpdated(updated)) }, at(6));
        assert!(now.lost);
        now.take(connected(Vec::new(), 7), at(7));
        assert!(
            !now.lost && now.running(at(7)).is_empty(),
            "after what was missed only the new state counts"
        );
    }

    #[test]
    fn ages_are_those_of_analytics_clock() {
        let mut now = Now::of("here");
        // Its clock is an hour ahead.
        now.take(connected(vec![request("a", RequestPhase::Waiting, 0)], 10), at(10 - 3_600));
        assert_eq!(now.running(at(11 - 3_600))[0].age_ms, 11_000);
    }

    #[test]
    fn delivery_is_the_worst_state_of_a_proxy() {
        let replica = |state: CompletenessState| ReplicaCompleteness {
            state: state.into(),
            ..ReplicaCompleteness::default()
        };
        use CompletenessState::{Complete, Lossy, Silent, Stopped, Waiting};
        let mut now = Now::of("here");
        assert_eq!(now.delivery(), None);
        for (states, worst) in [
            (vec![Complete, Complete], Complete),
            (vec![Stopped, Complete], Complete),
            (vec![Stopped, Stopped], Stopped),
            (vec![Waiting, Complete], Waiting),
            (vec![Lossy, Silent, Waiting], Lossy),
        ] {
            let replicas = states.into_iter().map(replica).collect();
            now.delivery =
                Some(CompletenessResponse { replicas, ..CompletenessResponse::default() });
            assert_eq!(now.delivery(), Some(worst));
        }
    }
}
