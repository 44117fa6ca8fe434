-- What storage itself stands on: interned names, the log, who follows it, counters and background jobs.

CREATE TABLE names (
    nid BIGINT PRIMARY KEY,
    value TEXT NOT NULL UNIQUE
);

-- Every durable change, in one total order (docs: one log).
CREATE TABLE log (
    position BIGINT PRIMARY KEY,
    kind SMALLINT NOT NULL,
    room BIGINT,
    user_name BIGINT,
    ref TEXT NOT NULL
);

CREATE TABLE followers (
    name TEXT PRIMARY KEY,
    position BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('log', 0);

-- Work that is done in bounded steps and survives a restart.
CREATE TABLE background_jobs (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    arguments BLOB NOT NULL,
    progress BLOB NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    not_before_ms BIGINT NOT NULL,
    -- scheduled, done, failed or cancelled
    state TEXT NOT NULL,
    failures SMALLINT NOT NULL,
    error TEXT
) WITHOUT ROWID;
CREATE INDEX background_jobs_state ON background_jobs (state, not_before_ms);
