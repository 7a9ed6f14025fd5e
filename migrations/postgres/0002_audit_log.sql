-- Every change, with who, what, before, after and why. Entries are added and read, never changed nor removed.
CREATE TABLE audit_log (
    id     UUID        NOT NULL PRIMARY KEY, -- UUIDv7: sorts by time
    at     TIMESTAMPTZ NOT NULL,
    who    TEXT        NOT NULL,
    what   TEXT        NOT NULL,
    before TEXT        NOT NULL CHECK (before::json IS NOT NULL),
    after  TEXT        NOT NULL CHECK (after::json IS NOT NULL),
    why    TEXT        NOT NULL
);

CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;

CREATE TRIGGER audit_log_is_never_changed_nor_removed BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();
