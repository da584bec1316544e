-- What happened. Rows are added; nothing but the end of a request of the proxy changes one, and no endpoint does.
CREATE TABLE audit_logs (
    id         TEXT    NOT NULL PRIMARY KEY,
    -- No reference: the proxy may name users of another issuer, and what somebody did outlives their account.
    user_id    TEXT,
    action     TEXT    NOT NULL,
    resource   TEXT    NOT NULL,
    metadata   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    source     TEXT    NOT NULL CHECK (source IN ('app', 'proxy')),
    event_id   TEXT    UNIQUE,
    -- One row a request: its end takes the place of its start.
    request_id TEXT    UNIQUE,
    CHECK ((source = 'proxy') = (event_id IS NOT NULL AND request_id IS NOT NULL))
) STRICT;

CREATE INDEX audit_logs_by_created_at ON audit_logs (created_at, id);
CREATE INDEX audit_logs_by_user       ON audit_logs (user_id, created_at, id);
CREATE INDEX audit_logs_by_action     ON audit_logs (action, created_at, id);
-- One for each source, rather than one that begins with it: that one would be taken for a query by user or action as
-- well, and most rows have the same source.
CREATE INDEX audit_logs_of_app        ON audit_logs (created_at, id) WHERE source = 'app';
CREATE INDEX audit_logs_of_proxy      ON audit_logs (created_at, id) WHERE source = 'proxy';

-- Every event of the proxy that ever made a row, whether the row is still there or not, so that none is taken twice.
-- A request has at most two: its start and its end.
CREATE TABLE audit_events (
    event_id   TEXT    NOT NULL PRIMARY KEY,
    request_id TEXT    NOT NULL,
    ended      INTEGER NOT NULL CHECK (ended IN (0, 1))
) STRICT;

CREATE INDEX audit_events_by_request ON audit_events (request_id);
