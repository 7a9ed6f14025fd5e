-- How a call ended, part by part: a call that changed between media and questions, or its node, has several.
CREATE TABLE call_endings (
    id            TEXT    NOT NULL PRIMARY KEY, -- told twice it is one
    call_id       TEXT    NOT NULL,
    ended_at      INTEGER NOT NULL,
    agent         TEXT    NOT NULL,
    mode          TEXT    NOT NULL, -- that the router gave it
    is_last       INTEGER NOT NULL, -- the call is over with it
    failed        INTEGER NOT NULL, -- it had to leave a mode, or ended because of us
    early_hang_up INTEGER NOT NULL,
    response_ms   TEXT    NOT NULL -- JSON: one for every answer
) STRICT;
CREATE INDEX call_endings_by_time ON call_endings (ended_at);
CREATE INDEX call_endings_by_call ON call_endings (call_id);

-- What came of it, as somebody told afterwards. The first who tells is believed.
CREATE TABLE call_outcomes (
    call_id TEXT    NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL,
    reward  REAL    NOT NULL, -- 0 to 1
    note    TEXT    NOT NULL
) STRICT;

-- Hours of which something was written since they were summed up: up to which entry of which spool.
CREATE TABLE dirty_hours (
    hour   INTEGER NOT NULL, -- its first moment
    spool  TEXT    NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (hour, spool)
) STRICT;
INSERT INTO dirty_hours (hour, spool, number)
    SELECT DISTINCT at - at % 3600000000, '00000000-0000-0000-0000-000000000000', 1 FROM usage_events;

-- Sums of a civil day. They can all be made again from usage_events, call_endings and call_outcomes.
CREATE TABLE daily_usage_stats (
    date                TEXT    NOT NULL PRIMARY KEY,
    total_sessions      INTEGER NOT NULL,
    voice_ms            INTEGER NOT NULL,
    total_voice_minutes REAL    GENERATED ALWAYS AS (voice_ms / 60000.0) STORED,
    total_tool_calls    INTEGER NOT NULL,
    unique_users        INTEGER NOT NULL,
    cost_microusd       INTEGER NOT NULL,
    estimated_cost      REAL    GENERATED ALWAYS AS (cost_microusd / 1000000.0) STORED, -- dollars
    unpriced_events     INTEGER NOT NULL,
    unheard_microusd    INTEGER NOT NULL,
    d1_came_back        INTEGER NOT NULL, -- retention: of users first seen 1, 7, 30 days before,
    d7_came_back        INTEGER NOT NULL, -- those who were there on this day
    d30_came_back       INTEGER NOT NULL,
    revision            INTEGER NOT NULL -- one more each time it is made
) STRICT;

-- The same for each agent in each mode, and how its calls ended.
CREATE TABLE daily_mode_stats (
    date             TEXT    NOT NULL,
    agent            TEXT    NOT NULL,
    mode             TEXT    NOT NULL,
    sessions         INTEGER NOT NULL,
    voice_ms         INTEGER NOT NULL,
    tool_calls       INTEGER NOT NULL,
    cost_microusd    INTEGER NOT NULL,
    unpriced_events  INTEGER NOT NULL,
    unheard_microusd INTEGER NOT NULL,
    calls_ended      INTEGER NOT NULL,
    failed           INTEGER NOT NULL,
    early_hang_ups   INTEGER NOT NULL,
    good_outcomes    INTEGER NOT NULL,
    bad_outcomes     INTEGER NOT NULL,
    response_times   TEXT    NOT NULL, -- JSON: how many took how long
    PRIMARY KEY (date, agent, mode)
) STRICT;

-- Users of a mode, whatever the agent, and of an agent, whatever the mode: each counted once a day.
CREATE TABLE daily_unique_users (
    date         TEXT    NOT NULL,
    part         TEXT    NOT NULL, -- mode, agent
    name         TEXT    NOT NULL,
    unique_users INTEGER NOT NULL,
    PRIMARY KEY (date, part, name)
) STRICT;

-- What a user used on a day, with each agent in each mode.
CREATE TABLE user_days (
    date             TEXT    NOT NULL,
    user_id          TEXT    NOT NULL,
    agent            TEXT    NOT NULL,
    mode             TEXT    NOT NULL,
    sessions         INTEGER NOT NULL,
    voice_ms         INTEGER NOT NULL,
    tool_calls       INTEGER NOT NULL,
    cost_microusd    INTEGER NOT NULL,
    unpriced_events  INTEGER NOT NULL,
    unheard_microusd INTEGER NOT NULL,
    PRIMARY KEY (date, user_id, agent, mode)
) STRICT;
CREATE INDEX user_days_by_user ON user_days (user_id, date);

-- When a user was first and last there, and all that was used.
CREATE TABLE user_activity (
    user_id             TEXT    NOT NULL PRIMARY KEY,
    first_seen          TEXT    NOT NULL,
    last_seen           TEXT    NOT NULL,
    total_sessions      INTEGER NOT NULL,
    voice_ms            INTEGER NOT NULL,
    total_voice_minutes REAL    GENERATED ALWAYS AS (voice_ms / 60000.0) STORED,
    total_tool_calls    INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL
) STRICT;
CREATE INDEX user_activity_by_first_seen ON user_activity (first_seen);

-- Money that came in, as it was entered.
CREATE TABLE revenue (
    id              TEXT    NOT NULL PRIMARY KEY,
    date            TEXT    NOT NULL,
    agent           TEXT, -- absent: of no agent in particular
    amount_microusd INTEGER NOT NULL,
    note            TEXT    NOT NULL,
    entered_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX revenue_by_date ON revenue (date);
