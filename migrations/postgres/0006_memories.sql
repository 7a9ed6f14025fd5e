-- What an agent remembers of a caller from his earlier calls.
CREATE TABLE memories (
    user_id    UUID        NOT NULL,
    agent      TEXT        NOT NULL,
    text       TEXT        NOT NULL,
    since      TIMESTAMPTZ NOT NULL, -- when the first of the calls ended that it is made of,
    updated_at TIMESTAMPTZ NOT NULL, -- and when the last did
    call_id    UUID        NOT NULL, -- which was this one
    calls      BIGINT      NOT NULL, -- how many there were
    PRIMARY KEY (user_id, agent)
);
