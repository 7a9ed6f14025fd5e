-- What operators set at run time, one JSON document per name. The store replaces it as a whole.
CREATE TABLE settings (
    name       TEXT    NOT NULL PRIMARY KEY,
    value      TEXT    NOT NULL CHECK (json_valid(value)),
    revision   INTEGER NOT NULL CHECK (revision > 0), -- 1, then one more for each change
    changed_at INTEGER NOT NULL                       -- microseconds since 1970-01-01 UTC
) STRICT, WITHOUT ROWID;
