-- What users have reported to the server's administrators.
CREATE TABLE reports (
    report_id TEXT PRIMARY KEY,
    received_ms BIGINT NOT NULL,
    reporter BIGINT NOT NULL,
    -- what it is about: an event of a room, a room, or a user
    room BIGINT,
    event_id TEXT,
    user_name BIGINT,
    reason TEXT,
    score BIGINT
);
CREATE INDEX reports_age ON reports (received_ms);
