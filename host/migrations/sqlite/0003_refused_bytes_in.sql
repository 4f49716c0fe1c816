-- Bytes of requests that were refused; before, bytes_in had them, too.
ALTER TABLE usage ADD COLUMN refused_bytes_in INTEGER NOT NULL DEFAULT 0;
