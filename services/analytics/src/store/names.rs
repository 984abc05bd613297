//! Names that people recognise.

use super::{Error, Store, row::from_row, traced::Traced as _};

/// Most names.
pub(crate) const MAX_NAMES: i64 = 10_000;

/// A name of a client key, a user or a value of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameRow {
    /// Number of the kind in the contract.
    pub(crate) kind: i16,
    pub(crate) id: String,
    pub(crate) name: String,
}

from_row!(NameRow { kind, id, name });

impl Store {
    /// All names, ordered by kind and id.
    pub(crate) async fn names(&self) -> Result<Vec<NameRow>, Error> {
        let names = sqlx::query_as(include_str!("queries/list_names.sql")).bind(MAX_NAMES);
        names.fetch_all(self.primary_reader()?).traced("list_names").await.map_err(Error::from)
    }

    /// Gives a name in place of the one before; false if there are too many.
    pub(crate) async fn set_name(&self, row: &NameRow) -> Result<bool, Error> {
        let set: Option<String> = sqlx::query_scalar(include_str!("queries/set_name.sql"))
            .bind(row.kind)
            .bind(&row.id)
            .bind(&row.name)
            .bind(MAX_NAMES)
            .fetch_optional(self.writer()?)
            .traced("set_name")
            .await?;
        Ok(set.is_some())
    }

    /// Takes a name away.
    pub(crate) async fn delete_name(&self, kind: i16, id: &str) -> Result<(), Error> {
        let statement = sqlx::query(include_str!("queries/delete_name.sql")).bind(kind).bind(id);
        statement.execute(self.writer()?).traced("delete_name").await?;
        Ok(())
    }
}
