-- Owners of everything else. The first row is the constant default user.
CREATE TABLE users (
    id         TEXT    NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL
) STRICT;

INSERT INTO users (id, created_at) VALUES ('01900000-0000-7000-8000-000000000001', 0);
