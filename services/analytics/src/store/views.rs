//! Saved views of the dashboard.

use chrono::{DateTime, Utc};

use super::{Error, Store, row::from_row, traced::Traced as _};

/// Most views.
pub(crate) const MAX_VIEWS: i64 = 100;

/// A view under a name.
#[derive(Debug, Clone)]
pub(crate) struct ViewRow {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) saved_at: DateTime<Utc>,
}

from_row!(ViewRow { name, path, saved_at });

impl Store {
    /// All views, ordered by name.
    pub(crate) async fn views(&self) -> Result<Vec<ViewRow>, Error> {
        let views = sqlx::query_as(include_str!("queries/list_views.sql")).bind(MAX_VIEWS);
        views.fetch_all(self.primary_reader()?).traced("list_views").await.map_err(Error::from)
    }

    /// Saves a view in place of the one with its name; false if there are too many.
    pub(crate) async fn save_view(&self, view: &ViewRow) -> Result<bool, Error> {
        let saved: Option<String> = sqlx::query_scalar(include_str!("queries/save_view.sql"))
            .bind(&view.name)
            .bind(&view.path)
            .bind(view.saved_at)
            .bind(MAX_VIEWS)
            .fetch_optional(self.writer()?)
            .traced("save_view")
            .await?;
        Ok(saved.is_some())
    }

    /// Deletes a view.
    pub(crate) async fn delete_view(&self, name: &str) -> Result<(), Error> {
        let statement = sqlx::query(include_str!("queries/delete_view.sql")).bind(name);
        statement.execute(self.writer()?).traced("delete_view").await?;
        Ok(())
    }
}
