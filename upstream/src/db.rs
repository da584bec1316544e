//! The database: one file, one connection that writes, four that read.
//!
//! Every statement goes through a [`Transaction`], so each is timed, counted and bounded in one place.

mod column;
mod error;
mod migrate;
mod statement;
mod transaction;

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use tokio::time::Instant;

pub(crate) use self::column::{column, optional_column};
pub(crate) use self::error::{DbError, OpenError};
pub(crate) use self::statement::{Call, Collection, Operation, Outcome};
pub(crate) use self::transaction::Transaction;
use crate::metrics::Metrics;
use crate::settings::DatabaseFile;

/// How long SQLite itself waits for another writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The bound of a whole transaction, the wait for its connection included. It leaves half a second to answer within 6 s.
const TRANSACTION_TIMEOUT: Duration = Duration::from_millis(5_500);
const READERS: u32 = 4;

/// A handle to the database; it is migrated once it is open.
#[derive(Debug)]
pub(crate) struct Database {
    writer: SqlitePool,
    readers: SqlitePool,
    probe: SqliteConnectOptions,
    metrics: Metrics,
}

impl Database {
    /// Opens the file, which is made when it is missing, and migrates it to the schema of this binary.
    pub(crate) async fn open(file: &DatabaseFile, metrics: &Metrics) -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::new()
            .filename(&file.0)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            // Statements would reach the log with their text.
            .disable_statement_logging();
        let existing = options.clone().create_if_missing(false).pragma("query_only", "ON");
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(TRANSACTION_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let writer = pool().max_connections(1).min_connections(1).connect_with(options).await?;
        migrate::to_latest(&writer).await?;
        let readers = pool().max_connections(READERS).connect_lazy_with(existing.clone());
        Ok(Self { writer, readers, probe: existing.read_only(true), metrics: metrics.clone() })
    }

    /// Begins a transaction that writes. It holds the write lock from its first moment, so nothing it reads can change
    /// before it commits.
    pub(crate) async fn write(&self) -> Result<Transaction, DbError> {
        self.begin(&self.writer, Some("BEGIN IMMEDIATE")).await
    }

    /// Begins a transaction that only reads: one snapshot for all its statements.
    pub(crate) async fn read(&self) -> Result<Transaction, DbError> {
        self.begin(&self.readers, None).await
    }

    async fn begin(&self, pool: &SqlitePool, statement: Option<&'static str>) -> Result<Transaction, DbError> {
        let deadline = Instant::now() + TRANSACTION_TIMEOUT;
        let begin = async {
            match statement {
                Some(statement) => pool.begin_with(statement).await,
                None => pool.begin().await,
            }
        };
        let inner = statement::timed(&self.metrics, Call::BEGIN, deadline, begin).await?;
        Ok(Transaction::new(inner, deadline, self.metrics.clone()))
    }

    /// Reads the file through a connection of its own: one that is open already would answer from its page cache even
    /// when the file is gone.
    pub(crate) async fn probe(&self) -> Result<(), DbError> {
        let mut connection = self.probe.connect().await?;
        sqlx::query("SELECT MAX(version) FROM schema_migrations").fetch_one(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Open connections that are idle and in use, over both pools.
    pub(crate) fn connections(&self) -> (i64, i64) {
        let pools = [&self.writer, &self.readers];
        let open: i64 = pools.iter().map(|pool| i64::from(pool.size())).sum();
        let idle: i64 = pools.iter().map(|pool| i64::try_from(pool.num_idle()).unwrap_or(0)).sum();
        (idle, (open - idle).max(0))
    }

    /// Closes every connection, which folds the write-ahead log into the file.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
