-- What operators set at run time, one JSON document per name. The store replaces it as a whole.
CREATE TABLE settings (
    name       TEXT        NOT NULL PRIMARY KEY,
    value      TEXT        NOT NULL CHECK (value::json IS NOT NULL), -- text: it is read as it was written
    revision   BIGINT      NOT NULL CHECK (revision > 0),            -- 1, then one more for each change
    changed_at TIMESTAMPTZ NOT NULL
);
