-- Events that their senders want sent later (MSC4140), and for a while what became of them.
CREATE TABLE delayed_events (
    delay_id TEXT PRIMARY KEY,
    sender BIGINT NOT NULL,
    device TEXT,
    room_id TEXT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT,
    content BLOB NOT NULL,
    txn_id TEXT,
    delay_ms BIGINT NOT NULL,
    running_since_ms BIGINT NOT NULL,
    -- scheduled, sent, cancelled or failed
    state TEXT NOT NULL,
    finalised_ms BIGINT,
    event_id TEXT,
    error BLOB
) WITHOUT ROWID;
CREATE INDEX delayed_events_sender ON delayed_events (sender, state);
CREATE INDEX delayed_events_state ON delayed_events (state);
