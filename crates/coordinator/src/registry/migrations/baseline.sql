-- The schema of version 0: files from before migrations were numbered, and new files before their first migration.
CREATE TABLE IF NOT EXISTS members (id BLOB PRIMARY KEY, name TEXT NOT NULL, joined INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS invites
    (token BLOB PRIMARY KEY, uses_left INTEGER NOT NULL, expires INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS models
    (name TEXT PRIMARY KEY, path TEXT NOT NULL, stages INTEGER NOT NULL, quant TEXT NOT NULL,
     created INTEGER NOT NULL, manifest TEXT NOT NULL, replicas INTEGER NOT NULL DEFAULT 2) STRICT;
CREATE TABLE IF NOT EXISTS standings
    (id BLOB PRIMARY KEY, minutes REAL NOT NULL, losses REAL NOT NULL, seen INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
