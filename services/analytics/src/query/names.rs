//! Names of client keys, users and values of tags.

use modash_access::Scope;
use modash_proto::{
    Reason, Violations,
    v1::{GivenName, ListNamesResponse, NamedKind, SetNameRequest, SetNameResponse},
};

use super::Queries;
use crate::{error::Failure, name, store::NameRow};

impl Queries {
    pub(super) async fn answer_list_names(
        &self,
        scope: Scope,
    ) -> Result<ListNamesResponse, Failure> {
        let names = self.store.names().await?.into_iter().filter(|row| is_seen(row, &scope));
        Ok(ListNamesResponse { names: names.map(wire).collect() })
    }

    pub(super) async fn answer_set_name(
        &self,
        request: SetNameRequest,
    ) -> Result<SetNameResponse, Failure> {
        let SetNameRequest { kind, id, name } = request;
        let kind = NamedKind::try_from(kind).unwrap_or_default();
        let row = NameRow { kind: kind as i16, id, name };
        let mut violations = Violations::default();
        name::check(&row, &mut violations);
        violations.into_result()?;
        if row.name.is_empty() {
            self.store.delete_name(row.kind, &row.id).await?;
        } else if !self.store.set_name(&row).await? {
            return Err(Reason::TooManyKept.status(name::too_many()).into());
        }
        tracing::info!(kind = kind.as_str_name(), id = row.id, name = row.name, "name set");
        Ok(SetNameResponse {})
    }
}

/// Whether a scope shows what has the name.
fn is_seen(row: &NameRow, scope: &Scope) -> bool {
    if scope.is_everything() {
        return true;
    }
    match NamedKind::try_from(i32::from(row.kind)) {
        Ok(NamedKind::ClientKey) => scope.client_keys.contains(&row.id),
        Ok(NamedKind::Tag) => row.id.split_once('=').is_some_and(|(tag, value)| {
            scope.tags.iter().any(|(name, only)| name == tag && only == value)
        }),
        _ => false,
    }
}

fn wire(row: NameRow) -> GivenName {
    GivenName { kind: row.kind.into(), id: row.id, name: row.name }
}
