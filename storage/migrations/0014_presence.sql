-- What users last said of themselves; who is online is only in memory.
CREATE TABLE presence (
    user_name BIGINT PRIMARY KEY,
    presence TEXT NOT NULL,
    status_msg TEXT,
    last_active_ms BIGINT NOT NULL
);
