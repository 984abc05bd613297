//! Which subscription feeds a stream. Callers without a token share one that is always
//! there; each token has one of its own, opened by its first reader and closed a while
//! after its last one has left, so that analytics decides what its bearer sees.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;

use super::{Hub, source};

/// How long a subscription without readers is kept: a page that connects again finds
/// what it missed.
const LINGER: Duration = Duration::from_secs(30);

/// How long the first reader of a token waits for its subscription.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The subscriptions, by what their readers show. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Hubs {
    shared: Hub,
    channel: Channel,
    /// By the hash of the header, so that no token stays in memory for longer than its
    /// subscription.
    by_token: Arc<Mutex<HashMap<[u8; 32], Weak<Followed>>>>,
}

/// A hub while somebody reads from it.
#[derive(Debug)]
pub(crate) struct Followed {
    hub: Hub,
    /// `None`: the shared one, which is followed for ever.
    following: Option<AbortOnDropHandle<()>>,
}

impl Hubs {
    /// With the hub of callers without a token.
    pub(crate) fn new(shared: Hub, channel: Channel) -> Self {
        Self { shared, channel, by_token: Arc::default() }
    }

    /// Follows analytics for callers without a token, for ever.
    pub(crate) fn follow_shared(&self) -> impl Future<Output = ()> + Send + use<> {
        source::run(self.shared.clone(), self.channel.clone(), None)
    }

    /// A place for one more stream.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.shared.shared.places.clone().try_acquire_owned()
    }

    /// What feeds the streams of a caller with this `authorization` header.
    pub(crate) async fn of(&self, authorization: Option<&HeaderValue>) -> Arc<Followed> {
        let Some(authorization) = authorization else {
            return Arc::new(Followed { hub: self.shared.clone(), following: None });
        };
        let key = Sha256::digest(authorization.as_bytes()).into();
        let followed = {
            let mut by_token = self.by_token.lock().unwrap_or_else(PoisonError::into_inner);
            by_token.retain(|_, followed| followed.strong_count() > 0);
            if let Some(followed) = by_token.get(&key).and_then(Weak::upgrade) {
                return followed;
            }
            let hub = self.shared.another();
            let (channel, token) = (self.channel.clone(), Some(authorization.clone()));
            let following = tokio::spawn(source::run(hub.clone(), channel, token));
            let following = Some(AbortOnDropHandle::new(following));
            let followed = Arc::new(Followed { hub, following });
            by_token.insert(key, Arc::downgrade(&followed));
            followed
        };
        let _ = tokio::time::timeout(FIRST_WAIT, followed.hub.subscribed()).await;
        followed
    }
}

impl Followed {
    /// The hub.
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// A reader has left.
    pub(crate) fn leave(self: Arc<Self>) {
        if self.following.is_some() {
            tokio::spawn(async move {
                tokio::time::sleep(LINGER).await;
                drop(self);
            });
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
