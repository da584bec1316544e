//! Forward-only migrations, embedded in the binary. All that are pending run in one transaction, under the write lock,
//! so two processes that start at once do not disturb each other.

use sqlx::Row;
use sqlx::sqlite::SqlitePool;

use super::OpenError;
use crate::timestamp::Timestamp;

/// In order; the version of a migration is its place, counted from 1. Only ever append.
const MIGRATIONS: [&str; 3] = [
    include_str!("../../migrations/sqlite/0001_users.sql"),
    include_str!("../../migrations/sqlite/0002_projects.sql"),
    include_str!("../../migrations/sqlite/0003_audit_logs.sql"),
];

/// Applies what is pending; refuses a schema that is newer than [`MIGRATIONS`].
pub(crate) async fn to_latest(pool: &SqlitePool) -> Result<(), OpenError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER NOT NULL PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT",
    )
    .execute(&mut *transaction)
    .await?;
    let row =
        sqlx::query("SELECT COALESCE(MAX(version), 0) FROM schema_migrations").fetch_one(&mut *transaction).await?;
    let found: i64 = row.try_get(0)?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for (version, script) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        sqlx::raw_sql(script).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO schema_migrations (version, applied_at) VALUES (?, ?)")
            .bind(version)
            .bind(Timestamp::now().micros())
            .execute(&mut *transaction)
            .await?;
        tracing::info!(version, "migrated");
    }
    Ok(transaction.commit().await?)
}
