//! Moments that charts show, such as deployments.

use chrono::{DateTime, Utc};
use modash_proto::TimeRange;
use sqlx::types::Uuid;

use super::{Error, Store, row::from_row, traced::Traced as _};

/// Marks that are kept: the newest ones.
const KEPT: i64 = 1_000;

/// Most marks of an answer.
const MOST: i64 = 200;

/// A moment and what happened then.
#[derive(Debug, Clone)]
pub(crate) struct MarkRow {
    pub(crate) mark_id: Uuid,
    pub(crate) marked_at: DateTime<Utc>,
    pub(crate) text: String,
    pub(crate) link: Option<String>,
}

from_row!(MarkRow { mark_id, marked_at, text, link });

impl Store {
    /// The newest marks of a range, oldest first.
    pub(crate) async fn marks(&self, range: TimeRange) -> Result<Vec<MarkRow>, Error> {
        let marks = sqlx::query_as(include_str!("queries/list_marks.sql"))
            .bind(range.start)
            .bind(range.end)
            .bind(MOST);
        marks.fetch_all(self.primary_reader()?).traced("list_marks").await.map_err(Error::from)
    }

    /// Adds a mark and forgets those beyond the limit.
    pub(crate) async fn add_mark(&self, mark: &MarkRow) -> Result<(), Error> {
        let mut transaction = self.writer()?.begin().traced("begin").await?;
        sqlx::query(include_str!("queries/add_mark.sql"))
            .bind(mark.mark_id)
            .bind(mark.marked_at)
            .bind(&mark.text)
            .bind(&mark.link)
            .execute(&mut transaction)
            .traced("add_mark")
            .await?;
        sqlx::query(include_str!("queries/trim_marks.sql"))
            .bind(KEPT)
            .execute(&mut transaction)
            .traced("trim_marks")
            .await?;
        transaction.commit().traced("commit").await?;
        Ok(())
    }

    /// Deletes a mark.
    pub(crate) async fn delete_mark(&self, mark_id: Uuid) -> Result<(), Error> {
        let statement = sqlx::query(include_str!("queries/delete_mark.sql")).bind(mark_id);
        statement.execute(self.writer()?).traced("delete_mark").await?;
        Ok(())
    }
}
