-- What users last said of themselves; who is online is only in memory.
CREATE TABLE presence (
    user_name BIGINT PRIMARY KEY,
    presence TEXT NOT NULL,
    status_msg TEXT,
    last_active_ms BIGINT NOT NULL
);

-- Who is invisible, away or busy because they want to be is account data: this finds all of them as the server starts.
CREATE INDEX account_data_presence ON account_data (user_name) WHERE type = 'im.hearth.presence';
