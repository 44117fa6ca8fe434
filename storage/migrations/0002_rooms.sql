-- Rooms, their events, their state, and who is in them. Ids are interned (table names); event JSON is stored
-- as the bytes that were hashed and signed.

CREATE TABLE rooms (
    room BIGINT PRIMARY KEY,
    version TEXT NOT NULL,
    -- what the directory, deletion and partial joins need without loading the room
    published SMALLINT NOT NULL DEFAULT 0,
    blocked SMALLINT NOT NULL DEFAULT 0,
    partial_state SMALLINT NOT NULL DEFAULT 0
);

-- One row a room, replaced by every write: the only thing besides its events that a send touches.
CREATE TABLE room_heads (
    room BIGINT PRIMARY KEY,
    state_root BLOB NOT NULL,
    extremities TEXT NOT NULL,
    last_seq BIGINT NOT NULL
);

CREATE TABLE events (
    number BIGINT PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    room BIGINT NOT NULL,
    -- the log position of arrival; negative for history fetched later; NULL for outliers
    position BIGINT,
    depth BIGINT NOT NULL,
    type BIGINT NOT NULL,
    state_key BIGINT,
    sender BIGINT NOT NULL,
    origin_server_ts BIGINT NOT NULL,
    -- 1 outlier, 2 rejected, 4 soft-failed, 8 fetched later
    flags SMALLINT NOT NULL DEFAULT 0,
    seq BIGINT,
    state_before BLOB,
    replaces BIGINT,
    redacted_by BIGINT,
    -- who is notified, see homeserver/rooms/notifications.py
    notify BLOB,
    device TEXT,
    txn_id TEXT,
    json BLOB NOT NULL
);
CREATE INDEX events_room_position ON events (room, position);
CREATE INDEX events_transaction ON events (sender, txn_id) WHERE txn_id IS NOT NULL;
CREATE INDEX events_room_state ON events (room, type, state_key) WHERE state_key IS NOT NULL;
CREATE INDEX events_room_seq ON events (room, seq) WHERE seq IS NOT NULL;

CREATE TABLE state_nodes (
    room BIGINT NOT NULL,
    hash BLOB NOT NULL,
    node BLOB NOT NULL,
    PRIMARY KEY (room, hash)
) WITHOUT ROWID;

CREATE TABLE membership (
    user_name BIGINT NOT NULL,
    room BIGINT NOT NULL,
    membership TEXT NOT NULL,
    event BIGINT NOT NULL,
    sender BIGINT NOT NULL,
    position BIGINT NOT NULL,
    -- where the user's present stay began; a change of name does not move it
    joined_at BIGINT NOT NULL DEFAULT 0,
    forgotten SMALLINT NOT NULL DEFAULT 0,
    local SMALLINT NOT NULL DEFAULT 0,
    PRIMARY KEY (user_name, room)
) WITHOUT ROWID;
CREATE INDEX membership_room ON membership (room, membership);

-- What an invited or knocking user may see of a room that this server is not in.
CREATE TABLE stripped_states (
    user_name BIGINT NOT NULL,
    room BIGINT NOT NULL,
    state BLOB NOT NULL,
    PRIMARY KEY (user_name, room)
) WITHOUT ROWID;

CREATE TABLE relations (
    parent TEXT NOT NULL,
    child BIGINT NOT NULL,
    rel_type TEXT NOT NULL,
    type BIGINT NOT NULL,
    sender BIGINT NOT NULL,
    aggregation_key TEXT,
    PRIMARY KEY (parent, child)
) WITHOUT ROWID;
CREATE INDEX relations_child ON relations (child);

-- Threads of a room by their newest event.
CREATE TABLE threads (
    room BIGINT NOT NULL,
    root TEXT NOT NULL,
    latest BIGINT NOT NULL,
    latest_position BIGINT NOT NULL,
    replies BIGINT NOT NULL,
    PRIMARY KEY (room, root)
) WITHOUT ROWID;

-- Redactions that wait for their target, and events that name unknown predecessors.
CREATE TABLE pending_redactions (
    target TEXT NOT NULL,
    redaction BIGINT NOT NULL,
    PRIMARY KEY (target, redaction)
) WITHOUT ROWID;
CREATE TABLE backward_extremities (
    room BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (room, event_id)
) WITHOUT ROWID;

CREATE TABLE receipts (
    room BIGINT NOT NULL,
    user_name BIGINT NOT NULL,
    receipt_type TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_position BIGINT NOT NULL,
    ts BIGINT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (room, user_name, receipt_type, thread_id)
) WITHOUT ROWID;

CREATE TABLE room_aliases (
    alias TEXT PRIMARY KEY,
    room BIGINT NOT NULL,
    creator TEXT NOT NULL,
    servers TEXT NOT NULL
);
CREATE INDEX room_aliases_room ON room_aliases (room);

-- Rooms listed on a network of an application service only.
CREATE TABLE network_rooms (
    appservice TEXT NOT NULL,
    network TEXT NOT NULL,
    room BIGINT NOT NULL,
    PRIMARY KEY (appservice, network, room)
) WITHOUT ROWID;

-- Which state events cite an event in their auth_events: state resolution in large rooms climbs by it.
CREATE TABLE auth_citations (
    cited TEXT NOT NULL,
    citing BIGINT NOT NULL,
    PRIMARY KEY (cited, citing)
) WITHOUT ROWID;
