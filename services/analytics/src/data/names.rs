//! Names of client keys, users and values of tags, as somebody types them.

use std::io::Write as _;

use clap::{Subcommand, ValueEnum};
use modash_proto::{Violations, v1::NamedKind};
use modash_runtime::{Boxed, ServiceContext};

use super::{DataError, table::table};
use crate::{
    AnalyticsConfig, name,
    store::{NameRow, Store},
};

/// Commands about names.
#[derive(Debug, Clone, Subcommand)]
pub enum NamesCommand {
    /// Show all names
    List,
    /// Give a name, in place of the one before
    Set {
        /// What gets the name
        kind: Named,
        /// The client key (16 hexadecimal digits), the user, or tag=value
        id: String,
        /// The name
        name: String,
    },
    /// Take a name away
    Delete {
        /// What has the name
        kind: Named,
        /// As for `set`
        id: String,
    },
}

/// What can have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Named {
    /// A client key
    Key,
    /// A user
    User,
    /// A value of a tag
    Tag,
}

impl From<Named> for NamedKind {
    fn from(named: Named) -> Self {
        match named {
            Named::Key => Self::ClientKey,
            Named::User => Self::User,
            Named::Tag => Self::Tag,
        }
    }
}

impl NamesCommand {
    /// Does it.
    ///
    /// # Errors
    /// If there is no database, it cannot be used, or the name is refused.
    pub fn run(
        self,
        config: AnalyticsConfig,
        context: ServiceContext,
    ) -> Boxed<'static, Result<(), DataError>> {
        Box::pin(async move {
            super::with_store(&config, context, async |store| {
                if !store.has_tables().await? {
                    return Err(DataError::Empty);
                }
                store.migrate().await.map_err(|error| DataError::Schema(error.detail()))?;
                match &self {
                    Self::List => list(store).await,
                    Self::Set { kind, id, name } => set(store, *kind, id, name).await,
                    Self::Delete { kind, id } => set(store, *kind, id, "").await,
                }
            })
            .await
        })
    }
}

async fn list(store: &Store) -> Result<(), DataError> {
    let names = store.names().await?;
    let mut out = std::io::stdout().lock();
    if names.is_empty() {
        let _ = writeln!(out, "Nothing has a name. `names set user u-17 Ada` gives one.");
        return Ok(());
    }
    let rows: Vec<_> = names
        .into_iter()
        .map(|row| {
            let kind = match NamedKind::try_from(i32::from(row.kind)) {
                Ok(NamedKind::ClientKey) => "key",
                Ok(NamedKind::User) => "user",
                _ => "tag",
            };
            [kind.to_owned(), row.id, row.name]
        })
        .collect();
    let _ = out.write_all(table(["kind", "id", "name"], &rows).as_bytes());
    Ok(())
}

async fn set(store: &Store, kind: Named, id: &str, name: &str) -> Result<(), DataError> {
    let row = NameRow { kind: NamedKind::from(kind) as i16, id: id.into(), name: name.into() };
    let mut violations = Violations::default();
    name::check(&row, &mut violations);
    violations.into_result().map_err(|status| DataError::Name(status.message().to_owned()))?;
    if row.name.is_empty() {
        store.delete_name(row.kind, &row.id).await?;
    } else if !store.set_name(&row).await? {
        return Err(DataError::Name(name::too_many()));
    }
    Ok(())
}
