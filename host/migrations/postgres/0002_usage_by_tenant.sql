-- For what one tenant used, and for the purge of it.
CREATE INDEX usage_by_tenant ON usage (tenant, step, start);
