//! What a statement is called in metrics, and the one place that times and bounds it.

use std::future::Future;

use tokio::time::{Instant, timeout_at};

use super::DbError;
use crate::metrics::Metrics;

/// The verb of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Begin,
    Select,
    Insert,
    Update,
    Delete,
    Commit,
}

impl Operation {
    /// `db.operation.name`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "BEGIN",
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Commit => "COMMIT",
        }
    }
}

/// The table a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Collection {
    /// No table: the statement is about the transaction.
    None,
    Projects,
    ProjectSlugs,
    ProjectTombstones,
    AuditLogs,
    AuditEvents,
}

impl Collection {
    /// `db.collection.name`, empty when there is none.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Projects => "projects",
            Self::ProjectSlugs => "project_slugs",
            Self::ProjectTombstones => "project_tombstones",
            Self::AuditLogs => "audit_logs",
            Self::AuditEvents => "audit_events",
        }
    }
}

/// One statement, by verb and table; never by text or values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) collection: Collection,
}

impl Call {
    pub(super) const BEGIN: Self = Self { operation: Operation::Begin, collection: Collection::None };
    pub(super) const COMMIT: Self = Self { operation: Operation::Commit, collection: Collection::None };

    /// A statement on a table.
    pub(crate) const fn on(operation: Operation, collection: Collection) -> Self {
        Self { operation, collection }
    }
}

/// How a statement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Unavailable,
    Slow,
    Unexpected,
}

impl Outcome {
    /// `error.type`, empty when there was no error.
    pub(crate) const fn error_type(self) -> &'static str {
        match self {
            Self::Done => "",
            Self::Unavailable => "unavailable",
            Self::Slow => "timeout",
            Self::Unexpected => "_OTHER",
        }
    }
}

/// Runs a statement until `deadline` and counts it.
pub(super) async fn timed<T>(
    metrics: &Metrics,
    call: Call,
    deadline: Instant,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, DbError> {
    let begun = Instant::now();
    let result = match timeout_at(deadline, statement).await {
        Ok(result) => result.map_err(DbError::from),
        Err(_) => Err(DbError::Slow),
    };
    let outcome = match &result {
        Ok(_) => Outcome::Done,
        Err(DbError::Unavailable(_)) => Outcome::Unavailable,
        Err(DbError::Slow) => Outcome::Slow,
        Err(DbError::Unexpected(_)) => Outcome::Unexpected,
    };
    metrics.statement(call, outcome, begun.elapsed());
    result
}
