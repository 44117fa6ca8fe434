-- The IM API. Of all this only im_hidden and im_email_codes are truths of their own; the rest are projections of events
-- and account data, which are followed in the log and can be made anew from them.

-- What one user has deleted for themselves: the server hides it from all their clients.
CREATE TABLE im_hidden (
    user_name BIGINT NOT NULL,
    room BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (user_name, room, event_id)
) WITHOUT ROWID;

-- Rooms that conversations may show, with their newest message.
CREATE TABLE im_rooms (
    room BIGINT PRIMARY KEY,
    -- 1 two people, 2 a group, 3 any other room
    kind SMALLINT NOT NULL,
    last_event BIGINT,
    last_position BIGINT NOT NULL,
    last_seq BIGINT NOT NULL
);

-- What a local user has said about a conversation, and where they last spoke in it.
CREATE TABLE im_conversations (
    user_name BIGINT NOT NULL,
    room BIGINT NOT NULL,
    pinned SMALLINT NOT NULL,
    pin_order DOUBLE PRECISION NOT NULL,
    -- hidden until a message after this one comes
    hidden_seq BIGINT,
    cleared_position BIGINT NOT NULL,
    marked_unread SMALLINT NOT NULL,
    sent_position BIGINT NOT NULL,
    PRIMARY KEY (user_name, room)
) WITHOUT ROWID;

-- Rooms of two people, from the side of each local one.
CREATE TABLE im_directs (
    user_name BIGINT NOT NULL,
    room BIGINT NOT NULL,
    peer BIGINT NOT NULL,
    mine TEXT NOT NULL,
    mine_before TEXT NOT NULL,
    theirs TEXT NOT NULL,
    theirs_before TEXT NOT NULL,
    friends SMALLINT NOT NULL,
    since_ms BIGINT NOT NULL,
    remark TEXT,
    category TEXT NOT NULL,
    sort_key TEXT NOT NULL,
    PRIMARY KEY (user_name, room)
) WITHOUT ROWID;
CREATE INDEX im_directs_friends ON im_directs (user_name, friends, sort_key);
CREATE INDEX im_directs_peer ON im_directs (user_name, peer);
CREATE INDEX im_directs_room ON im_directs (room);

CREATE TABLE im_friend_requests (
    request_id TEXT NOT NULL,
    room BIGINT NOT NULL,
    -- the invitation or knock that asks
    event BIGINT NOT NULL,
    sender BIGINT NOT NULL,
    target BIGINT NOT NULL,
    is_knock SMALLINT NOT NULL,
    message TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    state TEXT NOT NULL,
    handled_ms BIGINT,
    -- what the receiver has noted for themselves
    ignored SMALLINT NOT NULL,
    PRIMARY KEY (room, event)
) WITHOUT ROWID;
CREATE INDEX im_friend_requests_id ON im_friend_requests (request_id);
CREATE INDEX im_friend_requests_sender ON im_friend_requests (sender, created_ms);
CREATE INDEX im_friend_requests_target ON im_friend_requests (target, created_ms);
CREATE INDEX im_friend_requests_expiry ON im_friend_requests (expires_ms) WHERE state = 'pending';

-- How far messages have come to the devices of those whom they are for: one watermark a reader and conversation.
CREATE TABLE im_deliveries (
    room BIGINT NOT NULL,
    user_name BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    event_position BIGINT NOT NULL,
    ts BIGINT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (room, user_name)
) WITHOUT ROWID;

-- Codes that were sent by mail; only their hashes are kept.
CREATE TABLE im_email_codes (
    sid TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    purpose TEXT NOT NULL,
    code_hash BLOB NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    tries BIGINT NOT NULL
);
CREATE INDEX im_email_codes_email ON im_email_codes (email, purpose, created_ms);
