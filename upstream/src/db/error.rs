//! Two kinds of failure: the database cannot be used just now, or this code is wrong.

use sqlx::error::DatabaseError;

/// Why a statement has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DbError {
    /// Busy, full, unreadable or gone; the same call may succeed later.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// The time for the whole transaction ran out.
    #[error("the database did not answer in time")]
    Slow,
    /// Anything else, which no retry cures.
    #[error("the database refused a statement")]
    Unexpected(#[source] sqlx::Error),
}

/// Why the database cannot be opened at start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("cannot use the database that DATABASE_URL names")]
    Database(#[from] DbError),
    #[error("the database that DATABASE_URL names has schema {found}, and this binary knows only {known}")]
    Newer { found: i64, known: i64 },
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => {
                Self::Unavailable(error)
            }
            sqlx::Error::Database(refusal) if is_passing(refusal.as_ref()) => Self::Unavailable(error),
            _ => Self::Unexpected(error),
        }
    }
}

/// Whether a primary result code of SQLite tells of the file or its locks rather than of the statement:
/// PERM 3, BUSY 5, LOCKED 6, NOMEM 7, READONLY 8, IOERR 10, CORRUPT 11, FULL 13, CANTOPEN 14, PROTOCOL 15, NOTADB 26.
/// <https://sqlite.org/rescode.html>
fn is_passing(refusal: &dyn DatabaseError) -> bool {
    let extended = refusal.code().and_then(|code| code.parse::<u32>().ok());
    extended.is_some_and(|code| matches!(code & 0xff, 3 | 5 | 6 | 7 | 8 | 10 | 11 | 13 | 14 | 15 | 26))
}
