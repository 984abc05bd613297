//! Until when a session lasts: to its end, or until its user signs out. Answers that go
//! on for long, such as `/events`, end with it.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::cookie::{Id, now};

/// Sessions that are remembered as ended before their time; beyond it the one that would
/// end first is forgotten.
const MOST: usize = 10_000;

/// The session behind a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Which session it is.
    pub(super) id: Id,
    /// When it ends, in seconds since 1970.
    pub(super) end: u64,
}

/// Sessions whose users have signed out. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct SignedOut {
    ends: Arc<Mutex<HashMap<Id, u64>>>,
    changed: watch::Sender<()>,
}

impl SignedOut {
    /// Ends a session.
    pub(super) fn add(&self, lease: Lease) {
        {
            let mut ends = self.ends();
            let now = now();
            ends.retain(|_, end| *end > now);
            if ends.len() >= MOST
                && let Some(first) = ends.iter().min_by_key(|(_, end)| **end).map(|(id, _)| *id)
            {
                ends.remove(&first);
            }
            ends.insert(lease.id, lease.end);
        }
        self.changed.send_replace(());
    }

    /// Whether its user has signed out.
    pub(super) fn contains(&self, lease: Lease) -> bool {
        self.ends().contains_key(&lease.id)
    }

    /// Waits for the end of a session; for ever where there is none.
    pub(super) fn ended(&self, lease: Option<Lease>) -> impl Future<Output = ()> + Send + use<> {
        let (sessions, mut changed) = (self.clone(), self.changed.subscribe());
        async move {
            let Some(lease) = lease else { return std::future::pending().await };
            let left = Duration::from_secs(lease.end.saturating_sub(now()));
            let signed_out = async {
                while !sessions.contains(lease) {
                    // The sender is in `sessions`.
                    let _ = changed.changed().await;
                }
            };
            let _ = tokio::time::timeout(left, signed_out).await;
        }
    }

    fn ends(&self) -> MutexGuard<'_, HashMap<Id, u64>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(number: u32, end: u64) -> Lease {
        let mut id = Id::default();
        id[..4].copy_from_slice(&number.to_be_bytes());
        Lease { id, end }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_with_its_time_or_when_its_user_signs_out() {
        let (sessions, later) = (SignedOut::default(), now() + 3_600);
        let (mut timed, mut left) = (
            std::pin::pin!(sessions.ended(Some(lease(1, later)))),
            std::pin::pin!(sessions.ended(Some(lease(2, later)))),
        );
        assert!(futures_util::poll!(timed.as_mut()).is_pending());
        assert!(futures_util::poll!(left.as_mut()).is_pending());
        sessions.add(lease(2, later));
        assert!(futures_util::poll!(left.as_mut()).is_ready());
        assert!(futures_util::poll!(timed.as_mut()).is_pending());
        timed.await;
        let none = std::pin::pin!(sessions.ended(None));
        assert!(futures_util::poll!(none).is_pending());
    }

    #[test]
    fn memory_of_ended_sessions_is_bounded() {
        let (sessions, later) = (SignedOut::default(), now() + 3_600);
        for number in 0..10_100 {
            sessions.add(lease(number, later + u64::from(number)));
        }
        assert_eq!(sessions.ends().len(), MOST);
        assert!(sessions.contains(lease(10_099, 0)));
        sessions.add(lease(20_000, now() - 1));
        sessions.add(lease(20_001, later));
        assert!(!sessions.contains(lease(20_000, 0)), "its cookie counts for nothing anyhow");
    }
}
