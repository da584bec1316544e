//! A transaction: all of its changes or none. Dropped without [`Transaction::commit`], it leaves no trace.

use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use tokio::time::Instant;

use super::statement::{Call, timed};
use super::{DbError, Operation};
use crate::metrics::Metrics;

/// An open transaction and the moment by which all of it must be over.
pub(crate) struct Transaction {
    inner: sqlx::Transaction<'static, Sqlite>,
    deadline: Instant,
    metrics: Metrics,
}

impl Transaction {
    pub(super) fn new(inner: sqlx::Transaction<'static, Sqlite>, deadline: Instant, metrics: Metrics) -> Self {
        Self { inner, deadline, metrics }
    }

    /// Runs a statement that returns no rows; gives the number of rows it changed.
    pub(crate) async fn execute(
        &mut self,
        call: Call,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<u64, DbError> {
        let done = timed(&self.metrics, call, self.deadline, query.execute(&mut *self.inner)).await?;
        Ok(done.rows_affected())
    }

    /// Runs a query; gives all of its rows. The statement bounds their number.
    pub(crate) async fn rows(
        &mut self,
        call: Call,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Vec<SqliteRow>, DbError> {
        debug_assert_eq!(call.operation, Operation::Select);
        timed(&self.metrics, call, self.deadline, query.fetch_all(&mut *self.inner)).await
    }

    /// Runs a query of at most one row.
    pub(crate) async fn row(
        &mut self,
        call: Call,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Option<SqliteRow>, DbError> {
        debug_assert_eq!(call.operation, Operation::Select);
        timed(&self.metrics, call, self.deadline, query.fetch_optional(&mut *self.inner)).await
    }

    /// Makes the changes durable. After [`DbError::Slow`] it is open whether they are; they are never half made.
    pub(crate) async fn commit(self) -> Result<(), DbError> {
        timed(&self.metrics, Call::COMMIT, self.deadline, self.inner.commit()).await
    }
}
