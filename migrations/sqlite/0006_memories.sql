-- What an agent remembers of a caller from his earlier calls.
CREATE TABLE memories (
    user_id    TEXT    NOT NULL,
    agent      TEXT    NOT NULL,
    text       TEXT    NOT NULL,
    since      INTEGER NOT NULL, -- when the first of the calls ended that it is made of,
    updated_at INTEGER NOT NULL, -- and when the last did
    call_id    TEXT    NOT NULL, -- which was this one
    calls      INTEGER NOT NULL, -- how many there were
    PRIMARY KEY (user_id, agent)
) STRICT;
