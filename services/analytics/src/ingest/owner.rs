//! Whether a stream may speak for the replica that it names: while a stream of a replica
//! is open it belongs to the token of that stream, so that another one cannot make up its
//! account.

use std::{sync::Arc, time::Duration};

use modash_access::{Access, Pass};
use modash_proto::ERROR_DOMAIN;
use tokio::runtime::Handle;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use uuid::Uuid;

use crate::store::{Claim, Store};

/// Pause after the database did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a stream waits for the answer before it goes on without: while the database
/// is away, nothing of what it sends can be stored anyhow.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// A stream that speaks for a replica, or wants to. Frees the replica when it is dropped.
pub(super) struct Owner {
    store: Arc<Store>,
    replica_id: String,
    stream: Uuid,
    /// `None`: where there are no tokens, there is nobody to belong to.
    token: Option<String>,
}

impl Owner {
    /// A new stream of a caller.
    pub(super) fn new(store: &Arc<Store>, pass: &Pass, replica_id: &str) -> Self {
        Self {
            store: Arc::clone(store),
            replica_id: replica_id.to_owned(),
            stream: Uuid::new_v4(),
            token: pass.name().map(str::to_owned),
        }
    }

    /// Waits until the database says whose the replica is.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` if it belongs to another token.
    pub(super) async fn claim(&self, access: &Access, pass: &Pass) -> Result<(), Status> {
        let (replica_id, stream) = (self.replica_id.as_str(), self.stream);
        let Some(token) = self.token.as_deref() else { return Ok(()) };
        let claim = Claim { replica_id, token, stream };
        self.store.prepared().await;
        let mut instead_of = None;
        loop {
            match self.store.claim_replica(&claim, instead_of.as_deref()).await {
                Ok(owner) if owner == token => return Ok(()),
                Ok(owner) if access.may_replace(pass, &owner, replica_id) => {
                    tracing::info!(
                        replica = replica_id,
                        token,
                        before = owner,
                        "another token speaks for a replica from now on"
                    );
                    instead_of = Some(owner);
                }
                Ok(owner) => return Err(refused(replica_id, token, &owner)),
                Err(error) => {
                    tracing::debug!(error = error.detail(), "the owner of a replica is not known");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.token.is_none() {
            return;
        }
        let (store, stream) = (Arc::clone(&self.store), self.stream);
        let replica_id = std::mem::take(&mut self.replica_id);
        // In a process that ends nobody does it: the replica is free after a silence.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = store.release_replica(&replica_id, stream).await {
                    tracing::debug!(error = error.detail(), "a replica was not freed at once");
                }
            });
        }
    }
}

fn refused(replica_id: &str, token: &str, owner: &str) -> Status {
    tracing::warn!(replica = replica_id, token, owner, "a token speaks for the replica of another");
    let details = ErrorDetails::with_error_info("REPLICA_OF_ANOTHER_TOKEN", ERROR_DOMAIN, []);
    let text = format!(
        "hello.replica_id: {replica_id} belongs to the token {owner} while a stream of that one \
         is open; end it, revoke that token, or make the new one with --replaces {owner} or \
         --replica {replica_id}"
    );
    Status::with_error_details(Code::PermissionDenied, text, details)
}
