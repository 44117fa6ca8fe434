-- Groups and moments of the IM API, beyond what their rooms say.

-- Invite links that this server's users have made. The seed signs for whoever redeems one.
CREATE TABLE im_invite_links (
    link_id TEXT PRIMARY KEY,
    room_id TEXT NOT NULL,
    creator TEXT NOT NULL,
    seed BLOB NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    max_uses BIGINT,
    uses BIGINT NOT NULL,
    approval SMALLINT NOT NULL,
    revoked SMALLINT NOT NULL
);
CREATE INDEX im_invite_links_room ON im_invite_links (room_id);

-- The posts in moments rooms, for the two-step merge: the newest of every room first, then the newest of those rooms.
-- They stand by their own time, since history that is fetched later was posted earlier. A projection of the log.
CREATE TABLE im_moments (
    room BIGINT NOT NULL,
    ts BIGINT NOT NULL,
    number BIGINT NOT NULL UNIQUE,
    event_id TEXT NOT NULL UNIQUE,
    PRIMARY KEY (room, ts, number)
) WITHOUT ROWID;

-- The moments rooms that this server knows: whose they are, and who is meant to read them.
CREATE TABLE im_moments_rooms (
    room BIGINT PRIMARY KEY,
    author TEXT NOT NULL,
    visibility TEXT NOT NULL,
    -- the time of the newest post, by which a first page finds its rooms
    newest_ts BIGINT
);
CREATE INDEX im_moments_rooms_author ON im_moments_rooms (author);
