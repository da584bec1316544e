//! Events on their way into the table: judged and written in one transaction that holds the write lock.

use std::collections::BTreeMap;

use sqlx::{QueryBuilder, Row, Sqlite};

use super::event::{Phase, RequestEvent};
use super::fate::{Fate, Taken};
use super::record::Source;
use crate::db::{Call, Collection, Database, DbError, Operation, Transaction, column};
use crate::id::Id;

/// Stores what is new; gives the fate of each event, in their order. Afterwards every event is durable or was before.
pub(super) async fn ingest(database: &Database, events: &[RequestEvent]) -> Result<Vec<Fate>, DbError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = database.write().await?;
    let mut taken = taken(&mut transaction, events).await?;
    let mut fates = Vec::with_capacity(events.len());
    let mut new = Vec::new();
    // By request, so that an end stands here in place of a start of the same batch.
    let mut rows = BTreeMap::new();
    for event in events {
        let fate = taken.judge(event);
        if let Fate::Stored | Fate::Replaced = fate {
            new.push(event);
            rows.insert(event.request_id, event);
        }
        fates.push(fate);
    }
    if !new.is_empty() {
        remember(&mut transaction, &new).await?;
        write(&mut transaction, rows.values().copied()).await?;
        transaction.commit().await?;
    }
    Ok(fates)
}

/// What was taken before of these events and their requests: at most three events for each.
async fn taken(transaction: &mut Transaction, events: &[RequestEvent]) -> Result<Taken, DbError> {
    let mut select = QueryBuilder::new("SELECT event_id, request_id, ended FROM audit_events WHERE event_id IN (");
    push_ids(&mut select, events.iter().map(|event| event.id));
    select.push(") OR request_id IN (");
    push_ids(&mut select, events.iter().map(|event| event.request_id));
    select.push(")");
    let call = Call::on(Operation::Select, Collection::AuditEvents);
    // A statement for each length of a batch would only push others out of the cache.
    let rows = transaction.rows(call, select.build().persistent(false)).await?;
    let mut taken = Taken::default();
    for row in &rows {
        let phase = if row.try_get("ended")? { Phase::Ended } else { Phase::Started };
        taken.add(column(row, "event_id", Id::parse)?, column(row, "request_id", Id::parse)?, phase);
    }
    Ok(taken)
}

fn push_ids(sql: &mut QueryBuilder<Sqlite>, ids: impl Iterator<Item = Id>) {
    let mut list = sql.separated(", ");
    for id in ids {
        list.push_bind(id.to_string());
    }
}

async fn remember(transaction: &mut Transaction, events: &[&RequestEvent]) -> Result<(), DbError> {
    let mut insert = QueryBuilder::new("INSERT INTO audit_events (event_id, request_id, ended) ");
    insert.push_values(events, |mut row, event| {
        row.push_bind(event.id.to_string());
        row.push_bind(event.request_id.to_string());
        row.push_bind(i64::from(event.phase == Phase::Ended));
    });
    let call = Call::on(Operation::Insert, Collection::AuditEvents);
    transaction.execute(call, insert.build().persistent(false)).await?;
    Ok(())
}

async fn write(transaction: &mut Transaction, events: impl Iterator<Item = &RequestEvent>) -> Result<(), DbError> {
    let mut insert = QueryBuilder::new(
        "INSERT INTO audit_logs (id, user_id, action, resource, metadata, created_at, source, event_id, request_id) ",
    );
    insert.push_values(events, |mut row, event| {
        let id = event.id.to_string();
        row.push_bind(id.clone());
        row.push_bind(event.user_id.as_deref());
        row.push_bind(event.action.as_str());
        row.push_bind(event.resource.as_str());
        row.push_bind(event.metadata.as_str());
        row.push_bind(event.time.micros());
        row.push_bind(Source::Proxy.as_str());
        row.push_bind(id);
        row.push_bind(event.request_id.to_string());
    });
    // Only the row of a start can be in the way: `Taken` lets nothing else come after a row.
    insert.push(
        " ON CONFLICT (request_id) DO UPDATE SET id = excluded.id, user_id = excluded.user_id, \
         action = excluded.action, resource = excluded.resource, metadata = excluded.metadata, \
         created_at = excluded.created_at, event_id = excluded.event_id",
    );
    let call = Call::on(Operation::Insert, Collection::AuditLogs);
    transaction.execute(call, insert.build().persistent(false)).await?;
    Ok(())
}
