//! Projects in the database. What is checked and what is written are one transaction that holds the write lock.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, query};

use super::edit::{Edit, InvalidTransition};
use super::list_query::{Filter, ListQuery};
use super::model::Project;
use super::{Content, DEFAULT_OWNER, Description, NewProject, ProjectName, Slug, Status};
use crate::conditional::Preconditions;
use crate::db::{Call, Collection, Database, DbError, Operation, Transaction, column};
use crate::http::Paginated;
use crate::id::Id;
use crate::timestamp::Timestamp;

/// Why a project was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is no such project")]
    Absent,
    #[error("a precondition does not hold")]
    Conflict(Box<Project>),
    #[error("a status never goes back to unknown")]
    BackToUnknown,
    #[error("the id exists or existed")]
    IdTaken,
    #[error("the slug exists or existed")]
    SlugTaken,
    #[error(transparent)]
    Database(#[from] DbError),
}

/// One page and the number of all that pass the filter, from one snapshot.
pub(crate) async fn list(database: &Database, wanted: &ListQuery) -> Result<Paginated<Project>, DbError> {
    let mut transaction = database.read().await?;
    let mut count = QueryBuilder::new("SELECT COUNT(*) FROM projects");
    push_filter(&mut count, &wanted.filter);
    let total = match transaction.row(select(Collection::Projects), count.build()).await? {
        Some(row) => row.try_get(0)?,
        None => 0,
    };
    let mut page = QueryBuilder::new(COLUMNS);
    push_filter(&mut page, &wanted.filter);
    page.push(" ORDER BY ").push(wanted.sort.order_by());
    page.push(" LIMIT ").push_bind(i64::from(wanted.page.size()));
    page.push(" OFFSET ").push_bind(wanted.page.offset());
    let rows = transaction.rows(select(Collection::Projects), page.build()).await?;
    let items = rows.iter().map(project).collect::<Result<_, _>>()?;
    Ok(Paginated::new(items, wanted.page, total))
}

/// One project, or `None`.
pub(crate) async fn find(database: &Database, id: Id) -> Result<Option<Project>, DbError> {
    fetch(&mut database.read().await?, id).await
}

/// Creates a project as version 1, at `now`.
pub(crate) async fn create(database: &Database, new: NewProject, now: Timestamp) -> Result<Project, Refusal> {
    let mut transaction = database.write().await?;
    let project = insert(&mut transaction, new, now).await?;
    transaction.commit().await?;
    Ok(project)
}

