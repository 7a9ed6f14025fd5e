-- What calls used, and what that cost. Added to and read, never changed; removed only when it has become old.
CREATE TABLE usage_events (
    id               TEXT        NOT NULL PRIMARY KEY, -- UUIDv7: sorts by time; told twice it is one
    at               INTEGER     NOT NULL,
    call_id          TEXT        NOT NULL,
    user_id          TEXT,                             -- absent: the caller withheld his number
    agent            TEXT        NOT NULL,
    mode             TEXT        NOT NULL,             -- that served the call then
    event_type       TEXT        NOT NULL,
    provider         TEXT,                             -- who is paid, and for what; absent: nobody
    model            TEXT,
    quantity         INTEGER     NOT NULL,
    unit             TEXT        NOT NULL,
    metadata         TEXT        NOT NULL,             -- JSON
    cost_microusd    INTEGER,                          -- absent: unknown, which is not free
    unheard_microusd INTEGER     NOT NULL,             -- of what other events cost: paid for audio that was cut off
    price_version    INTEGER     NOT NULL
) STRICT;
CREATE INDEX usage_events_by_time ON usage_events (at);
CREATE INDEX usage_events_by_call ON usage_events (call_id);
CREATE INDEX usage_events_by_user ON usage_events (user_id, at);
