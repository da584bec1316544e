CREATE TABLE projects (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    slug        TEXT    NOT NULL UNIQUE,
    description TEXT    NOT NULL,
    status      TEXT    NOT NULL CHECK (status IN ('unknown', 'active', 'paused', 'archived')),
    owner_id    TEXT    NOT NULL REFERENCES users (id),
    version     INTEGER NOT NULL CHECK (version >= 1),
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX projects_by_created_at ON projects (created_at, id);
CREATE INDEX projects_by_updated_at ON projects (updated_at, id);
CREATE INDEX projects_by_name       ON projects (name, id);
CREATE INDEX projects_by_status     ON projects (status, id);
CREATE INDEX projects_by_owner      ON projects (owner_id);

-- Every slug a project ever had. No reference to projects: a slug outlives its project.
CREATE TABLE project_slugs (
    slug       TEXT NOT NULL PRIMARY KEY,
    project_id TEXT NOT NULL
) STRICT;

-- Ids that were deleted, so that an old ETag can never match another item under the same id.
CREATE TABLE project_tombstones (
    id         TEXT    NOT NULL PRIMARY KEY,
    deleted_at INTEGER NOT NULL
) STRICT;
