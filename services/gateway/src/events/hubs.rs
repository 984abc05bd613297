//! Which subscription feeds a stream. Callers without a token share one that is always
//! there. Of callers with tokens those share one whose tokens have the same scope: it
//! shows analytics the token of one of them, is opened by the first reader, and closed a
//! while after the last one has left.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderValue;
use modash_access::{Access, Pass, Role, Scope};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;

use super::{Hub, source};

/// How long a subscription without readers is kept: a page that connects again finds
/// what it missed.
const LINGER: Duration = Duration::from_secs(30);

/// How long the first reader of a scope waits for its subscription.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The subscriptions, by what their readers show. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Hubs {
    shared: Hub,
    channel: Channel,
    access: Access,
    by_scope: Arc<ByScope>,
}

/// The subscriptions of readers with tokens.
#[derive(Debug, Default)]
struct ByScope {
    all: Mutex<HashMap<Scope, Followed>>,
    /// The last reader of one has left.
    left: Notify,
}

/// The tokens of the readers of one subscription, each as an `authorization` header:
/// the first one that still has the scope of the subscription is shown to analytics.
/// Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Credentials {
    all: Arc<Mutex<VecDeque<HeaderValue>>>,
    /// `None`: no token is needed.
    scope: Option<(Access, Scope)>,
}

/// No token of the readers has the scope of the subscription any more.
pub(super) struct NoCredential;

impl Credentials {
    fn of_scope(access: Access, scope: Scope) -> Self {
        Self { all: Arc::default(), scope: Some((access, scope)) }
    }

    /// The one to show; `None`: none is needed.
    pub(super) fn first(&self) -> Result<Option<HeaderValue>, NoCredential> {
        let Some((access, scope)) = &self.scope else { return Ok(None) };
        let fits = |credential: &&HeaderValue| {
            let pass = access.admit(Some(credential.as_bytes()), Role::Read);
            pass.is_ok_and(|pass| pass.scope().cloned().unwrap_or_default() == *scope)
        };
        self.all().iter().find(fits).cloned().map(Some).ok_or(NoCredential)
    }

    /// Whether they see a part of the requests only.
    pub(super) fn have_scope(&self) -> bool {
        self.scope.as_ref().is_some_and(|(_, scope)| !scope.is_everything())
    }

    /// Analytics does not take it any more: the next one is tried.
    pub(super) fn refused(&self, credential: &HeaderValue) {
        let mut all = self.all();
        let (mut refused, mut others): (VecDeque<_>, VecDeque<_>) =
            all.drain(..).partition(|other| other == credential);
        others.append(&mut refused);
        *all = others;
    }

    /// A reader has come.
    fn add(&self, credential: HeaderValue) {
        self.all().push_back(credential);
    }

