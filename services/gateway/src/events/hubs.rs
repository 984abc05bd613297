//! Which subscription feeds a stream. Callers without a token share one that is always
//! there. Of callers with tokens those share one whose tokens have the same scope: it
//! shows analytics the token of one of them, is opened by the first reader, and closed a
//! while after the last one has left.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use http::HeaderValue;
use modash_access::{Access, Pass, Role, Scope};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, TryAcquireError},
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
    by_scope: Arc<Mutex<HashMap<Scope, Weak<Followed>>>>,
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

/// A reader's place at a hub.
#[derive(Debug)]
pub(crate) struct Seat {
    followed: Arc<Followed>,
    /// `None`: no token was needed.
    credential: Option<HeaderValue>,
}

/// A hub while somebody reads from it.
#[derive(Debug)]
struct Followed {
    hub: Hub,
    credentials: Credentials,
    /// `None`: the shared one, which is followed for ever.
    following: Option<AbortOnDropHandle<()>>,
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

    /// A place for one more stream.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.shared.shared.places.clone().try_acquire_owned()
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
            let (hub, credentials) = (self.shared.clone(), Credentials::default());
            let followed = Arc::new(Followed { hub, credentials, following: None });
            return Seat { followed, credential: None };
        };
        let scope = pass.scope().cloned().unwrap_or_default();
        let mut credential = credential.clone();
        credential.set_sensitive(true);
        // Made before the wait: a reader who leaves meanwhile takes its credential along.
        let followed = self.of(scope, &credential);
        let seat = Seat { followed, credential: Some(credential) };
        let _ = tokio::time::timeout(FIRST_WAIT, seat.hub().subscribed()).await;
        seat
    }

    fn of(&self, scope: Scope, credential: &HeaderValue) -> Arc<Followed> {
        let mut by_scope = self.by_scope.lock().unwrap_or_else(PoisonError::into_inner);
        by_scope.retain(|_, followed| followed.strong_count() > 0);
        if let Some(followed) = by_scope.get(&scope).and_then(Weak::upgrade) {
            followed.credentials.add(credential.clone());
            return followed;
        }
        let hub = self.shared.another();
        let credentials = Credentials::of_scope(self.access.clone(), scope.clone());
        credentials.add(credential.clone());
        let following = source::run(hub.clone(), self.channel.clone(), credentials.clone());
        let following = Some(AbortOnDropHandle::new(tokio::spawn(following)));
        let followed = Arc::new(Followed { hub, credentials, following });
        by_scope.insert(scope, Arc::downgrade(&followed));
        followed
    }
}

impl Seat {
    /// The hub.
    pub(crate) fn hub(&self) -> &Hub {
        &self.followed.hub
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(credential) = &self.credential {
            self.followed.credentials.remove(credential);
            let followed = self.followed.clone();
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(async move {
                    tokio::time::sleep(LINGER).await;
                    drop(followed);
                });
            }
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if self.following.is_some() {
            self.hub.lost();
        }
    }
}
