//! What an audience was not told yet, folded: the newest state of each request and
//! one sum of what was committed.

use std::collections::HashMap;

use modash_proto::{
    timestamp_from_micros,
    v1::{LiveRequest, RequestStateUpdated, Topic, UsageUpdated, subscribe_response::Message},
};
use uuid::Uuid;

use super::wire_now;

/// Most requests of one message.
const MAX_REQUESTS: usize = 200;

/// What a reader wants to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Topics {
    pub(super) usage: bool,
    pub(super) request_state: bool,
}

impl Topics {
    /// From the wire; no topics are all topics. `None`: one of them is unknown.
    pub(super) fn from_wire(topics: &[i32]) -> Option<Self> {
        if topics.is_empty() {
            return Some(Self { usage: true, request_state: true });
        }
        let mut wanted = Self { usage: false, request_state: false };
        for topic in topics {
            match Topic::try_from(*topic).ok()? {
                Topic::Usage => wanted.usage = true,
                Topic::RequestState => wanted.request_state = true,
                Topic::Unspecified => return None,
            }
        }
        Some(wanted)
    }
}

/// Changes since the last message.
#[derive(Debug, Default)]
pub(super) struct Pending {
    requests: HashMap<Uuid, LiveRequest>,
    truncated: bool,
    committed: u64,
    /// In microseconds since 1970.
    oldest_started_at: Option<i64>,
}

impl Pending {
    /// Whether there is nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.oldest_started_at.is_none()
    }

    /// Whether there are commits to tell.
    pub(super) fn has_usage(&self) -> bool {
        self.oldest_started_at.is_some()
    }

    pub(super) fn add_request(&mut self, id: Uuid, request: LiveRequest) {
        if self.requests.len() < MAX_REQUESTS || self.requests.contains_key(&id) {
            self.requests.insert(id, request);
        } else {
            self.truncated = true;
        }
    }

    pub(super) fn add_usage(&mut self, requests: u64, oldest_started_at: i64) {
        self.committed += requests;
        let oldest = self.oldest_started_at.unwrap_or(i64::MAX).min(oldest_started_at);
        self.oldest_started_at = Some(oldest);
    }

    /// The messages that say it: none, one or two.
    pub(super) fn into_messages(self) -> Vec<Message> {
        let mut messages = Vec::new();
        if !self.requests.is_empty() {
            let mut requests: Vec<LiveRequest> = self.requests.into_values().collect();
            requests.sort_unstable_by(|a, b| a.event_id.cmp(&b.event_id));
            messages.push(Message::RequestStateUpdated(RequestStateUpdated {
                now: wire_now(),
                requests,
                truncated: self.truncated,
            }));
        }
        if let Some(oldest) = self.oldest_started_at {
            messages.push(Message::UsageUpdated(UsageUpdated {
                now: wire_now(),
                requests: self.committed,
                oldest_started_at: Some(timestamp_from_micros(oldest)),
            }));
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_200_requests_are_cut_and_said_to_be() {
        let mut pending = Pending::default();
        for number in 0..201 {
            pending.add_request(Uuid::from_u128(number), LiveRequest::default());
        }
        let messages = pending.into_messages();
        let [Message::RequestStateUpdated(update)] = messages.as_slice() else {
            panic!("{messages:?}")
        };
        assert_eq!((update.requests.len(), update.truncated), (200, true));
    }

    #[test]
    fn the_newest_state_of_a_request_replaces_the_one_before() {
        let mut pending = Pending::default();
        for content_events in [1, 2] {
            let request = LiveRequest { content_events, ..LiveRequest::default() };
            pending.add_request(Uuid::nil(), request);
        }
        let messages = pending.into_messages();
        let [Message::RequestStateUpdated(update)] = messages.as_slice() else {
            panic!("{messages:?}")
        };
        assert_eq!(update.requests[0].content_events, 2);
    }

    #[test]
    fn commits_are_summed_up_with_the_oldest_start() {
        let mut pending = Pending::default();
        pending.add_usage(2, 50);
        pending.add_usage(3, 40);
        let messages = pending.into_messages();
        let [Message::UsageUpdated(update)] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!(update.requests, 5);
        assert_eq!(update.oldest_started_at, Some(timestamp_from_micros(40)));
    }

    #[test]
    fn an_unknown_topic_is_refused() {
        assert_eq!(Topics::from_wire(&[9]), None);
        assert_eq!(Topics::from_wire(&[1]), Some(Topics { usage: true, request_state: false }));
    }
}