    /// A reader has left. The last one's stays, while the subscription does.
    fn remove(&self, credential: &HeaderValue) {
        let mut all = self.all();
        if all.len() > 1
            && let Some(at) = all.iter().position(|other| other == credential)
        {
            all.remove(at);
        }
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<HeaderValue>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader's seat at a hub.
#[derive(Debug)]
pub(crate) struct Seat {
    hub: Hub,
    /// `None`: no token was needed.
    _reader: Option<Reader>,
}

/// A reader with a token.
#[derive(Debug)]
struct Reader {
    by_scope: Arc<ByScope>,
    scope: Scope,
    credential: HeaderValue,
}

/// A hub that follows analytics while somebody reads from it, and for a while after.
#[derive(Debug)]
struct Followed {
    hub: Hub,
    credentials: Credentials,
    readers: usize,
    /// When the last one left.
    left_at: Option<Instant>,
    _following: AbortOnDropHandle<()>,
}

impl Hubs {
    /// With the hub of callers without a token.
    pub(crate) fn new(shared: Hub, channel: Channel, access: Access) -> Self {
        Self { shared, channel, access, by_scope: Arc::default() }
    }

    /// Follows analytics for callers without a token, for ever.
    pub(crate) fn follow_shared(&self) -> impl Future<Output = ()> + Send + use<> {
        source::run(self.shared.clone(), self.channel.clone(), Credentials::default())
    }

    /// Closes subscriptions that have had no reader for a while, for ever.
    pub(crate) fn close_unread(&self) -> impl Future<Output = ()> + Send + use<> {
        let by_scope = Arc::clone(&self.by_scope);
        async move {
            loop {
                let next = by_scope.close_unread(Instant::now());
                tokio::select! {
                    () = by_scope.left.notified() => {}
                    () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
                }
            }
        }
    }

    /// What feeds the stream of a caller with this pass and `authorization` header.
    pub(crate) async fn seat(
        &self,
        pass: Option<&Pass>,
        authorization: Option<&HeaderValue>,
    ) -> Seat {
        // Without tokens of its own the gateway does not know what a header allows.
        let pass = pass.filter(|pass| pass.name().is_some());
        let (Some(pass), Some(credential)) = (pass, authorization) else {
            return Seat { hub: self.shared.clone(), _reader: None };
        };
        let scope = pass.scope().cloned().unwrap_or_default();
        let mut credential = credential.clone();
        credential.set_sensitive(true);
        // Made before the wait: a reader who leaves meanwhile takes its credential along.
        let seat = self.seat_of(scope, credential);
        let _ = tokio::time::timeout(FIRST_WAIT, seat.hub.subscribed()).await;
        seat
    }

    fn seat_of(&self, scope: Scope, credential: HeaderValue) -> Seat {
        let mut all = self.by_scope.all();
        let followed = all.entry(scope.clone()).or_insert_with(|| self.follow(scope.clone()));
        followed.credentials.add(credential.clone());
        followed.readers += 1;
        followed.left_at = None;
        let by_scope = Arc::clone(&self.by_scope);
        let _reader = Some(Reader { by_scope, scope, credential });
        Seat { hub: followed.hub.clone(), _reader }
    }

    fn follow(&self, scope: Scope) -> Followed {
        let hub = self.shared.another();
        let credentials = Credentials::of_scope(self.access.clone(), scope);
        let following = source::run(hub.clone(), self.channel.clone(), credentials.clone());
        let _following = AbortOnDropHandle::new(tokio::spawn(following));
        Followed { hub, credentials, readers: 0, left_at: None, _following }
    }
}

impl ByScope {
    fn all(&self) -> MutexGuard<'_, HashMap<Scope, Followed>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes those without a reader for so long; gives when the next one is due.
    fn close_unread(&self, now: Instant) -> Option<Instant> {
        let due = |followed: &Followed| followed.left_at.map(|left| left + LINGER);
        let mut all = self.all();
        all.retain(|_, followed| due(followed).is_none_or(|due| due > now));
        all.values().filter_map(due).min()
    }
}

impl Seat {
    /// The hub.
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut all = self.by_scope.all();
        let Some(followed) = all.get_mut(&self.scope) else { return };
        followed.credentials.remove(&self.credential);
        followed.readers -= 1;
        if followed.readers == 0 {
            followed.left_at = Some(Instant::now());
            self.by_scope.left.notify_one();
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.hub.lost();
    }
}

#[cfg(test)]
mod tests {
    use modash_runtime::Metrics;

    use super::*;
    use crate::{contract::Contract, events::PageSettings, metrics::GatewayMetrics};

    fn hubs() -> Hubs {
        let settings = PageSettings { proxy_port: 4005, trace_url: None };
        let metrics = GatewayMetrics::register(&Metrics::default());
        let hub = Hub::new(Contract::new().unwrap().live_request(), settings, metrics);
        let channel = Channel::from_static("http://127.0.0.1:1").connect_lazy();
        Hubs::new(hub, channel, Access::open())
    }

    fn scope(model: &str) -> Scope {
        Scope::parse([format!("model:{model}")]).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscription_is_kept_a_while_after_its_last_reader_and_then_closed() {
        let hubs = hubs();
        let closing = tokio::spawn(hubs.close_unread());
        let credential = HeaderValue::from_static("Bearer x");
        let seat = |model: &str| hubs.seat_of(scope(model), credential.clone());
        let open = || hubs.by_scope.all().len();
        let (first, second, other) = (seat("a"), seat("a"), seat("b"));
        assert_eq!(open(), 2);
        drop((first, other));
        tokio::time::sleep(LINGER / 2).await;
        assert_eq!(open(), 2, "a page that connects again finds what it missed");
        drop(second);
        tokio::time::sleep(LINGER * 2 / 3).await;
        assert_eq!(open(), 1, "b had no reader for long enough");
        let again = seat("a");
        tokio::time::sleep(2 * LINGER).await;
        assert_eq!(open(), 1, "a reader came in time");
        drop(again);
        tokio::time::sleep(LINGER + Duration::from_millis(10)).await;
        assert_eq!(open(), 0);
        closing.abort();
    }
}
