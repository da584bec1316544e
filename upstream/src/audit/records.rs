//! The audit trail in the database, as it is read. Nothing here writes.

use serde_json::value::RawValue;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::list_query::{Actions, Filter, ListQuery};
use super::record::{Record, Source};
use crate::db::{Call, Collection, Database, DbError, Operation, column, optional_column};
use crate::http::Paginated;
use crate::id::Id;
use crate::text::Invalid;
use crate::timestamp::Timestamp;

const SELECT: Call = Call::on(Operation::Select, Collection::AuditLogs);

/// One page, newest first, and the number of all that pass the filter, from one snapshot.
pub(super) async fn list(database: &Database, wanted: &ListQuery) -> Result<Paginated<Record>, DbError> {
    let mut transaction = database.read().await?;
    let mut count = QueryBuilder::new("SELECT COUNT(*) FROM audit_logs");
    push_filter(&mut count, &wanted.filter);
    let total = match transaction.row(SELECT, count.build()).await? {
        Some(row) => row.try_get(0)?,
        None => 0,
    };
    let mut page = QueryBuilder::new(
        "SELECT id, user_id, action, resource, metadata, created_at, source, event_id, request_id FROM audit_logs",
    );
    push_filter(&mut page, &wanted.filter);
    page.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(i64::from(wanted.page.size()));
    page.push(" OFFSET ").push_bind(wanted.page.offset());
    let rows = transaction.rows(SELECT, page.build()).await?;
    let items = rows.iter().map(record).collect::<Result<_, _>>()?;
    Ok(Paginated::new(items, wanted.page, total))
}

fn push_filter(sql: &mut QueryBuilder<Sqlite>, filter: &Filter) {
    sql.push(" WHERE TRUE");
    if let Some(user) = &filter.user_id {
        sql.push(" AND user_id = ").push_bind(user.clone());
    }
    match &filter.action {
        None => {}
        Some(Actions::Exactly(action)) => {
            sql.push(" AND action = ").push_bind(action.clone());
        }
        Some(Actions::Range { first, end }) => {
            sql.push(" AND action >= ").push_bind(first.clone());
            if let Some(end) = end {
                sql.push(" AND action < ").push_bind(end.clone());
            }
        }
    }
    if let Some(source) = filter.source {
        // Not bound: only a literal lets the index of this source be used.
        sql.push(" AND source = '").push(source.as_str()).push("'");
    }
    if let Some(from) = filter.from {
        sql.push(" AND created_at >= ").push_bind(from.micros());
    }
    if let Some(to) = filter.to {
        sql.push(" AND created_at < ").push_bind(to.micros());
    }
}

fn record(row: &SqliteRow) -> Result<Record, sqlx::Error> {
    Ok(Record {
        id: column(row, "id", Id::parse)?,
        user_id: row.try_get("user_id")?,
        action: row.try_get("action")?,
        resource: row.try_get("resource")?,
        metadata: column(row, "metadata", json)?,
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
        source: column(row, "source", Source::parse)?,
        event_id: optional_column(row, "event_id", Id::parse)?,
        request_id: optional_column(row, "request_id", Id::parse)?,
    })
}

fn json(text: &str) -> Result<Box<RawValue>, Invalid> {
    RawValue::from_string(text.to_owned()).map_err(|_| Invalid::new("is not JSON"))
}
