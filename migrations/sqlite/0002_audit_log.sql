-- Every change, with who, what, before, after and why. Entries are added and read, never changed nor removed.
CREATE TABLE audit_log (
    id     TEXT    NOT NULL PRIMARY KEY, -- UUIDv7: sorts by time
    at     INTEGER NOT NULL,             -- microseconds since 1970-01-01 UTC
    who    TEXT    NOT NULL,
    what   TEXT    NOT NULL,
    before TEXT    NOT NULL CHECK (json_valid(before)),
    after  TEXT    NOT NULL CHECK (json_valid(after)),
    why    TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER audit_log_is_never_updated BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_log_is_never_deleted BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- INSERT OR REPLACE removes the old row without asking the trigger above, unless recursive_triggers is on.
CREATE TRIGGER audit_log_is_never_replaced BEFORE INSERT ON audit_log
WHEN EXISTS (SELECT 1 FROM audit_log WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
