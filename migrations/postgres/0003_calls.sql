-- Who calls. The id follows from the number and a secret of this house, so every node knows it without asking.
CREATE TABLE users (
    id         UUID        NOT NULL PRIMARY KEY,
    phone      TEXT        UNIQUE, -- E.164; absent where numbers are not to be kept
    first_seen TIMESTAMPTZ NOT NULL
);

-- Every call, and what is needed to go on with it.
CREATE TABLE calls (
    id          UUID        NOT NULL PRIMARY KEY,     -- UUIDv7: sorts by time
    call_sid    TEXT        NOT NULL,                 -- the carrier's id, which it may give again
    user_id     UUID,                                 -- absent: the caller withheld his number
    agent       TEXT        NOT NULL,
    from_number TEXT,
    to_number   TEXT,
    started_at  TIMESTAMPTZ NOT NULL,
    routed      TEXT        NOT NULL,                 -- the mode that the router gave it
    rule        TEXT,                                 -- and the rule that did
    mode        TEXT        NOT NULL,                 -- the mode that serves it, or served it last
    failed      TEXT        NOT NULL,                 -- JSON: modes tried in vain
    spent       TEXT        NOT NULL,                 -- JSON: what it has cost so far
    questions   TEXT,                                 -- JSON: in mode traditional, what has been answered
    state       TEXT        NOT NULL,                 -- JSON
    over_at     TIMESTAMPTZ,                         -- the carrier says that it is over
    ended_at    TIMESTAMPTZ,
    end_reason  TEXT,
    changed_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX calls_by_call_sid ON calls (call_sid, id);
CREATE INDEX calls_by_user ON calls (user_id, id);

-- Who said what, and how much of it was heard. In the order of began_ms.
CREATE TABLE turns (
    call_id    UUID    NOT NULL,
    who        TEXT    NOT NULL,
    item       TEXT    NOT NULL, -- the provider's name of it
    part       BIGINT  NOT NULL, -- of the engine's audio; -1: none
    began_ms   BIGINT  NOT NULL, -- since the call began
    text       TEXT    NOT NULL,
    heard_text TEXT    NOT NULL,
    audio_ms   BIGINT  NOT NULL,
    heard_ms   BIGINT,           -- absent: all of it
    complete   BOOLEAN NOT NULL,
    PRIMARY KEY (call_id, who, item, part)
);

-- What happened, call by call. Added to and read, never changed; removed only when it has become old.
CREATE TABLE event_log (
    id      UUID        NOT NULL PRIMARY KEY, -- UUIDv7: sorts by time
    at      TIMESTAMPTZ NOT NULL,
    call_id UUID,
    at_us   BIGINT,               -- since the call began
    event   TEXT        NOT NULL,
    detail  TEXT        NOT NULL              -- JSON
);
CREATE INDEX event_log_by_call ON event_log (call_id, id);

-- How far each spool has been written: what is not beyond is not written again.
CREATE TABLE spools (
    id     UUID   NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);