/// Creates a project within a transaction that writes. A refusal leaves the transaction as it was.
pub(crate) async fn insert(transaction: &mut Transaction, new: NewProject, now: Timestamp) -> Result<Project, Refusal> {
    let id = new.id.unwrap_or_else(Id::fresh);
    if ever_existed(transaction, id).await? {
        return Err(Refusal::IdTaken);
    }
    claim_slug(transaction, &new.content.slug, id).await?;
    let project =
        Project { id, content: new.content, owner_id: DEFAULT_OWNER, version: 1, created_at: now, updated_at: now };
    let insert = query(
        "INSERT INTO projects (id, name, slug, description, status, owner_id, version, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id.to_string())
    .bind(project.content.name.as_str())
    .bind(project.content.slug.as_str())
    .bind(project.content.description.as_str())
    .bind(project.content.status.as_str())
    .bind(project.owner_id.to_string())
    .bind(project.version)
    .bind(now.micros())
    .bind(now.micros());
    transaction.execute(Call::on(Operation::Insert, Collection::Projects), insert).await?;
    Ok(project)
}

/// Changes a project; one that the edit leaves as it is keeps its version and time.
pub(crate) async fn update(
    database: &Database,
    id: Id,
    preconditions: &Preconditions,
    edit: Edit,
    now: Timestamp,
) -> Result<Project, Refusal> {
    let mut transaction = database.write().await?;
    let current = permitted(&mut transaction, id, preconditions).await?;
    let content = edit.apply(&current.content).map_err(|InvalidTransition| Refusal::BackToUnknown)?;
    if content == current.content {
        return Ok(current);
    }
    if content.slug != current.content.slug {
        claim_slug(&mut transaction, &content.slug, id).await?;
    }
    // A clock that was set back must not make a later version look older.
    let updated_at = now.max(current.updated_at);
    let update = query(
        "UPDATE projects SET name = ?, slug = ?, description = ?, status = ?, updated_at = ?, version = version + 1 \
         WHERE id = ? AND version = ?",
    )
    .bind(content.name.as_str())
    .bind(content.slug.as_str())
    .bind(content.description.as_str())
    .bind(content.status.as_str())
    .bind(updated_at.micros())
    .bind(id.to_string())
    .bind(current.version);
    if transaction.execute(Call::on(Operation::Update, Collection::Projects), update).await? == 0 {
        return Err(Refusal::Conflict(Box::new(current)));
    }
    transaction.commit().await?;
    Ok(Project { content, version: current.version + 1, updated_at, ..current })
}

/// Deletes a project; its id and its slugs stay taken.
pub(crate) async fn delete(
    database: &Database,
    id: Id,
    preconditions: &Preconditions,
    now: Timestamp,
) -> Result<(), Refusal> {
    let mut transaction = database.write().await?;
    let current = permitted(&mut transaction, id, preconditions).await?;
    let delete = query("DELETE FROM projects WHERE id = ? AND version = ?").bind(id.to_string()).bind(current.version);
    if transaction.execute(Call::on(Operation::Delete, Collection::Projects), delete).await? == 0 {
        return Err(Refusal::Conflict(Box::new(current)));
    }
    let bury =
        query("INSERT INTO project_tombstones (id, deleted_at) VALUES (?, ?)").bind(id.to_string()).bind(now.micros());
    transaction.execute(Call::on(Operation::Insert, Collection::ProjectTombstones), bury).await?;
    Ok(transaction.commit().await?)
}

const COLUMNS: &str =
    "SELECT id, name, slug, description, status, owner_id, version, created_at, updated_at FROM projects";

fn select(collection: Collection) -> Call {
    Call::on(Operation::Select, collection)
}

async fn fetch(transaction: &mut Transaction, id: Id) -> Result<Option<Project>, DbError> {
    let mut one = QueryBuilder::new(COLUMNS);
    one.push(" WHERE id = ").push_bind(id.to_string());
    let row = transaction.row(select(Collection::Projects), one.build()).await?;
    Ok(row.as_ref().map(project).transpose()?)
}

/// An absent project is absent under any precondition.
async fn permitted(transaction: &mut Transaction, id: Id, preconditions: &Preconditions) -> Result<Project, Refusal> {
    let current = fetch(transaction, id).await?.ok_or(Refusal::Absent)?;
    if preconditions.permit_write(current.tag()) { Ok(current) } else { Err(Refusal::Conflict(Box::new(current))) }
}

async fn ever_existed(transaction: &mut Transaction, id: Id) -> Result<bool, DbError> {
    let id = id.to_string();
    let live = query("SELECT 1 FROM projects WHERE id = ?").bind(id.as_str());
    if transaction.row(select(Collection::Projects), live).await?.is_some() {
        return Ok(true);
    }
    let dead = query("SELECT 1 FROM project_tombstones WHERE id = ?").bind(id.as_str());
    Ok(transaction.row(select(Collection::ProjectTombstones), dead).await?.is_some())
}

/// Takes a slug that is new or was this project's own before.
async fn claim_slug(transaction: &mut Transaction, slug: &Slug, id: Id) -> Result<(), Refusal> {
    let holder = query("SELECT project_id FROM project_slugs WHERE slug = ?").bind(slug.as_str());
    if let Some(row) = transaction.row(select(Collection::ProjectSlugs), holder).await? {
        let holder: String = row.try_get(0).map_err(DbError::from)?;
        return if holder == id.to_string() { Ok(()) } else { Err(Refusal::SlugTaken) };
    }
    let claim =
        query("INSERT INTO project_slugs (slug, project_id) VALUES (?, ?)").bind(slug.as_str()).bind(id.to_string());
    transaction.execute(Call::on(Operation::Insert, Collection::ProjectSlugs), claim).await?;
    Ok(())
}

fn push_filter(sql: &mut QueryBuilder<Sqlite>, filter: &Filter) {
    sql.push(" WHERE TRUE");
    if let Some(statuses) = &filter.status {
        let mut list = sql.push(" AND status IN (").separated(", ");
        for status in statuses {
            list.push_bind(status.as_str());
        }
        sql.push(")");
    }
    if let Some(owner) = filter.owner {
        sql.push(" AND owner_id = ").push_bind(owner.to_string());
    }
    if let Some(from) = filter.created_from {
        sql.push(" AND created_at >= ").push_bind(from.micros());
    }
    if let Some(to) = filter.created_to {
        sql.push(" AND created_at < ").push_bind(to.micros());
    }
    if let Some(text) = &filter.text {
        // SQLite's lower() knows ASCII only, and instr() has no wildcards: both as wanted.
        sql.push(" AND instr(lower(name), ").push_bind(text.to_ascii_lowercase()).push(") > 0");
    }
}

fn project(row: &SqliteRow) -> Result<Project, sqlx::Error> {
    Ok(Project {
        id: column(row, "id", Id::parse)?,
        content: Content {
            name: column(row, "name", ProjectName::parse)?,
            slug: column(row, "slug", Slug::parse)?,
            description: column(row, "description", Description::parse)?,
            status: column(row, "status", Status::parse)?,
        },
        owner_id: column(row, "owner_id", Id::parse)?,
        version: row.try_get("version")?,
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
        updated_at: Timestamp::from_micros(row.try_get("updated_at")?),
    })
}
