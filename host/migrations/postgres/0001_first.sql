-- Tenants. A key is never given to another tenant, even after a purge.
CREATE TABLE tenants (
    key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    -- The row, as a line of a tenants file.
    line TEXT NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN ('active', 'suspended', 'archived')),
    version BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL
);

-- Rows in sessions of each tenant that has had any; whoever opens sessions locks it.
CREATE TABLE session_counts (
    tenant BIGINT PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
    held BIGINT NOT NULL
);

-- Who changed what, in the order of the commits. Servers follow it.
CREATE TABLE audit (
    seq BIGINT PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    who TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    tenant BIGINT NOT NULL,
    before_json TEXT,
    after_json TEXT
);

CREATE INDEX audit_by_tenant ON audit (tenant_id, seq);

-- The last number of the audit. Whoever writes to it locks this row until the commit, so
-- that numbers appear in their order.
CREATE TABLE audit_end (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq BIGINT NOT NULL
);

INSERT INTO audit_end VALUES (1, 0);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only';
END
$$;

CREATE TRIGGER audit_keeps_rows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

CREATE FUNCTION audit_tells_servers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tenantry_audit', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER audit_tells_servers AFTER INSERT ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_tells_servers();

-- Whose each session is, and when it was last used, to 1/256 of the lifetime.
CREATE TABLE sessions (
    id BYTEA PRIMARY KEY,
    tenant BIGINT NOT NULL REFERENCES tenants ON DELETE CASCADE,
    used_ms BIGINT NOT NULL
);

CREATE INDEX sessions_by_tenant ON sessions (tenant, id);

-- What tenants used in a span: step and start are in minutes of Unix time.
CREATE TABLE usage (
    step BIGINT NOT NULL,
    start BIGINT NOT NULL,
    tenant BIGINT NOT NULL,
    chats BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    bytes_in BIGINT NOT NULL,
    bytes_out BIGINT NOT NULL,
    busy_ns BIGINT NOT NULL,
    PRIMARY KEY (step, start, tenant)
);

-- The last batch of usage of each server that was added, so that none is added twice.
CREATE TABLE usage_batches (
    server TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    at_ms BIGINT NOT NULL
);
