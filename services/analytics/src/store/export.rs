//! Requests one after the other, however many they are.

use futures_util::{Stream, StreamExt as _};
use modash_proto::v1::UsageEvent;

use super::{Error, Selection, Store, pool::Transaction, recent_requests::event};

/// A transaction that reads in the order of the index.
pub(crate) struct Export {
    transaction: Transaction,
}

impl Store {
    /// Begins an export: it sees the requests that are there now.
    pub(crate) async fn begin_export(&self) -> Result<Export, Error> {
        let mut transaction = self.reader()?.begin().await?;
        sqlx::query(include_str!("queries/configure_export.sql")).execute(&mut transaction).await?;
        Ok(Export { transaction })
    }
}

impl Export {
    /// The requests of a selection, oldest first. Rows are read from the
    /// connection as they are taken.
    pub(crate) fn events<'a>(
        &'a mut self,
        selection: &'a Selection,
    ) -> impl Stream<Item = Result<UsageEvent, Error>> + Send + Unpin + 'a {
        let statement = selection
            .clone()
            .into_query(include_str!("queries/requests_in_order.sql"))
            .persistent(false);
        // All of them.
        let rows = statement.bind(None::<i64>).bind(0_i64).fetch(&mut self.transaction);
        Box::pin(rows.map(|row| Ok(event(&row?)?)))
    }
}
