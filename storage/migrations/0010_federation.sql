-- Other servers: their keys, how far each has been told, and what they have told us. Server names are few and stand
-- as text.

-- A key of another server. `answer` is the last signed answer that held the key: a notary goes on giving it when the
-- server is long dead.
CREATE TABLE server_keys (
    server TEXT NOT NULL,
    key_id TEXT NOT NULL,
    public_key BLOB NOT NULL,
    -- capped to a week after it was fetched; of an old key, the last moment of its use
    valid_until_ms BIGINT NOT NULL,
    is_old SMALLINT NOT NULL,
    fetched_ms BIGINT NOT NULL,
    -- what the answer itself says, so that a notary's older answer does not replace a newer one
    answer_until_ms BIGINT NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (server, key_id)
) WITHOUT ROWID;

-- Servers that we have trouble with; one that answers and is up to date may have no row.
CREATE TABLE destinations (
    server TEXT PRIMARY KEY,
    failing_since_ms BIGINT,
    retry_at_ms BIGINT,
    retry_interval_ms BIGINT,
    -- the log position up to which the server has everything; NULL: as far as the sender as a whole has come
    place BIGINT,
    last_success_ms BIGINT
);

-- EDUs that must arrive. One with the same key takes the place of one that has not been sent yet.
CREATE TABLE outbound_edus (
    server TEXT NOT NULL,
    position BIGINT NOT NULL,
    number BIGINT NOT NULL,
    edu_key TEXT,
    created_ms BIGINT NOT NULL,
    edu BLOB NOT NULL,
    PRIMARY KEY (server, position, number)
) WITHOUT ROWID;
CREATE INDEX outbound_edus_key ON outbound_edus (server, edu_key);
CREATE INDEX outbound_edus_age ON outbound_edus (created_ms);

-- What we answered to transactions, so that a repeated one is answered as before.
CREATE TABLE received_transactions (
    origin TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    received_ms BIGINT NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (origin, txn_id)
) WITHOUT ROWID;
CREATE INDEX received_transactions_age ON received_transactions (received_ms);

-- EDUs that name themselves (to-device messages), so that a repeated one is not delivered twice.
CREATE TABLE received_edus (
    origin TEXT NOT NULL,
    message_id TEXT NOT NULL,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (origin, message_id)
) WITHOUT ROWID;
CREATE INDEX received_edus_age ON received_edus (received_ms);

-- Rooms joined without their member list, until it has been fetched. `servers` is a JSON list.
CREATE TABLE partial_rooms (
    room BIGINT PRIMARY KEY,
    join_event TEXT NOT NULL,
    joined_via TEXT NOT NULL,
    servers TEXT NOT NULL,
    started_ms BIGINT NOT NULL
);

-- Where in the log the rest of such a room's state became known: whoever has synced less far lacks members.
CREATE TABLE completed_rooms (
    room BIGINT PRIMARY KEY,
    position BIGINT NOT NULL
);

-- State resolution that took away what no event removed: kept for whoever looks into it.
CREATE TABLE state_alarms (
    room BIGINT NOT NULL,
    position BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL,
    report BLOB NOT NULL,
    PRIMARY KEY (room, position)
) WITHOUT ROWID;

-- Joins that were sent to another server and not answered. `content` is that of the member event.
CREATE TABLE unsure_joins (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    server TEXT NOT NULL,
    content BLOB NOT NULL,
    since_ms BIGINT NOT NULL,
    PRIMARY KEY (room_id, user_id)
) WITHOUT ROWID;

-- Events that were brought to us before what they refer to could be had: to be tried again. `json` is the PDU.
CREATE TABLE late_events (
    event_id TEXT PRIMARY KEY,
    room_id TEXT NOT NULL,
    origin TEXT NOT NULL,
    json BLOB NOT NULL,
    since_ms BIGINT NOT NULL
);
CREATE INDEX late_events_room ON late_events (room_id);
