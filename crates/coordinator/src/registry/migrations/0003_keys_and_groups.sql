-- The name that the operator gave a machine; NULL: its own is shown.
ALTER TABLE members ADD COLUMN given_name TEXT;
-- Keys of consumers. Times are in seconds since the Unix epoch; NULL means never, or no limit.
CREATE TABLE keys (
    -- The part that is shown.
    prefix TEXT PRIMARY KEY,
    -- BLAKE3 of the whole key.
    hash BLOB NOT NULL UNIQUE,
    note TEXT NOT NULL,
    -- JSON: names of models; an empty list allows all.
    models TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER,
    requests_per_minute INTEGER,
    tokens_per_day INTEGER,
    streams INTEGER,
    weight INTEGER NOT NULL
);
-- What each key used on each day of the coordinator's clock. The key '' stands for requests without one.
CREATE TABLE usage (
    key TEXT NOT NULL,
    day TEXT NOT NULL,
    requests INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    PRIMARY KEY (key, day)
);
-- Groups: a model with groups goes only to machines of one of them; a join code gives its groups to who joins by it.
CREATE TABLE member_groups (member BLOB NOT NULL, name TEXT NOT NULL, PRIMARY KEY (member, name));
CREATE TABLE model_groups (model TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (model, name));
CREATE TABLE invite_groups (token BLOB NOT NULL, name TEXT NOT NULL, PRIMARY KEY (token, name));
