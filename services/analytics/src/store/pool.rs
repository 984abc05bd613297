//! Connections to PostgreSQL, or to a pooler in transaction mode that stands before it.
//!
//! Such a pooler lends a connection of the server for one transaction. Nothing may be
//! left on it for later: neither settings nor prepared statements, and a statement that
//! is parsed in one message and executed in the next needs a transaction around both.
//! Behind a pooler every statement is therefore part of a transaction that begins with
//! its settings, and none is kept. Without one nothing of this costs anything.

use std::{fmt, sync::Arc};

use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    AssertSqlSafe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
    error::BoxDynError,
    postgres::{PgArguments, PgCopyIn, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

/// A pool of connections.
#[derive(Clone)]
pub(super) struct Pool {
    connections: PgPool,
    /// Statements with which a transaction begins; `None`: the connections have these
    /// settings themselves.
    settings: Option<Arc<str>>,
}

/// A transaction; rolled back when it is dropped.
#[derive(Debug)]
pub(super) struct Transaction {
    inner: sqlx::Transaction<'static, Postgres>,
    /// Whether statements are prepared once for the connection.
    prepares: bool,
}

/// What a statement gives, step by step.
type Steps<'a> = BoxStream<'a, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>;

impl Pool {
    /// Connections to PostgreSQL itself, or to a pooler in session mode.
    pub(super) fn direct(connections: PgPool) -> Self {
        Self { connections, settings: None }
    }

    /// Connections to a pooler in transaction mode.
    pub(super) fn pooled(connections: PgPool, settings: String) -> Self {
        Self { connections, settings: Some(settings.into()) }
    }

    /// Begins a transaction.
    pub(super) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        match self.settings {
            None => Ok(self.begun(self.connections.begin().await?)),
            Some(_) => self.begin_with("BEGIN").await,
        }
    }

    /// Begins a transaction by other statements than `BEGIN`.
    pub(super) async fn begin_with(&self, begin: &'static str) -> Result<Transaction, sqlx::Error> {
        let inner = match &self.settings {
            None => self.connections.begin_with(begin).await?,
            // One message. Both parts are files of `queries/`, the second with numbers.
            Some(settings) => {
                let begin = AssertSqlSafe(format!("{begin};\n{settings}"));
                self.connections.begin_with(begin).await?
            }
        };
        Ok(self.begun(inner))
    }

    fn begun(&self, inner: sqlx::Transaction<'static, Postgres>) -> Transaction {
        Transaction { inner, prepares: self.settings.is_none() }
    }

    /// The connections as they are.
    pub(super) fn connections(&self) -> &PgPool {
        &self.connections
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("pooled", &self.settings.is_some()).finish_non_exhaustive()
    }
}

impl Transaction {
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.inner.commit().await
    }

    /// Begins a `COPY … FROM STDIN`.
    pub(super) async fn copy_in(
        &mut self,
        statement: &str,
    ) -> Result<PgCopyIn<&mut PgConnection>, sqlx::Error> {
        self.inner.copy_in_raw(statement).await
    }
}

/// A statement that is not kept, whoever asks for it.
struct Once<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Once<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

impl<'c> Executor<'c> for &'c mut Transaction {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Steps<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.prepares {
            self.inner.fetch_many(query)
        } else {
            self.inner.fetch_many(Once(query))
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.prepares {
            self.inner.fetch_optional(query)
        } else {
            self.inner.fetch_optional(Once(query))
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.inner.prepare_with(sql, parameters)
    }
}

impl<'c> Executor<'c> for &'c Pool {
    type Database = Postgres;

    /// A single statement is a transaction of its own; behind a pooler it has succeeded,
    /// and gives its rows, once that is committed.
    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Steps<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.settings.is_none() {
            return self.connections.fetch_many(query);
        }
        let steps = async move {
            let mut transaction = self.begin().await?;
            let steps: Vec<_> = transaction.fetch_many(query).try_collect().await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(stream::iter(steps.into_iter().map(Ok)))
        };
        stream::once(steps).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.settings.is_none() {
            return self.connections.fetch_optional(query);
        }
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            let row = transaction.fetch_optional(query).await?;
            transaction.commit().await?;
            Ok(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.connections.prepare_with(sql, parameters)
    }
}
