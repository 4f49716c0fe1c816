-- Tenants. A key is never given to another tenant, even after a purge.
CREATE TABLE tenants (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    -- The row, as a line of a tenants file.
    line TEXT NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN ('active', 'suspended', 'archived')),
    version INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT;

-- Who changed what, in the order of the commits.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    tenant INTEGER NOT NULL,
    before_json TEXT,
    after_json TEXT
) STRICT;

CREATE INDEX audit_by_tenant ON audit (tenant_id, seq);

-- The last number of the audit.
CREATE TABLE audit_end (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL
) STRICT;

INSERT INTO audit_end VALUES (1, 0);

CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

CREATE TRIGGER audit_keeps_words BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

-- Whose each session is, and when it was last used, to 1/256 of the lifetime.
CREATE TABLE sessions (
    id BLOB NOT NULL PRIMARY KEY,
    tenant INTEGER NOT NULL,
    used_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What tenants used in a span: step and start are in minutes of Unix time.
CREATE TABLE usage (
    step INTEGER NOT NULL,
    start INTEGER NOT NULL,
    tenant INTEGER NOT NULL,
    chats INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    busy_ns INTEGER NOT NULL,
    PRIMARY KEY (step, start, tenant)
) STRICT, WITHOUT ROWID;

-- The last batch of usage of each server that was added, so that none is added twice.
CREATE TABLE usage_batches (
    server TEXT NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
