-- Which mode or last resort a call went on with, and why. Added to and read, never changed.
CREATE TABLE mode_changes (
    id       TEXT    NOT NULL PRIMARY KEY, -- of the entry in the event log
    call_id  TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    mode     TEXT    NOT NULL,             -- that it left
    went_to  TEXT    NOT NULL,             -- a mode, human or apology
    why      TEXT    NOT NULL
) STRICT;
CREATE INDEX mode_changes_by_call ON mode_changes (call_id, id);
