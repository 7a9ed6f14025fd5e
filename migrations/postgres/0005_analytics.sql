-- How a call ended, part by part: a call that changed between media and questions, or its node, has several.
CREATE TABLE call_endings (
    id            UUID        NOT NULL PRIMARY KEY, -- told twice it is one
    call_id       UUID        NOT NULL,
    ended_at      TIMESTAMPTZ NOT NULL,
    agent         TEXT        NOT NULL,
    mode          TEXT        NOT NULL,             -- that the router gave it
    is_last       BOOLEAN     NOT NULL,             -- the call is over with it
    failed        BOOLEAN     NOT NULL,             -- it had to leave a mode, or ended because of us
    early_hang_up BOOLEAN     NOT NULL,
    response_ms   TEXT        NOT NULL              -- JSON: one for every answer
);
CREATE INDEX call_endings_by_time ON call_endings (ended_at);
CREATE INDEX call_endings_by_call ON call_endings (call_id);

-- What came of it, as somebody told afterwards. The first who tells is believed.
CREATE TABLE call_outcomes (
    call_id UUID             NOT NULL PRIMARY KEY,
    at      TIMESTAMPTZ      NOT NULL,
    reward  DOUBLE PRECISION NOT NULL, -- 0 to 1
    note    TEXT             NOT NULL
);

-- Hours of which something was written since they were summed up: up to which entry of which spool.
CREATE TABLE dirty_hours (
    hour   TIMESTAMPTZ NOT NULL, -- its first moment
    spool  UUID        NOT NULL,
    number BIGINT      NOT NULL,
    PRIMARY KEY (hour, spool)
);
INSERT INTO dirty_hours (hour, spool, number)
    SELECT DISTINCT date_trunc('hour', at), '00000000-0000-0000-0000-000000000000'::uuid, 1 FROM usage_events;

-- Sums of a civil day. They can all be made again from usage_events, call_endings and call_outcomes.
CREATE TABLE daily_usage_stats (
    date                DATE   NOT NULL PRIMARY KEY,
    total_sessions      BIGINT NOT NULL,
    voice_ms            BIGINT NOT NULL,
    total_voice_minutes DOUBLE PRECISION GENERATED ALWAYS AS (voice_ms / 60000.0::double precision) STORED,
    total_tool_calls    BIGINT NOT NULL,
    unique_users        BIGINT NOT NULL,
    cost_microusd       BIGINT NOT NULL,
    estimated_cost      DOUBLE PRECISION GENERATED ALWAYS AS (cost_microusd / 1000000.0::double precision) STORED, -- dollars
    unpriced_events     BIGINT NOT NULL,
    unheard_microusd    BIGINT NOT NULL,
    d1_came_back        BIGINT NOT NULL, -- retention: of users first seen 1, 7, 30 days before,
    d7_came_back        BIGINT NOT NULL, -- those who were there on this day
    d30_came_back       BIGINT NOT NULL,
    revision            BIGINT NOT NULL -- one more each time it is made
);

-- The same for each agent in each mode, and how its calls ended.
CREATE TABLE daily_mode_stats (
    date             DATE   NOT NULL,
    agent            TEXT   NOT NULL,
    mode             TEXT   NOT NULL,
    sessions         BIGINT NOT NULL,
    voice_ms         BIGINT NOT NULL,
    tool_calls       BIGINT NOT NULL,
    cost_microusd    BIGINT NOT NULL,
    unpriced_events  BIGINT NOT NULL,
    unheard_microusd BIGINT NOT NULL,
    calls_ended      BIGINT NOT NULL,
    failed           BIGINT NOT NULL,
    early_hang_ups   BIGINT NOT NULL,
    good_outcomes    BIGINT NOT NULL,
    bad_outcomes     BIGINT NOT NULL,
    response_times   TEXT   NOT NULL, -- JSON: how many took how long
    PRIMARY KEY (date, agent, mode)
);

-- Users of a mode, whatever the agent, and of an agent, whatever the mode: each counted once a day.
CREATE TABLE daily_unique_users (
    date         DATE   NOT NULL,
    part         TEXT   NOT NULL, -- mode, agent
    name         TEXT   NOT NULL,
    unique_users BIGINT NOT NULL,
    PRIMARY KEY (date, part, name)
);

-- What a user used on a day, with each agent in each mode.
CREATE TABLE user_days (
    date             DATE   NOT NULL,
    user_id          UUID   NOT NULL,
    agent            TEXT   NOT NULL,
    mode             TEXT   NOT NULL,
    sessions         BIGINT NOT NULL,
    voice_ms         BIGINT NOT NULL,
    tool_calls       BIGINT NOT NULL,
    cost_microusd    BIGINT NOT NULL,
    unpriced_events  BIGINT NOT NULL,
    unheard_microusd BIGINT NOT NULL,
    PRIMARY KEY (date, user_id, agent, mode)
);
CREATE INDEX user_days_by_user ON user_days (user_id, date);

-- When a user was first and last there, and all that was used.
CREATE TABLE user_activity (
    user_id             UUID        NOT NULL PRIMARY KEY,
    first_seen          DATE        NOT NULL,
    last_seen           DATE        NOT NULL,
    total_sessions      BIGINT      NOT NULL,
    voice_ms            BIGINT      NOT NULL,
    total_voice_minutes DOUBLE PRECISION GENERATED ALWAYS AS (voice_ms / 60000.0::double precision) STORED,
    total_tool_calls    BIGINT      NOT NULL,
    updated_at          TIMESTAMPTZ NOT NULL
);
CREATE INDEX user_activity_by_first_seen ON user_activity (first_seen);

-- Money that came in, as it was entered.
CREATE TABLE revenue (
    id              UUID        NOT NULL PRIMARY KEY,
    date            DATE        NOT NULL,
    agent           TEXT,                 -- absent: of no agent in particular
    amount_microusd BIGINT      NOT NULL,
    note            TEXT        NOT NULL,
    entered_at      TIMESTAMPTZ NOT NULL
);
CREATE INDEX revenue_by_date ON revenue (date);
