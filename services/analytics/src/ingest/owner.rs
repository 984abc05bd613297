//! Whether a stream may speak for the replica that it names: a replica belongs to the
//! token that first spoke for it, so that another one cannot make up its account.

use std::time::Duration;

use modash_access::{Access, Pass};
use modash_proto::ERROR_DOMAIN;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::store::Store;

/// Pause after the database did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a stream waits for the answer before it goes on without: while the database
/// is away, nothing of what it sends can be stored anyhow.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Waits until the database says whose the replica is.
///
/// # Errors
/// `PERMISSION_DENIED` if it belongs to another token.
pub(super) async fn claim(
    store: &Store,
    access: &Access,
    pass: &Pass,
    replica_id: &str,
) -> Result<(), Status> {
    // Where there are no tokens, there is nobody to belong to.
    let Some(token) = pass.name() else { return Ok(()) };
    store.prepared().await;
    let mut instead_of = None;
    loop {
        match store.claim_replica(replica_id, token, instead_of.as_deref()).await {
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

fn refused(replica_id: &str, token: &str, owner: &str) -> Status {
    tracing::warn!(replica = replica_id, token, owner, "a token speaks for the replica of another");
    let details = ErrorDetails::with_error_info("REPLICA_OF_ANOTHER_TOKEN", ERROR_DOMAIN, []);
    let text = format!(
        "hello.replica_id: {replica_id} belongs to the token {owner}; revoke that one, or make \
         the new one with --replaces {owner} or --replica {replica_id}"
    );
    Status::with_error_details(Code::PermissionDenied, text, details)
}
